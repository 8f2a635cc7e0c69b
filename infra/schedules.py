"""A stack's schedules at AWS (EventBridge Scheduler), one for each node: named, read, moved.

One for each, since TerminateInstances ends none of its machines where it doesn't know one of them, and EC2 forgets a
machine about an hour after its end: one schedule for all would be disarmed by the first node that is long gone.
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_TerminateInstances.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from infra.cloud import Cloud, translated
from infra.tags import node_prefix, stack_named

TERMINATE = "arn:aws:scheduler:::aws-sdk:ec2:terminateInstances"
#: Calls at once.
THREADS = 16
#: What GetSchedule tells and UpdateSchedule does not take.
_TOLD_ONLY = ("Arn", "CreationDate", "LastModificationDate", "ResponseMetadata")


@dataclass(frozen=True)
class Schedule:
    """at: UTC, None where it is no one-time expression; terminates: the instances' ids, none where it does anything
    else; role: the name; content: as UpdateSchedule takes it."""

    name: str
    enabled: bool
    at: datetime | None
    terminates: frozenset[str]
    role: str
    content: Mapping[str, Any]


def schedule_name(stack: str, node: str) -> str:
    """node: "node-000". Fixed, since a schedule carries no tags: when the state is lost its name alone finds it."""
    return f"swift-fleet-{stack}-{node}-end"


def at(moment: datetime) -> str:
    """EventBridge Scheduler's one-time expression."""
    return f"at({moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S})"


def parse_at(expression: str) -> datetime | None:
    found = re.fullmatch(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)", expression)
    return datetime.fromisoformat(found.group(1)).replace(tzinfo=UTC) if found else None


def read_schedules(cloud: Cloud, stack: str) -> tuple[Schedule, ...]:
    """In order of name. Raises botocore's own errors: `fleet status` makes them a state, the others a refusal."""
    scheduler = cloud.client("scheduler")

    def read(name: str) -> Schedule | None:
        try:
            return _parsed(scheduler.get_schedule(Name=name))
        except scheduler.exceptions.ResourceNotFoundException:
            return None  # it fired, or was taken away, since it was listed

    pages = scheduler.get_paginator("list_schedules").paginate(NamePrefix=node_prefix(stack))
    names = [one["Name"] for page in pages for one in page["Schedules"] if stack_named(one["Name"], "end") == stack]
    with ThreadPoolExecutor(THREADS) as pool:
        return tuple(one for one in pool.map(read, sorted(names)) if one)


def _parsed(found: Mapping[str, Any]) -> Schedule:
    target = found["Target"]
    ends = json.loads(target.get("Input") or "{}") if target["Arn"] == TERMINATE else {}
    return Schedule(
        name=found["Name"],
        enabled=found.get("State", "ENABLED") == "ENABLED",
        at=parse_at(found["ScheduleExpression"]),
        terminates=frozenset(ends.get("InstanceIds", [])),
        role=target["RoleArn"].rpartition("/")[2],
        content={key: value for key, value in found.items() if key not in _TOLD_ONLY},
    )


def last_end(cloud: Cloud, stack: str) -> datetime | None:
    """When the last of them ends its node; None where there is none. Raises CloudRefused where AWS can't be asked."""
    with translated():
        return max((one.at for one in read_schedules(cloud, stack) if one.at and one.enabled), default=None)


def move_schedules(cloud: Cloud, stack: str, to: datetime) -> None:
    """AWS isn't asked to move what is there already. The whole content is sent: what UpdateSchedule is not given goes
    back to its default."""
    with translated(), ThreadPoolExecutor(THREADS) as pool:
        apart = [one for one in read_schedules(cloud, stack) if one.content["ScheduleExpression"] != at(to)]
        update = cloud.client("scheduler").update_schedule
        list(pool.map(lambda one: update(**{**one.content, "ScheduleExpression": at(to)}), apart))
