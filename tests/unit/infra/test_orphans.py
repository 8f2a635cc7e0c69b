from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from infra.kinds import Node, Thing
from infra.orphans import judge

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
VPC = Thing("VPC", "vpc-1", stack="dev")
KEPT = Thing("file system", "fs-1", stack="dev", kept=True)


def node(name: str, hours_left: float | None) -> Node:
    lifetime = None if hours_left is None else timedelta(hours=4 + hours_left)
    return Node(name, "running", "g6.xlarge", "us-east-1a", NOW - timedelta(hours=4), lifetime, "dev")


@pytest.mark.parametrize(
    ("left", "known", "named", "verdict", "doomed"),
    [
        ({"a": 1, "b": 1}, True, False, "kept", ()),
        ({"a": 1, "b": 1}, True, True, "kept", ()),
        ({"a": -0.2, "b": -0.2}, True, False, "kept", ()),
        ({"a": -1, "b": 1}, True, False, "past its time", ("a",)),
        ({"a": -1, "b": -1}, True, False, "past its time", ("a", "b")),
        ({"a": None, "b": -1}, True, False, "past its time", ("b",)),
        ({"a": None}, True, False, "kept", ()),
        ({}, True, False, "kept", ()),
        # a colleague's, until its time is over or it is named
        ({"a": 1, "b": -1}, False, False, "kept", ()),
        ({"a": 1}, False, True, "unknown here", ("a", "vpc-1")),
        ({"a": -1}, False, False, "unknown here", ("a", "vpc-1")),
        ({"a": None}, False, False, "unknown here", ("a", "vpc-1")),
        ({}, False, False, "unknown here", ("vpc-1",)),
    ],
)
def test_what_becomes_of_a_stack(
    left: dict[str, float | None], known: bool, named: bool, verdict: str, doomed: tuple[str, ...]
) -> None:
    """With files that are kept: they never are of it."""
    nodes = tuple(node(name, hours) for name, hours in left.items())
    things = (*(Thing("instance", one.id, stack="dev") for one in nodes), VPC, KEPT)
    found = judge("dev", nodes, things, known=known, named=named, now=NOW)
    assert (found.verdict, tuple(thing.id for thing in found.doomed)) == (verdict, doomed)


@pytest.mark.parametrize(("known", "named"), [(False, False), (False, True), (True, False)])
def test_files_alone_that_were_to_stay_stay_and_are_told_of(known: bool, named: bool) -> None:
    found = judge("dev", (), (KEPT,), known=known, named=named, now=NOW)
    assert (found.verdict, found.doomed) == ("kept", ())
    assert known or "they bill" in found.why
