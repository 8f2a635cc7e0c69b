from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from infra.shunned import Bad, again, recent, remember

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def bad(name: str, node: str, hours: float) -> Bad:
    return Bad(name, "us-east-1a", node, (NOW - timedelta(hours=hours)).isoformat(timespec="seconds"))


def test_a_bad_machine_is_remembered_for_a_day(tmp_path: Path) -> None:
    file = tmp_path / ".fleet" / "bad-hosts.json"
    assert recent(file, NOW) == []
    remember(file, bad("i-old", "nn-1", 25), NOW)
    remember(file, bad("i-new", "nn-2", 23), NOW)
    assert [one.instance_id for one in recent(file, NOW)] == ["i-new"]


def test_a_new_machine_beside_a_bad_one_is_said() -> None:
    known = [bad("i-bad", "nn-1", 1), bad("i-untold", "", 1)]
    assert again(known, "i-next", "nn-1") == "i-next is on nn-1, as i-bad was, which went bad at 2026-11-24T11:00"
    assert again(known, "i-next", "nn-2") is None
    assert again(known, "i-next", "") is None
