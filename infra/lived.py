"""How long a fleet's machines billed: from the first launch to the last end, as far as AWS still tells. It shows a
machine that has ended for about an hour.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from infra.cloud import Cloud
from infra.kinds import lifetime_of, pages, tagged
from infra.settings import GRACE


@dataclass(frozen=True)
class Lived:
    """until: when the last of the machines ended, None while one runs. at_most: it ended by then, when isn't known."""

    since: datetime
    until: datetime | None = None
    at_most: bool = False


def lived(cloud: Cloud, stack: str, began: datetime) -> Lived | None:
    """Of the stack's machines that ran after `began`; None where AWS shows none. CloudRefused if it can't be asked."""
    with cloud.asked():
        groups = pages(cloud, "ec2", "describe_instances", "Reservations", Filters=tagged(stack))
        return told([one for group in groups for one in group["Instances"]], began)


def told(machines: Iterable[Mapping[str, Any]], began: datetime) -> Lived | None:
    """Out of rows of DescribeInstances. Pure. While one runs, those that have ended before it are not counted."""
    launches, ended = [], []
    for one in machines:
        launched = one["LaunchTime"].astimezone(UTC)
        if one["State"]["Name"] != "terminated":
            launches.append(launched)
            continue
        known, lifetime = _time_in(one.get("StateTransitionReason", "")), lifetime_of(one)
        last = known or (launched + lifetime + GRACE if lifetime else None)
        if last and last >= began:
            ended.append(Lived(launched, last, at_most=known is None))
    if launches:
        return Lived(min(launches))
    if not ended:
        return None
    return Lived(
        min(one.since for one in ended), max(one.until for one in ended if one.until), any(one.at_most for one in ended)
    )


def _time_in(reason: str) -> datetime | None:
    """User initiated (2026-11-24 18:40:03 GMT): mostly there, and mostly that."""
    found = re.search(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)", reason)
    return datetime.fromisoformat(found.group(1)).replace(tzinfo=UTC) if found else None
