"""Ranks by topology on the real engine: decided when the machines are there, kept when one is replaced."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import pytest
from project import Project, project_in

from infra.cloud import Cloud
from infra.ranks import network_nodes

pytestmark = pytest.mark.full
NODES = 5
CONFIG = {"instanceType": "g6.xlarge", "nodes": str(NODES), "sharedFiles": "false"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with project_in(tmp_path_factory.mktemp("ranks") / "clone") as project:
        project.stack(change={f"swift-fleet:{key}": value for key, value in CONFIG.items()})
        project.fleet("up", "--yes", "-s", "sandbox").ok()
        yield project


def by_rank(project: Project) -> list[tuple[str, str]]:
    """Name and instance of each rank, as `fleet nodes` and AWS tell them."""
    asked = [{"Name": "instance-state-name", "Values": ["running"]}]
    found = project.cloud().client("ec2").describe_instances(Filters=asked)["Reservations"]
    ids = {one["PrivateIpAddress"]: one["InstanceId"] for group in found for one in group["Instances"]}
    nodes = project.fleet("nodes", "-s", "sandbox", "--json").ok().json
    assert [node["rank"] for node in nodes] == list(range(NODES))
    return [(node["name"], ids[node["private_address"]]) for node in nodes]


def test_neighbours_in_the_network_are_neighbours_in_rank_and_stay_so(project: Project) -> None:
    before = by_rank(project)
    assert before[0][0] == "node-000" and len({name for name, _ in before}) == NODES
    cloud: Cloud = project.cloud()
    told = network_nodes(cloud, [one for _, one in before])
    along = [nearest for nearest, _ in groupby(told[one][-1] for _, one in before)]
    assert len(along) == len(set(along)), "a network node's machines stand apart"
    assert project.fleet("preview", "-s", "sandbox", "--json").ok().json["changes"].keys() == {"same"}
    project.fleet("replace", "2", "--yes", "-s", "sandbox").ok()
    after = by_rank(project)
    assert [name for name, _ in after] == [name for name, _ in before]
    changed = [rank for rank in range(NODES) if after[rank][1] != before[rank][1]]
    assert changed == [2]
