"""A fleet of nodes with several network cards: how they are wired, and the one way in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from project import Project, project_in

CONFIG = {
    "swift-fleet:instanceType": "g6e.24xlarge",  # two cards
    "swift-fleet:publicAddresses": "true",
    "swift-fleet:sharedFiles": "false",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with project_in(tmp_path_factory.mktemp("fabric") / "clone") as project:
        project.stack(change=CONFIG)
        project.fleet("up", "--yes", "-s", "sandbox").ok()
        yield project


def test_each_card_has_its_efa_in_one_placement_group(project: Project) -> None:
    asked = [{"Name": "tag:swift-fleet:stack", "Values": ["sandbox"]}]
    found = project.cloud().client("ec2").describe_instances(Filters=asked)["Reservations"]
    nodes = [one for group in found for one in group["Instances"]]
    assert len(nodes) == 2 and len({node["Placement"]["GroupName"] for node in nodes}) == 1
    for node in nodes:
        wires = {
            nic["Attachment"]["NetworkCardIndex"]: (nic["Attachment"]["DeviceIndex"], nic["InterfaceType"])
            for nic in node["NetworkInterfaces"]
        }
        assert wires == {0: (0, "efa"), 1: (1, "efa-only")}


def test_rank_0_is_the_way_in_and_the_rest_is_reached_through_it(project: Project) -> None:
    first, second = project.fleet("nodes", "-s", "sandbox", "--json").ok().json
    assert first["address"] != first["private_address"] and not first["behind_master"]
    assert second["address"] == second["private_address"] and second["behind_master"]
    for rank in ("0", "1"):
        assert project.fleet("ssh", rank, "-s", "sandbox", "echo", f"rank-{rank}").ok().out.strip() == f"rank-{rank}"
    assert "ProxyCommand" in project.fleet("ssh", "1", "-s", "sandbox", "--json").ok().out
    lease = next(
        end for end in project.fleet("status", "-s", "sandbox", "--json").ok().json["ends"] if end["name"] == "lease"
    )
    assert (lease["state"], lease["detail"]) == ("armed", "on 2 of 2")


def test_it_ends_whole_also_where_the_state_is_lost(project: Project) -> None:
    shutil.rmtree(project.state / "pulumi")
    assert any(one.startswith("NAT gateway") for one in project.left())
    project.fleet("down", "-s", "sandbox").ok()
    assert project.left() == []
    ec2 = project.cloud().client("ec2")
    assert ec2.describe_addresses()["Addresses"] == []
    assert {one["State"] for one in ec2.describe_nat_gateways()["NatGateways"]} <= {"deleted"}
    assert project.beyond_the_policy() == set()
