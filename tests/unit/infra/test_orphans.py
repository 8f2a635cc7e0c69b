from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from infra.kinds import Node, Thing
from infra.orphans import judge

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
VPC = Thing("VPC", "vpc-1", stack="dev")
KEPT = Thing("file system", "fs-1", stack="dev", kept=True)


def node(name: str, hours_left: float | None, launched: timedelta = timedelta(hours=4)) -> Node:
    lifetime = None if hours_left is None else launched + timedelta(hours=hours_left)
    return Node(name, "running", "g6.xlarge", "us-east-1a", NOW - launched, lifetime, "dev")


def thing(kind: str, hours: float | None = None, detail: str = "") -> Thing:
    """One that AWS says was made so long ago."""
    made = None if hours is None else NOW - timedelta(hours=hours)
    return Thing(kind, kind, detail, "dev", made=made)


KEY = thing("key pair", 4)


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
        # a colleague's: what is late of it, and the rest when no node is within its time, or it is named
        ({"a": 1}, False, False, "kept", ()),
        ({"a": -0.2}, False, False, "kept", ()),
        ({"a": 1, "b": -1}, False, False, "past its time", ("b",)),
        ({"a": None, "b": -1}, False, False, "past its time", ("b",)),
        ({"a": -1}, False, False, "past its time", ("a", "vpc-1", "key pair")),
        ({}, False, False, "past its time", ("vpc-1", "key pair")),
        ({"a": 1}, False, True, "unknown here", ("a", "vpc-1", "key pair")),
        ({"a": None}, False, True, "unknown here", ("a", "vpc-1", "key pair")),
    ],
)
def test_what_becomes_of_a_stack(
    left: dict[str, float | None], known: bool, named: bool, verdict: str, doomed: tuple[str, ...]
) -> None:
    nodes = tuple(node(name, hours) for name, hours in left.items())
    machines = (Thing("instance", one.id, stack="dev", made=one.launched_at) for one in nodes)
    found = judge("dev", nodes, (*machines, VPC, KEY), known=known, named=named, now=NOW)
    assert (found.verdict, tuple(thing.id for thing in found.doomed)) == (verdict, doomed)
    assert not known or not found.spared


@pytest.mark.parametrize("known", [True, False])
def test_a_node_whose_tag_does_not_tell_is_past_any_time_after_two_weeks(known: bool) -> None:
    old, older = node("a", None, timedelta(days=14)), node("b", None, timedelta(days=14, minutes=16))
    things = tuple(Thing("instance", one.id, stack="dev", made=one.launched_at) for one in (old, older))
    found = judge("dev", (old, older), things, known=known, named=False, now=NOW)
    assert [thing.id for thing in found.doomed] == ["b"]


@pytest.mark.parametrize(
    ("things", "why"),
    [
        # an `up` that goes on in another clone and has no node yet
        ((VPC, thing("capacity reservation", 0.1)), "made at 2026-11-24 11:54 UTC: perhaps of an up under way"),
        ((VPC, KEY, thing("launch template", 1.9)), "made at 2026-11-24 10:06 UTC"),
        ((VPC, thing("elastic address")), "of an age that AWS does not tell"),
    ],
)
def test_what_may_be_of_an_up_under_way_is_left_until_it_is_named(things: tuple[Thing, ...], why: str) -> None:
    found = judge("dev", (), things, known=False, named=False, now=NOW)
    assert (found.verdict, found.doomed, found.spared) == ("kept", (), things)
    assert why in found.why
    named = judge("dev", (), things, known=False, named=True, now=NOW)
    assert (named.doomed, named.spared) == (things, ())


@pytest.mark.parametrize("kind", ["file system", "Lustre file system", "volume"])
def test_files_of_a_stack_that_nobody_named_stay_with_what_they_need_and_what_bills_beside_them_goes(kind: str) -> None:
    """A colleague's fleet whose lease has fired: its checkpoints are on the shared files."""
    files, late = thing(kind, 9, "available 100 GiB"), node("a", -1)
    bill = (Thing("instance", "a", stack="dev"), thing("capacity reservation", 9), thing("elastic address"))
    found = judge("dev", (late,), (*bill, files, VPC, KEY), known=False, named=False, now=NOW)
    assert (found.verdict, found.doomed, found.spared) == ("past its time", bill, (files, VPC, KEY))
    assert f"{kind} {kind} may hold what was trained" in found.why
    assert files in judge("dev", (late,), (*bill, files), known=False, named=True, now=NOW).doomed


def test_a_disk_that_goes_with_its_node_holds_nothing_up_and_is_deleted_by_no_sweep_itself() -> None:
    late, disk = node("a", -1), thing("volume", 4, "in-use 100 GiB")
    found = judge("dev", (late,), (Thing("instance", "a"), disk, VPC, KEY), known=False, named=False, now=NOW)
    assert [thing.id for thing in found.doomed] == ["a", "vpc-1", "key pair"]


@pytest.mark.parametrize(("known", "named"), [(False, False), (False, True), (True, False)])
def test_files_alone_that_were_to_stay_stay_and_are_told_of(known: bool, named: bool) -> None:
    found = judge("dev", (), (KEPT,), known=known, named=named, now=NOW)
    assert (found.verdict, found.doomed, found.spared) == ("kept", (), ())
    assert known or "they bill" in found.why
