"""All nodes or none: the walk over places, what it leaves, and room that is bought already."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from project import Done, Project, project_in

from infra import sweep
from infra.kinds import Node
from infra.sandbox import rehearsal
from infra.schedules import parse_at
from training.record import Record
from training.told import walked

NO_ROOM = {"action": "CreateCapacityReservation", "code": "InsufficientInstanceCapacity", "status": 500}
NO_FILES = {"swift-fleet:sharedFiles": "false"}
FEW = NO_FILES | {"swift-fleet:candidates": {"zones": ["us-east-1a", "us-east-1b"]}}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with project_in(tmp_path_factory.mktemp("capacity") / "clone") as project:
        project.fleet("sandbox", "start").ok()
        yield project


def up(project: Project, **config: object) -> Done:
    project.stack(change=FEW | {f"swift-fleet:{key}": value for key, value in config.items()})
    return project.fleet("up", "--yes", "-s", "sandbox")


def nodes(project: Project) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = project.fleet("outputs", "-s", "sandbox", "--json").ok().json["nodes"]
    return found


def zones(project: Project) -> list[str]:
    return [node["zone"] for node in nodes(project)]


def test_the_fleet_goes_whole_where_there_is_room_and_stays_there(project: Project) -> None:
    project.control("faults", [NO_ROOM | {"match": {"AvailabilityZone": "us-east-1a"}}])
    done = up(project).ok()
    assert "m7i.xlarge in us-east-1a: InsufficientInstanceCapacity" in done.all
    assert zones(project) == ["us-east-1b"] * 2
    vpcs = (
        project.cloud().client("ec2").describe_vpcs(Filters=[{"Name": "tag:swift-fleet:stack", "Values": ["sandbox"]}])
    )
    assert len(vpcs["Vpcs"]) == 1, "the place before was ended whole"
    project.control("faults", [])
    assert "unchanged" in project.pulumi("up", "--yes", "-s", "sandbox", "--expect-no-changes").ok().out


def test_a_dead_node_is_replaced_under_its_rank_and_the_others_stay(project: Project) -> None:
    before = nodes(project)
    project.fleet("sandbox", "fault", "kill-node", "1").ok()
    done = project.fleet("replace", "1", "-s", "sandbox", "--yes", "--json").ok()
    after = nodes(project)
    assert (after[0]["id"], after[0]["zone"]) == (before[0]["id"], before[0]["zone"])
    assert after[1]["id"] != before[1]["id"] and after[1]["zone"] == before[1]["zone"]
    assert done.events[-1]["private_address"] == after[1]["private_address"]
    (bad,) = json.loads((project.record / "bad-hosts.json").read_text())
    assert bad["instance_id"] == before[1]["id"]
    assert {end["state"] for end in project.fleet("status", "-s", "sandbox", "--json").ok().json["ends"]} <= {
        "armed",
        "by hand",
    }
    refused = project.fleet("replace", "7", "-s", "sandbox", "--yes")
    assert refused.code == 2 and "there is no rank 7" in refused.err


def test_a_fleet_is_resized_and_the_lower_ranks_stay(project: Project) -> None:
    before = nodes(project)
    project.fleet("resize", "3", "-s", "sandbox", "--yes").ok()
    assert [node["id"] for node in nodes(project)][:2] == [node["id"] for node in before]
    reserved = project.cloud().client("ec2").describe_capacity_reservations()["CapacityReservations"]
    assert [one["TotalInstanceCount"] for one in reserved if one["State"] == "active"] == [3]
    project.fleet("sandbox", "fault", "fail", "ModifyCapacityReservation", "InsufficientInstanceCapacity").ok()
    refused = project.fleet("resize", "5", "-s", "sandbox", "--yes")
    project.fleet("sandbox", "fault", "clear").ok()
    assert refused.code == 4 and 'nodes: "3"' in (project.root / "stacks" / "Pulumi.sandbox.yaml").read_text()
    project.fleet("resize", "1", "-s", "sandbox", "--yes").ok()
    assert [node["id"] for node in nodes(project)] == [before[0]["id"]]
    (kept,) = project.cloud().client("ec2").describe_capacity_reservations()["CapacityReservations"]
    assert (kept["State"], kept["TotalInstanceCount"]) == ("active", 1), "what the last node targets"
    project.fleet("down", "-s", "sandbox").ok()
    assert project.left() == []


WOULD = "the stack file was changed since its up, which would replace the machines of ranks 0-1 with"


def test_neither_a_resize_nor_a_run_on_what_is_left_brings_another_change_along(project: Project, tiny: Path) -> None:
    up(project).ok()
    before = nodes(project)
    (other,) = {"us-east-1a", "us-east-1b"} - {before[0]["zone"]}
    file = project.stack(change=NO_FILES | {"swift-fleet:zone": other})
    refused = project.fleet("resize", "1", "-s", "sandbox", "--yes")
    assert refused.code == 2 and WOULD.replace("s of ranks 0-1", " of rank 0") in refused.err
    assert yaml.safe_load(file.read_text())["config"]["swift-fleet:nodes"] == "2"
    project.cloud().client("ec2").terminate_instances(InstanceIds=[before[1]["id"]])
    run = project.fleet("run", project.job(tiny), "-s", "sandbox", "--yes")
    assert run.code == 2 and WOULD in run.err
    assert nodes(project) == before
    project.fleet("down", "-s", "sandbox").ok()


def test_a_run_remembers_where_there_was_no_room_in_awss_words(project: Project, tiny: Path) -> None:
    project.control("faults", [NO_ROOM])
    project.stack(change=FEW)
    done = project.fleet("run", project.job(tiny), "-s", "sandbox", "--yes")
    project.control("faults", [])
    assert done.code == 4, done.all
    record = Record(project.record)
    walk = walked(record.events(record.latest()))
    assert [missed.partition(": ")[0] for missed in walk] == ["m7i.xlarge in us-east-1a", "m7i.xlarge in us-east-1b"]
    for missed in walk:
        assert missed.count("InsufficientInstanceCapacity") == 1 and "Injected by the sandbox" in missed, missed


def bought(project: Project, kind: str, count: int) -> dict[str, Any]:
    """A reservation, or a capacity block that has begun."""
    ec2 = project.cloud().client("ec2")
    if kind == "reservation":
        asked = {"InstanceType": "m7i.xlarge", "InstancePlatform": "Linux/UNIX", "AvailabilityZone": "us-east-1b"}
        made = ec2.create_capacity_reservation(**asked, InstanceCount=count, InstanceMatchCriteria="targeted")
        return dict(made["CapacityReservation"])
    wanted = {"InstanceType": "p5.48xlarge", "InstanceCount": count, "CapacityDurationHours": 24}
    offer = ec2.describe_capacity_block_offerings(**wanted)["CapacityBlockOfferings"][0]
    block = ec2.purchase_capacity_block(
        CapacityBlockOfferingId=offer["CapacityBlockOfferingId"], InstancePlatform="Linux/UNIX"
    )["CapacityReservation"]
    rehearsal.advance(project.port, block["StartDate"] - datetime.now(UTC))
    return dict(block)


@pytest.mark.parametrize(
    ("kind", "count"), [("reservation", 1), pytest.param("capacity-block", 2, marks=pytest.mark.full)]
)
def test_a_fleet_in_room_that_is_bought_comes_up_gets_another_machine_and_ends(
    project: Project, kind: str, count: int
) -> None:
    """All of its places are taken, so that the new machine needs that of the old one, which comes back late."""
    room, last = bought(project, kind, count), count - 1
    keys = {"nodes": str(count), "capacity": kind, "capacityReservationId": room["CapacityReservationId"]}
    keys |= {"instanceType": room["InstanceType"], "efa": "false", "lifetime": "20h"}
    file = NO_FILES | {f"swift-fleet:{key}": value for key, value in keys.items()}
    project.stack(change=file)
    project.fleet("up", "--yes", "-s", "sandbox").ok()
    before = project.fleet("outputs", "-s", "sandbox", "--json").ok().json
    assert {node.reservation for node in live(project).values()} == {room["CapacityReservationId"]}
    if kind == "capacity-block":
        beyond = project.fleet("extend", "10h", "-s", "sandbox")
        assert (beyond.code, "its capacity block ends what runs in it at" in beyond.err) == (2, True), beyond.all

    # What would be refused is refused while the machine is still there.
    gone = bought(project, "reservation", 1)
    project.cloud().client("ec2").cancel_capacity_reservation(CapacityReservationId=gone["CapacityReservationId"])
    project.stack(change=file | {"swift-fleet:capacityReservationId": gone["CapacityReservationId"]})
    refused = project.fleet("replace", str(last), "-s", "sandbox", "--yes")
    assert refused.code == 2 and gone["CapacityReservationId"] in refused.err, refused.all
    assert set(live(project)) == {node["id"] for node in before["nodes"]}

    # A whole lifetime from now would be longer than the block, and than what is left of the fleet's.
    project.stack(change=file | {"swift-fleet:lifetime": "13d"})
    project.fleet("replace", str(last), "-s", "sandbox", "--yes").ok()
    after = project.fleet("outputs", "-s", "sandbox", "--json").ok().json
    assert [node["id"] for node in after["nodes"]][:last] == [node["id"] for node in before["nodes"]][:last]
    assert after["nodes"][last]["id"] != before["nodes"][last]["id"]
    assert after["terminates_at"] == before["terminates_at"], "it is the same fleet"
    end = parse_at(before["terminates_at"])
    assert end and all(node.ends_at and node.ends_at <= end for node in live(project).values())
    ends = project.fleet("status", "-s", "sandbox", "--json").ok().json["ends"]
    assert {one["state"] for one in ends} == {"armed", "by hand"}
    assert datetime.fromisoformat(next(one["at"] for one in ends if one["name"] == "lease")) <= end

    project.fleet("down", "-s", "sandbox").ok()
    assert project.left() == []
    found = (
        project.cloud()
        .client("ec2")
        .describe_capacity_reservations(CapacityReservationIds=[room["CapacityReservationId"]])["CapacityReservations"]
    )
    assert found[0]["State"] == "active", "what was bought is its owner's"


def live(project: Project) -> dict[str, Node]:
    return {id: node for id, node in sweep.live(project.cloud(), "sandbox").items() if node.state == "running"}


def test_a_subnet_without_an_address_for_each_node_and_the_files_is_refused(project: Project) -> None:
    ec2 = project.cloud().client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/24")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.0.0/28", AvailabilityZone="us-east-1a")["Subnet"]["SubnetId"]
    keys = {"swift-fleet:subnetId": subnet, "swift-fleet:nodes": "11"}
    for files, refused in (("false", ""), ("true", f"{subnet}  has 11 addresses free, 12 are needed.")):
        project.stack(change=keys | {"swift-fleet:sharedFiles": files})
        done = project.fleet("preview", "-s", "sandbox")
        assert (done.code, refused in done.err) == (2 if refused else 0, True), done.all
    project.stack(change=NO_FILES | keys | {"swift-fleet:nodes": "12"})
    full = project.fleet("up", "--yes", "-s", "sandbox")
    assert full.code == 2 and "has 11 addresses free, 12 are needed. Choose a larger subnet." in full.err
    assert project.left() == []


def test_a_zone_that_has_not_the_type_is_refused_with_those_that_have(project: Project) -> None:
    project.stack(change=NO_FILES | {"swift-fleet:instanceType": "p6-b200.48xlarge", "swift-fleet:zone": "us-east-1e"})
    for words in (["preview"], ["up", "--yes"]):
        done = project.fleet(words[0], "-s", "sandbox", *words[1:])
        assert done.code == 4 and "p6-b200.48xlarge is not offered in us-east-1e. It is in us-east-1" in done.err
    assert project.left() == []


def test_half_a_spot_fleet_never_stays(project: Project) -> None:
    refusal = {"action": "RunInstances", "code": "InsufficientInstanceCapacity", "status": 500, "after": 1}
    project.control("faults", [refusal])
    done = up(project, capacity="spot", candidates={"zones": ["us-east-1a"]})
    assert done.code == 4 and "InsufficientInstanceCapacity" in done.err
    assert project.left() == []
    launched = project.control("status")["instances"]
    assert launched and {one["state"] for one in launched} == {"terminated"}
