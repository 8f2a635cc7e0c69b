from __future__ import annotations

from datetime import UTC, datetime, timedelta

from infra.ends import sweep_end
from infra.kinds import Node


def test_a_node_without_a_lifetime_is_one_that_no_sweep_would_end() -> None:
    tagged = Node(
        "i-1", "running", "g6.xlarge", "us-east-1a", datetime(2026, 11, 24, 5, tzinfo=UTC), timedelta(hours=2)
    )
    bare = Node("i-2", "running", "g6.xlarge", "us-east-1a", datetime(2026, 11, 24, 5, tzinfo=UTC))
    assert (sweep_end([tagged]).state, sweep_end([tagged, bare]).state) == ("armed", "missing")
    assert "2026-11-24 07:00 UTC" in sweep_end([tagged]).detail
    assert "i-2" in sweep_end([tagged, bare]).detail
