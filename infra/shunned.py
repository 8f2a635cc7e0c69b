"""Machines that went bad, remembered for a day beside the clone: AWS names no host, but it tells the network node that
an instance hangs on, and a new machine may land on the very same one.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from infra.cloud import Cloud
from infra.errors import CloudRefused
from infra.ranks import network_nodes

REMEMBERED = timedelta(days=1)


@dataclass(frozen=True)
class Bad:
    """network_node: the one nearest to it, "nn-..."; "" where AWS tells none of its type. at: UTC, ISO."""

    instance_id: str
    zone: str
    network_node: str
    at: str


def network_node(cloud: Cloud, instance_id: str) -> str:
    """The one nearest to it. "" where AWS tells nothing."""
    try:
        above = network_nodes(cloud, [instance_id]).get(instance_id)
    except CloudRefused:
        return ""
    return above[-1] if above else ""


def remember(file: Path, bad: Bad, now: datetime) -> None:
    kept = [*recent(file, now), bad]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([asdict(one) for one in kept], indent=1), encoding="utf-8")


def recent(file: Path, now: datetime) -> list[Bad]:
    """What was remembered and is not a day old."""
    if not file.exists():
        return []
    known = [Bad(**one) for one in json.loads(file.read_text(encoding="utf-8"))]
    return [one for one in known if now - datetime.fromisoformat(one.at).astimezone(UTC) < REMEMBERED]


def again(known: list[Bad], instance_id: str, nearest: str) -> str | None:
    """What to say where a new machine hangs on a bad one's network node."""
    bad = next((one for one in known if nearest and one.network_node == nearest), None)
    if bad is None:
        return None
    return f"{instance_id} is on {nearest}, as {bad.instance_id} was, which went bad at {bad.at[:16]}"
