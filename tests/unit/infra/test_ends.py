from __future__ import annotations

from datetime import UTC, datetime, timedelta

from infra.ends import sweep_end
from infra.kinds import Node


def test_a_sweep_is_no_end_that_comes_by_itself_and_would_not_know_a_node_without_a_lifetime() -> None:
    tagged = Node(
        "i-1", "running", "g6.xlarge", "us-east-1a", datetime(2026, 11, 24, 5, tzinfo=UTC), timedelta(hours=2)
    )
    bare = Node("i-2", "running", "g6.xlarge", "us-east-1a", datetime(2026, 11, 24, 5, tzinfo=UTC))
    assert (sweep_end([tagged]).state, sweep_end([tagged, bare]).state) == ("by hand", "missing")
    assert "2026-11-24 07:00 UTC" in sweep_end([tagged]).detail
    assert "i-2" in sweep_end([tagged, bare]).detail
