"""The real engine with the embedded provider and language host, by plain `pulumi` commands."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from clouds import DLAMI, Cloud

from infra import engine

BIN = Path(__file__).parents[2] / "infra" / "sandbox" / "bin"
PROJECT = {"name": "small", "runtime": "python", "main": "program"}
PROGRAM = """
import pulumi_aws as aws

network = aws.ec2.Vpc("network", cidr_block="10.20.0.0/16", enable_dns_hostnames=True)
subnet = aws.ec2.Subnet("subnet", vpc_id=network.id, cidr_block="10.20.0.0/20")
group = aws.ec2.SecurityGroup("nodes", vpc_id=network.id)
aws.vpc.SecurityGroupIngressRule(
    "members", security_group_id=group.id, ip_protocol="-1", referenced_security_group_id=group.id
)
files = aws.efs.FileSystem("files", encrypted=True)
"""

# A gang on a fast fabric, as the shipped program makes one: room first, then the template, then a machine a rank.
GANG = """
import base64, os
import pulumi_aws as aws

ami = aws.ssm.get_parameter(name=os.environ["IMAGE"]).value
network = aws.ec2.Vpc("network", cidr_block="127.83.0.0/16")
subnet = aws.ec2.Subnet("subnet", vpc_id=network.id, cidr_block="127.83.0.0/20", availability_zone="us-east-1a")
group = aws.ec2.SecurityGroup("nodes", vpc_id=network.id)
gang = aws.ec2.PlacementGroup("gang", strategy="cluster")
room = aws.ec2.CapacityReservation(
    "room", availability_zone="us-east-1a", instance_type="p4d.24xlarge", instance_platform="Linux/UNIX",
    instance_count=2, instance_match_criteria="targeted", end_date_type="limited", end_date="2040-01-01T00:00:00Z",
)
cards = [
    {"network_card_index": at, "device_index": 0 if at == 0 else 1, "interface_type": "efa" if at == 0 else "efa-only",
     "subnet_id": subnet.id, "security_groups": [group.id], "delete_on_termination": "true"}
    for at in range(4)
]
template = aws.ec2.LaunchTemplate(
    "node", image_id=ami, instance_type="p4d.24xlarge", network_interfaces=cards, placement={"group_name": gang.name},
    user_data=base64.b64encode(os.environ["BOOT"].encode()).decode(),
    capacity_reservation_specification={"capacity_reservation_target": {"capacity_reservation_id": room.id}},
)
nodes = [
    aws.ec2.Instance(f"node-{rank:03d}", launch_template={"id": template.id, "version": template.latest_version})
    for rank in range(2)
]
door = aws.ec2.Eip("door", domain="vpc")
aws.ec2.EipAssociation(
    "door", allocation_id=door.id, network_interface_id=nodes[0].primary_network_interface_id
)
"""


@dataclass
class Pulumi:
    command: Path
    folder: Path
    environ: dict[str, str]

    def __call__(self, *arguments: str, fails: bool = False) -> str:
        done = subprocess.run(
            [self.command, *arguments, "--non-interactive", "--color", "never"],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr if fails else done.stdout


@pytest.fixture
def pulumi(cloud: Cloud, tmp_path: Path) -> Pulumi:
    command = engine.ensure()
    (tmp_path / "Pulumi.yaml").write_text(yaml.safe_dump(PROJECT))
    (tmp_path / "program").mkdir()
    (tmp_path / "program" / "__main__.py").write_text(PROGRAM)
    url = cloud.running.url
    config = {
        "aws:region": "us-east-1",
        "aws:skipCredentialsValidation": True,
        "aws:maxRetries": 1,
        "aws:defaultTags": {"tags": {"fleet": "small"}},
        "aws:endpoints": [{"ec2": url, "efs": url, "ssm": url, "sts": url}],
    }
    (tmp_path / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"config": config}))
    environ = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "FLEET_PYTHON": sys.executable,
        "PULUMI_HOME": str(tmp_path / "home"),
        "PULUMI_BACKEND_URL": f"file://{tmp_path}",
        "PULUMI_CONFIG_PASSPHRASE": "test",
        "PULUMI_SKIP_UPDATE_CHECK": "1",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "1",
    }
    return Pulumi(command, tmp_path, environ)


def test_preview_up_refresh_and_destroy_mean_what_they_mean_on_aws(pulumi: Pulumi, cloud: Cloud) -> None:
    pulumi("stack", "init", "dev")
    assert "6 to create" in pulumi("preview")
    assert "6 created" in pulumi("up", "--yes", "--skip-preview")
    assert "6 unchanged" in pulumi("up", "--yes", "--skip-preview")
    ec2 = cloud.client("ec2")
    mine = [{"Name": "tag:fleet", "Values": ["small"]}]
    (network,) = ec2.describe_vpcs(Filters=mine)["Vpcs"]
    ec2.create_tags(Resources=[network["VpcId"]], Tags=[{"Key": "rogue", "Value": "1"}])
    assert "1 updated" in pulumi("refresh", "--yes")
    assert "1 to update" in pulumi("preview")
    assert "1 updated" in pulumi("up", "--yes", "--skip-preview")
    assert "6 deleted" in pulumi("destroy", "--yes", "--skip-preview")
    assert ec2.describe_vpcs(Filters=mine)["Vpcs"] == []


def test_a_gang_on_a_template_is_made_half_fails_is_mended_and_replaced_by_a_new_version(
    pulumi: Pulumi, cloud: Cloud
) -> None:
    (pulumi.folder / "program" / "__main__.py").write_text(GANG)
    pulumi.environ |= {"IMAGE": DLAMI, "BOOT": "#!/bin/sh\n"}
    cloud.control("fault", {"action": "Boot", "code": "BootFails", "count": 1})
    pulumi("stack", "init", "dev")
    assert "unexpected state 'terminated'" in pulumi("up", "--yes", "--skip-preview", fails=True)
    # The half-made machine is on record: it is updated, not replaced, until a refresh looks.
    assert "did not exist while updating" in pulumi("up", "--yes", "--skip-preview", fails=True)
    assert "created" in pulumi("up", "--yes", "--skip-preview", "--refresh")
    assert "11 unchanged" in pulumi("up", "--yes", "--skip-preview")
    ec2 = cloud.client("ec2")
    [room] = [r for r in ec2.describe_capacity_reservations()["CapacityReservations"] if r["State"] == "active"]
    assert room["AvailableInstanceCount"] == 0
    pulumi.environ["BOOT"] = "#!/bin/sh\ntrue\n"
    assert "3 to replace" in pulumi("preview")  # both machines, and what leads to the first
    pulumi("destroy", "--yes", "--skip-preview")
    assert (
        ec2.describe_capacity_reservations(Filters=[{"Name": "state", "Values": ["active"]}])["CapacityReservations"]
        == []
    )
    assert ec2.describe_placement_groups()["PlacementGroups"] == [] and ec2.describe_addresses()["Addresses"] == []
