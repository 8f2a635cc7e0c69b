"""What a test of the sandbox needs: a cloud of its own with a network, a key pair and an image, and patience."""

from __future__ import annotations

import base64
import io
import socket
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import fabric
import paramiko
import project
from botocore.config import Config
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from infra.sandbox import process
from infra.sandbox.state import Running

DLAMI = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id"


#: Its own bound: nothing here trains.
eventually = partial(project.eventually, within=15.0)


@dataclass
class Cloud:
    """A sandbox and the few things that every test of it needs: a network, a key pair, an image."""

    running: Running
    state: Path
    private_key: str = ""
    subnet: str = ""
    vpc: str = ""
    image: str = ""
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,  # type: ignore[call-overload]
                region_name="us-east-1",
                endpoint_url=self.running.url,
                aws_access_key_id="sandbox",
                aws_secret_access_key="sandbox",
                config=Config(retries={"total_max_attempts": 1}, proxies={}),
            )
        return self._clients[service]

    def control(self, path: str, body: Any = None) -> Any:
        return process.control(self.running.port, path, body)

    def launch(self, count: int = 1, **asked: Any) -> list[dict[str, Any]]:
        """Instances that listen."""
        request = {
            "ImageId": self.image,
            "InstanceType": "m7i.xlarge",
            "KeyName": "test",
            "SubnetId": self.subnet,
            "MinCount": count,
            "MaxCount": count,
        }
        ec2 = self.client("ec2")
        launched = ec2.run_instances(**request | asked)["Instances"]
        ids = [instance["InstanceId"] for instance in launched]
        eventually(lambda: all(self.state_of(i) == "running" for i in ids))
        return [i for r in ec2.describe_instances(InstanceIds=ids)["Reservations"] for i in r["Instances"]]

    def state_of(self, instance_id: str) -> str:
        reservations = self.client("ec2").describe_instances(InstanceIds=[instance_id])["Reservations"]
        return str(reservations[0]["Instances"][0]["State"]["Name"])

    def console(self, instance_id: str) -> str:
        """The console's text once cloud-init has printed the host's key."""

        def whole() -> str:
            text = str(self.client("ec2").get_console_output(InstanceId=instance_id).get("Output", ""))
            return text if "END SSH HOST KEY KEYS" in text else ""

        return str(eventually(whole))

    def connect(self, instance: dict[str, Any], user: str = "ec2-user", key: str = "") -> fabric.Connection:
        """A connection that trusts only the key that the console shows."""
        text = self.console(instance["InstanceId"])
        line = text.split("-----BEGIN SSH HOST KEY KEYS-----\n")[1].splitlines()[0]
        kind, data = line.split()
        connection = fabric.Connection(
            instance["PrivateIpAddress"],
            user=user,
            port=self.running.ssh_port,
            connect_timeout=10,
            config=fabric.Config(overrides={"run": {"in_stream": False}}),  # pytest has no stdin to pass on
            connect_kwargs={
                "pkey": paramiko.Ed25519Key.from_private_key(io.StringIO(key or self.private_key)),
                "allow_agent": False,
                "look_for_keys": False,
            },
        )
        connection.client = paramiko.SSHClient()  # Fabric's own adds whatever key answers
        connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())
        name = f"[{instance['PrivateIpAddress']}]:{self.running.ssh_port}"
        host_key = paramiko.PKey.from_type_string(kind, base64.b64decode(data))
        connection.client.get_host_keys().add(name, kind, host_key)
        return connection

    def listens(self, address: str) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((address, self.running.ssh_port)) == 0


def new_key() -> tuple[str, bytes]:
    """(private half as OpenSSH text, public line)."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private.decode(), public


def start_cloud(state: Path, vpc_cidr: str = "127.78.0.0/16") -> Cloud:
    cloud = Cloud(process.start(state, project.free_port(), project.free_port()), state)
    ec2 = cloud.client("ec2")
    cloud.vpc = ec2.create_vpc(CidrBlock=vpc_cidr)["Vpc"]["VpcId"]
    block = vpc_cidr.replace(".0.0/16", ".1.0/24")
    subnet = ec2.create_subnet(VpcId=cloud.vpc, CidrBlock=block, AvailabilityZone="us-east-1a")["Subnet"]
    cloud.subnet = subnet["SubnetId"]
    cloud.private_key, public = new_key()
    ec2.import_key_pair(KeyName="test", PublicKeyMaterial=public)
    cloud.image = cloud.client("ssm").get_parameter(Name=DLAMI)["Parameter"]["Value"]
    return cloud
