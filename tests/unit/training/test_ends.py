from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from training.ends import idle_end, lease_end
from training.lease import Lease, parse

AT = datetime(2026, 11, 24, 5, 0, tzinfo=UTC)
LATER = AT + timedelta(hours=1)


@pytest.mark.parametrize(
    ("held", "state", "at", "detail"),
    [
        ((Lease(0, AT, True), Lease(1, LATER, True)), "armed", LATER, "on 2 of 2"),
        ((Lease(0, AT, True), Lease(1, LATER, False)), "missing", AT, "on 1 of 2: not on rank 1"),
        ((Lease(0, AT, True), Lease(1, None, True)), "missing", AT, "on 1 of 2"),
        ((Lease(0, AT, True), Lease(1, None, False, "no answer")), "UNKNOWN", AT, "on 1 of 2: no answer"),
        ((Lease(0, None, False), Lease(1, None, False)), "missing", None, "on 0 of 2: not on rank 0, 1"),
        ((), "UNKNOWN", None, "on 0 of 2: no node could be asked"),
    ],
)
def test_a_lease_is_armed_where_every_node_has_it_and_unknown_where_one_can_not_tell(
    held: tuple[Lease, ...], state: str, at: datetime | None, detail: str
) -> None:
    end = lease_end(held, 2)
    assert (end.state, end.at) == (state, at)
    assert end.detail.startswith(detail)


def looks(rank: int, minutes: int | None = 60, armed: bool = True, idle: int | None = 0) -> Lease:
    after = None if minutes is None else timedelta(minutes=minutes)
    return Lease(
        rank, AT, True, idle_after=after, idle_armed=armed, idle_for=None if idle is None else timedelta(minutes=idle)
    )


@pytest.mark.parametrize(
    ("held", "state", "detail"),
    [
        ((looks(0), looks(1, idle=20)), "armed", "after 60 min without work; at work"),
        ((looks(0, idle=25), looks(1, idle=20)), "armed", "after 60 min without work; idle for 20 min"),
        ((looks(0), looks(1, idle=None)), "armed", "after 60 min without work; not looked at yet"),
        ((looks(0, 0, False), looks(1, 0, False)), "off", "swift-fleet:idleMinutes is 0"),
        ((looks(0), looks(1, armed=False)), "missing", "on 1 of 2: not on rank 1"),
        ((looks(0), looks(1, None, False)), "missing", "on 1 of 2: not on rank 1"),
        ((looks(0), Lease(1, None, False, "no answer")), "UNKNOWN", "on 1 of 2: no answer"),
        ((looks(0, 0, False),), "missing", "on 0 of 2: not on rank 0"),
        ((), "UNKNOWN", "on 0 of 2: no node could be asked"),
    ],
)
def test_the_idle_end_is_off_only_where_every_node_was_told_so(
    held: tuple[Lease, ...], state: str, detail: str
) -> None:
    assert (idle_end(held, 2).state, idle_end(held, 2).detail) == (state, detail)


@pytest.mark.parametrize(
    ("said", "lease"),
    [
        ("deadline 1795500000\narmed\nidle-minutes 60\nidle-armed\nidle bbuii\n", (True, 60, True, 10)),
        ("deadline 1795500000\narmed\nidle-minutes 60\nidle-armed\nidle iiub\n", (True, 60, True, 0)),
        ("deadline 1795500000\nidle-minutes 0\nidle \n", (False, 0, False, None)),
        ("deadline \nidle-minutes \nidle \n", (False, None, False, None)),
    ],
)
def test_what_a_node_says_of_its_lease(said: str, lease: tuple[bool, int | None, bool, int | None]) -> None:
    armed, minutes, idle_armed, idle_for = lease
    after = None if minutes is None else timedelta(minutes=minutes)
    deadline = datetime.fromtimestamp(1795500000, UTC) if "1795500000" in said else None
    assert parse(0, said) == Lease(
        0, deadline, armed, "", after, idle_armed, None if idle_for is None else timedelta(minutes=idle_for)
    )
