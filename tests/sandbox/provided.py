"""The embedded cloud's provider as the engine calls it, for tests: over its own protocol, against a running sandbox."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
import grpc
import pytest
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from infra.sandbox.provider.resources import RESOURCES
from infra.sandbox.provider.server import serve
from infra.sandbox.provider.values import plain, struct

SERVICES = ("cloudwatch", "ec2", "efs", "fsx", "iam", "scheduler", "ssm", "sts")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJK2yP6oSPsKCfcJ7Cj7MPvQV4m9N4H1zqkzXH9h2ZQb test"
IMAGE = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id"


@dataclass
class Made:
    """A resource as the engine would remember it."""

    token: str
    name: str
    id: str
    state: dict[str, Any]
    inputs: dict[str, Any] = field(default_factory=dict)

    @property
    def urn(self) -> str:
        return f"urn:pulumi:dev::test::{self.token}::{self.name}"


@dataclass
class Engine:
    """The calls that Pulumi's engine makes for one resource."""

    stub: Any
    url: str

    def client(self, service: str) -> Any:
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="sandbox",
            aws_secret_access_key="sandbox",
        )

    def check(self, token: str, name: str, olds: dict[str, Any], news: dict[str, Any]) -> Any:
        urn = f"urn:pulumi:dev::test::{token}::{name}"
        request = provider_pb2.CheckRequest(urn=urn, olds=struct(olds), news=struct(news), randomSeed=b"seed")
        return self.stub.Check(request)

    def create(self, kind: str, name: str = "x", **said: Any) -> Made:
        token = next(token for token in RESOURCES if token.endswith(f":{kind}"))
        checked = self.check(token, name, {}, said)
        assert not checked.failures, checked.failures
        urn = f"urn:pulumi:dev::test::{token}::{name}"
        made = self.stub.Create(provider_pb2.CreateRequest(urn=urn, properties=checked.inputs))
        return Made(token, name, made.id, plain(made.properties), plain(checked.inputs))

    def change(self, made: Made, **said: Any) -> Any:
        """Check, Diff, and Update unless it would be replaced; gives the difference."""
        news = {key: value for key, value in made.inputs.items() if key not in ("__defaults", "tagsAll")}
        checked = self.check(made.token, made.name, made.inputs, {**news, **said})
        assert not checked.failures, checked.failures
        asked: dict[str, Any] = {"id": made.id, "urn": made.urn, "olds": struct(made.state), "news": checked.inputs}
        found = self.stub.Diff(provider_pb2.DiffRequest(**asked))
        if found.changes == provider_pb2.DiffResponse.DIFF_SOME and not found.replaces:
            made.state = plain(self.stub.Update(provider_pb2.UpdateRequest(**asked)).properties)
            made.inputs = plain(checked.inputs)
        return found

    def read(self, made: Made, *, imported: bool = False) -> Any:
        known = {} if imported else {"properties": struct(made.state), "inputs": struct(made.inputs)}
        return self.stub.Read(provider_pb2.ReadRequest(id=made.id, urn=made.urn, **known))

    def delete(self, made: Made) -> None:
        self.stub.Delete(provider_pb2.DeleteRequest(id=made.id, urn=made.urn, properties=struct(made.state)))


@contextmanager
def configured(url: str, **more: str) -> Iterator[Engine]:
    server, listening = serve()
    with grpc.insecure_channel(f"127.0.0.1:{listening}") as channel:
        stub = provider_pb2_grpc.ResourceProviderStub(channel)
        stub.Configure(provider_pb2.ConfigureRequest(args=struct(settings(url) | more)))
        yield Engine(stub, url)
    server.stop(grace=None)


def settings(url: str) -> dict[str, str]:
    return {
        "region": "us-east-1",
        "endpoints": json.dumps([dict.fromkeys(SERVICES, url)]),
        "defaultTags": json.dumps({"tags": {"fleet": "test"}}),
        "maxRetries": "1",
        "skipCredentialsValidation": "true",
    }


@dataclass
class Base:
    """What most resources need first."""

    vpc: Made
    subnet: Made
    group: Made
    image: str


def new_base(engine: Engine) -> Base:
    vpc = engine.create("Vpc", cidrBlock="127.78.0.0/16", enableDnsHostnames=True)
    subnet = engine.create("Subnet", vpcId=vpc.id, cidrBlock="127.78.0.0/20", availabilityZone="us-east-1a")
    group = engine.create("SecurityGroup", "nodes", vpcId=vpc.id)
    image = engine.client("ssm").get_parameter(Name=IMAGE)["Parameter"]["Value"]
    return Base(vpc, subnet, group, image)


def instance(engine: Engine, base: Base, **said: Any) -> Made:
    given = {
        "ami": base.image,
        "instanceType": "m7i.xlarge",
        "subnetId": base.subnet.id,
        "vpcSecurityGroupIds": [base.group.id],
        "associatePublicIpAddress": False,
        "userData": "#!/bin/sh\n",
        "instanceInitiatedShutdownBehavior": "terminate",
        "metadataOptions": {"httpTokens": "required", "httpPutResponseHopLimit": 1},
        "rootBlockDevice": {"encrypted": True, "volumeSize": 50, "volumeType": "gp3"},
        "volumeTags": {"of": "node"},
    }
    return engine.create("Instance", "node-000", **{**given, **said})


def refused(call: Any) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value
