from __future__ import annotations

from typing import Any

import pytest

from infra.errors import CloudRefused
from infra.outputs import NodeOutput, Outputs, parse_outputs


def node(rank: int, **changed: object) -> dict[str, Any]:
    return {
        "rank": rank,
        "id": f"i-{rank}",
        "privateAddress": f"10.77.0.{4 + rank}",
        "publicAddress": f"198.51.100.{4 + rank}",
        "zone": "us-east-1a",
        "instanceType": "g6.xlarge",
        **changed,
    }


def values(**changed: object) -> dict[str, Any]:
    return {
        "nodes": [node(0), node(1)],
        "ssh": {"user": "ec2-user", "port": 22},
        "sharedPath": "~/shared",
        "vpcId": "vpc-1",
        "fileSystemId": "fs-1",
        "terminatesAt": "at(2026-11-24T18:45:00)",
        **changed,
    }


def test_outputs_are_typed() -> None:
    assert parse_outputs(values(nodes=[node(0)])) == Outputs(
        nodes=(NodeOutput(0, "node-000", "i-0", "10.77.0.4", "198.51.100.4", "us-east-1a", "g6.xlarge"),),
        ssh_user="ec2-user",
        ssh_port=22,
        shared_path="~/shared",
        vpc_id="vpc-1",
        file_system_id="fs-1",
        terminates_at="at(2026-11-24T18:45:00)",
    )


def test_nodes_stand_in_order_of_rank_whatever_order_they_came_in() -> None:
    outputs = parse_outputs(values(nodes=[node(2), node(10), node(0), node(1)]))
    assert [one.rank for one in outputs.nodes] == [0, 1, 2, 10]


def test_numbers_that_the_engine_gives_as_floats_are_whole() -> None:
    outputs = parse_outputs(values(nodes=[{**node(1), "rank": 1.0}], ssh={"user": "u", "port": 2222.0}))
    assert (outputs.nodes[0].rank, outputs.ssh_port) == (1, 2222)


@pytest.mark.parametrize("public", [None, ""])
def test_a_node_without_a_public_address_and_a_fleet_without_shared_files_are_whole(public: str | None) -> None:
    outputs = parse_outputs(values(nodes=[node(0, publicAddress=public)], fileSystemId=None, sharedPath=""))
    assert outputs.nodes[0].public_address == ""
    assert outputs.file_system_id is None


@pytest.mark.parametrize("missing", sorted(set(values()) - {"fileSystemId"}))
def test_outputs_of_another_version_are_refused_and_say_what_they_lack(missing: str) -> None:
    given = values()
    del given[missing]
    with pytest.raises(CloudRefused, match=f"outputs lack '{missing}'"):
        parse_outputs(given)


@pytest.mark.parametrize("wrong", [None, 3, [None], [{}]])
def test_nodes_that_are_none_are_refused(wrong: Any) -> None:
    with pytest.raises(CloudRefused, match="outputs lack"):
        parse_outputs(values(nodes=wrong))
