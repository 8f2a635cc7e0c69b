"""Every stack that ships previews on the real engine, in one sandbox, once what it says to fill in is filled in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from project import REPO, Project

from infra.sandbox import rehearsal
from infra.stack_files import known_stacks

#: Stack -> kinds of resources it makes that tell it from the others, and how many. 0: it must make none.
TELLING: dict[str, dict[str, int]] = {
    "dev": {"ec2:Instance": 1, "ec2:CapacityReservation": 0, "ec2:Vpc": 1},
    "pair": {"ec2:Instance": 2, "ec2:CapacityReservation": 1, "ec2:LaunchTemplate": 1, "ec2:Eip": 0},
    "spot": {"ec2:Instance": 2, "ec2:CapacityReservation": 0},
    "p5-efa": {"ec2:Instance": 2, "ec2:CapacityReservation": 1, "ec2:PlacementGroup": 1, "ec2:NatGateway": 1},
    "p5-block": {"ec2:Instance": 2, "ec2:CapacityReservation": 0, "ec2:PlacementGroup": 0, "ec2:LaunchTemplate": 1},
    "existing-vpc": {"ec2:Instance": 2, "ec2:Vpc": 0, "ec2:Subnet": 0, "ec2:InternetGateway": 0},
}


@pytest.fixture(scope="module")
def filled_in(project: Project) -> Iterator[dict[str, dict[str, Any]]]:
    """What a person puts into the shipped files: a subnet of theirs, a capacity block that they bought."""
    project.fleet("sandbox", "start").ok()
    ec2 = project.cloud().client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.1.1.0/24", AvailabilityZone="us-east-1b")["Subnet"]
    offers = ec2.describe_capacity_block_offerings(
        InstanceType="p5.48xlarge", InstanceCount=2, CapacityDurationHours=24
    )["CapacityBlockOfferings"]
    block = ec2.purchase_capacity_block(
        CapacityBlockOfferingId=offers[0]["CapacityBlockOfferingId"], InstancePlatform="Linux/UNIX"
    )["CapacityReservation"]
    rehearsal.advance(project.port, block["StartDate"] - datetime.now(UTC))
    yield {
        "existing-vpc": {"subnetId": subnet["SubnetId"]},
        "p5-block": {"capacityReservationId": block["CapacityReservationId"]},
    }


def write(project: Project, name: str, change: dict[str, Any]) -> None:
    """The shipped file as it is, but for the cloud that it asks and what the person fills in."""
    ours = yaml.safe_load(project.stack().read_text())
    shipped = yaml.safe_load((REPO / "stacks" / f"Pulumi.{name}.yaml").read_text())
    cloud = {key: value for key, value in ours["config"].items() if key.startswith("aws:")}
    own_address = {"swift-fleet:operatorCidr": "203.0.113.7/32"}  # else asked of checkip.amazonaws.com
    given = {f"swift-fleet:{key}": value for key, value in change.items()}
    shipped["config"] = own_address | shipped["config"] | cloud | given
    shipped["encryptionsalt"] = ours["encryptionsalt"]
    (project.root / "stacks" / f"Pulumi.{name}.yaml").write_text(yaml.safe_dump(shipped, sort_keys=False))


def test_every_stack_that_ships_is_previewed_here() -> None:
    assert set(known_stacks(REPO)) == {"sandbox", *TELLING}  # the sandbox's own: test_plain_pulumi.py


@pytest.mark.parametrize("name", TELLING)
def test_a_shipped_stack_previews(project: Project, filled_in: dict[str, dict[str, Any]], name: str) -> None:
    write(project, name, filled_in.get(name, {}))
    planned = project.fleet("preview", "-s", name, "--json").ok().json
    assert list(planned["changes"]) == ["create"]
    kinds = Counter(one["kind"] for one in planned["resources"])
    assert {kind: kinds[kind] for kind in TELLING[name]} == TELLING[name]


@pytest.mark.parametrize("name", ["existing-vpc", "p5-block"])
def test_what_is_left_to_fill_in_is_said_in_one_line(
    project: Project, filled_in: dict[str, dict[str, Any]], name: str
) -> None:
    write(project, name, {})
    done = project.fleet("preview", "-s", name)
    assert done.code in (2, 4)
    assert "00000000000000000" in done.err and len(done.err.strip().splitlines()) <= 2, done.err
