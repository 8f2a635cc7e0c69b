from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from training.ends import lease_end
from training.lease import Lease

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
