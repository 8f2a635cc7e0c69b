"""What a sweep that anybody's cron may run does to what it does not know: money ends, and nothing that is being made or
was trained does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from project import Project, project_in

from infra import sweep

REGION = "us-east-1"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A clone that knows a stack of its own; the others' are made by hand, as an `up` elsewhere leaves them."""
    with project_in(tmp_path_factory.mktemp("sweep") / "clone") as project:
        project.fleet("sandbox", "start", "-s", "sandbox").ok()
        yield project


def tags(stack: str, **others: str) -> list[dict[str, str]]:
    named = {"swift-fleet:stack": stack} | {f"swift-fleet:{key}": value for key, value in others.items()}
    return [{"Key": key, "Value": value} for key, value in named.items()]


def role(project: Project, stack: str, region: str) -> str:
    """As the one by which a stack's schedule may end its nodes."""
    name = f"fleet-{stack}-end-role-{region}"
    trust = '{"Version": "2012-10-17", "Statement": []}'
    iam = project.cloud().client("iam")
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust, Tags=tags(stack, region=region))
    return name


def half_made(project: Project, stack: str) -> dict[str, str]:
    """A network, what bills in it, and files: no node yet, or no more."""
    cloud = project.cloud()
    ec2, efs = cloud.client("ec2"), cloud.client("efs")
    vpc = ec2.create_vpc(
        CidrBlock=project.network.replace(".0.0/16", ".9.0/24"),
        TagSpecifications=[{"ResourceType": "vpc", "Tags": tags(stack)}],
    )["Vpc"]["VpcId"]
    reservation = ec2.create_capacity_reservation(
        InstanceType="p5.48xlarge",
        InstancePlatform="Linux/UNIX",
        AvailabilityZone=f"{REGION}a",
        InstanceCount=2,
        TagSpecifications=[{"ResourceType": "capacity-reservation", "Tags": tags(stack)}],
    )["CapacityReservation"]["CapacityReservationId"]
    files = efs.create_file_system(CreationToken=stack, Tags=tags(stack))["FileSystemId"]
    return {"vpc": vpc, "reservation": reservation, "files": files}


def left(project: Project, stack: str) -> list[str]:
    return [thing.id for answer in sweep.look(project.cloud(), stack) for thing in answer.found]


@pytest.fixture(scope="module")
def ghost(here: Project) -> dict[str, str]:
    return half_made(here, "ghost")


def test_what_another_clone_is_making_is_left_and_what_it_bills_is_said(here: Project, ghost: dict[str, str]) -> None:
    said = here.fleet("sweep", "--yes").ok().out
    assert "nothing to end" in said
    assert re.search(r"ghost: kept, no stack file is here, but it is made at .* UTC: perhaps of an up under way", said)
    assert f"  bills: reservation {ghost['reservation']}: 2 of 2 x p5.48xlarge unused, $110.08 an hour" in said
    assert sorted(left(here, "ghost")) == sorted(ghost.values())


def test_hours_later_what_bills_ends_and_files_stay_until_the_stack_is_named_by_the_line_that_is_shown(
    here: Project, ghost: dict[str, str]
) -> None:
    here.control("clock", {"advance": 2 * 3600 + 60})
    said = here.fleet("sweep", "--yes").ok().out
    assert "ended 1 thing" in said
    assert sorted(left(here, "ghost")) == sorted([ghost["vpc"], ghost["files"]])
    assert f"file system {ghost['files']} may hold what was trained, and stays with what it needs" in said
    assert re.search(rf"bills: file system {ghost['files']}: EFS .*, \$0\.00 a month", said)
    again = here.fleet("sweep", "--yes").ok().out
    assert "nothing to end" in again
    (command,) = (
        line.removesuffix(" ends all of it, its files too") for line in again.splitlines() if "ends all" in line
    )
    assert command.split() == ["fleet", "sweep", "-s", "ghost", "--region", REGION, "--yes"]
    here.fleet(*command.split()[1:]).ok()
    assert left(here, "ghost") == []


def test_roles_of_a_fleet_are_not_taken_for_forgotten_where_only_its_region_is_another(here: Project) -> None:
    """They are the account's: seen from each other region they alone are there, and without them its AWS schedule and
    its shared files are shut."""
    mine, theirs = role(here, "sandbox", REGION), role(here, "colleague", "eu-west-1")
    here.control("clock", {"advance": 2 * 3600 + 60})

    def doomed(*words: str) -> list[tuple[str, str, str]]:
        found: list[dict[str, Any]] = here.fleet("sweep", *words, "--json").ok().events[-1]["found"]
        return [(one["region"], one["stack"], thing["id"]) for one in found for thing in one["doomed"]]

    assert doomed("--region", REGION, "--region", "eu-west-1") == [("eu-west-1", "colleague", theirs)]
    assert doomed("-s", "sandbox", "--region", "eu-west-1") == []
    assert doomed() == []
    here.fleet("sweep", "--region", "eu-west-1", "--yes").ok()
    names = [one["RoleName"] for one in here.cloud().client("iam").list_roles()["Roles"]]
    assert mine in names and theirs not in names
