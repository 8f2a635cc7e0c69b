"""How a fleet ends though everybody forgets it: the ends that AWS holds, looked at where they are.

UNKNOWN is an answer of its own: an end that can't be seen is neither armed nor missing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from infra.cloud import Cloud
from infra.guardrails import schedule_name

State = Literal["armed", "off", "missing", "UNKNOWN"]


@dataclass(frozen=True)
class End:
    """name: "AWS schedule"; at: when it ends the fleet, UTC; detail: how, or why it can't be told."""

    name: str
    state: State
    at: datetime | None = None
    detail: str = ""


def aws_schedule(cloud: Cloud, stack: str, instance_ids: set[str]) -> End:
    """The one-time schedule: armed where it is enabled, in the future, and names every node that runs."""
    from botocore.exceptions import BotoCoreError, ClientError

    name = schedule_name(stack)
    try:
        found = cloud.client("scheduler").get_schedule(Name=name)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "ResourceNotFoundException":
            return End("AWS schedule", "missing", detail=f"{name} does not exist: fleet up makes it")
        return End("AWS schedule", "UNKNOWN", detail=f"scheduler:GetSchedule: {code}: give the right, or look in AWS")
    except BotoCoreError as error:
        return End("AWS schedule", "UNKNOWN", detail=str(error))
    at = parse_at(found["ScheduleExpression"])
    if at is None:
        return End("AWS schedule", "UNKNOWN", detail=f"{found['ScheduleExpression']} is no one-time schedule of ours")
    if found.get("State", "ENABLED") != "ENABLED":
        return End("AWS schedule", "missing", at, f"{name} is disabled")
    unnamed = [one for one in sorted(instance_ids) if one not in found["Target"].get("Input", "")]
    if unnamed:
        return End("AWS schedule", "missing", at, f"it does not name {', '.join(unnamed)}: fleet up rewrites it")
    if at <= datetime.now(UTC):
        return End("AWS schedule", "missing", at, "its time is past")
    return End("AWS schedule", "armed", at, "by id")


def parse_at(expression: str) -> datetime | None:
    found = re.fullmatch(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)", expression)
    return datetime.fromisoformat(found.group(1)).replace(tzinfo=UTC) if found else None
