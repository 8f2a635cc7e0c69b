"""Where a fleet that is up stays, and what it can't become."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from infra.errors import BadInput
from infra.kinds import Node
from infra.place import Place
from infra.settings import StackConfig
from infra.site import where_it_runs

LAUNCHED = datetime(2026, 11, 24, tzinfo=UTC)


def alive(count: int, kind: str = "m7i.xlarge") -> list[Node]:
    return [Node(f"i-{rank}", "running", kind, "us-east-1b", LAUNCHED) for rank in range(count)]


@pytest.mark.parametrize(
    ("nodes", "asked", "there"),
    [
        (0, {}, None),
        (2, {"nodes": 2}, Place("m7i.xlarge", "us-east-1b")),
        (2, {"nodes": 3, "candidates": {"instanceTypes": ["m7i.2xlarge"]}}, Place("m7i.xlarge", "us-east-1b")),
        (1, {"instanceType": "m7i.2xlarge"}, Place("m7i.2xlarge", "us-east-1b")),
        (1, {"zone": "us-east-1c"}, Place("m7i.xlarge", "us-east-1c")),
    ],
)
def test_a_fleet_stays_where_it_is_but_for_what_the_file_fixes(nodes: int, asked: dict, there: Place | None) -> None:
    assert where_it_runs(alive(nodes), StackConfig(**{"instanceType": "m7i.xlarge", **asked})) == there


@pytest.mark.parametrize(
    ("nodes", "asked", "said"),
    [
        (2, {"nodes": 2}, "its machines are reserved as that"),
        (2, {"nodes": 1}, "its machines are reserved as that"),
        (1, {"nodes": 2}, "its machines are reserved as that"),
        (1, {"capacity": "spot"}, "a spot machine can't be stopped"),
    ],
)
def test_another_type_is_refused_where_the_machines_could_not_start_again(nodes: int, asked: dict, said: str) -> None:
    with pytest.raises(BadInput, match=f"the fleet runs on m7i.xlarge, and {said}"):
        where_it_runs(alive(nodes), StackConfig(**{"instanceType": "m7i.2xlarge", **asked}))


def test_the_last_machine_of_a_reserved_fleet_is_not_stopped_either() -> None:
    (last,) = alive(1)
    with pytest.raises(BadInput, match="its machines are reserved as that"):
        where_it_runs([replace(last, reservation="cr-1")], StackConfig(instanceType="m7i.2xlarge"))
