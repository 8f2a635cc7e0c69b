"""How a fleet ends though everybody forgets it: the ends that AWS holds, looked at where they are.

UNKNOWN is an answer of its own: an end that can't be seen is neither armed nor missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from infra.cloud import Cloud
from infra.durations import LONGEST
from infra.guardrails import right_to_terminate
from infra.kinds import Node
from infra.schedules import read_schedules
from infra.tags import node_prefix

IDLE_ALARM, SCHEDULE = "idle alarm", "AWS schedule"
State = Literal["armed", "by hand", "off", "missing", "UNKNOWN"]


@dataclass(frozen=True)
class End:
    """name: "AWS schedule"; state: "by hand" of one that somebody must run, "off" by the stack file; at: when it ends
    the fleet, UTC; detail: how, or why it can't be told.
    """

    name: str
    state: State
    at: datetime | None = None
    detail: str = ""

    @property
    def is_past(self) -> bool:
        return self.at is not None and self.at <= datetime.now(UTC)


def held_by_aws(cloud: Cloud, stack: str, instance_ids: set[str], idle_minutes: int) -> tuple[End, End]:
    """The ends that need neither the nodes nor a person."""
    return aws_schedule(cloud, stack, instance_ids), idle_alarms(cloud, stack, instance_ids, idle_minutes)


def aws_schedule(cloud: Cloud, stack: str, instance_ids: set[str]) -> End:
    """The one-time schedules as one end: armed where each node that runs has one that is enabled, in the future, and
    would terminate it. `at`: the last of them, or one that is past."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        found = read_schedules(cloud, stack)
        roles = {one.role for one in found}
        powerless = sorted(role for role in roles if not _may_terminate(cloud, role, stack))
    except ClientError as error:
        asked = f"{error.operation_name}: {error.response['Error']['Code']}"
        return End(SCHEDULE, "UNKNOWN", detail=f"{asked}: give the right, or look in AWS")
    except BotoCoreError as error:
        return End(SCHEDULE, "UNKNOWN", detail=str(error))
    if not found:
        return End(SCHEDULE, "missing", detail=f"{node_prefix(stack)}* does not exist: fleet up makes it")
    now = datetime.now(UTC)
    if past := min((one.at for one in found if one.at and one.at <= now), default=None):
        return End(SCHEDULE, "missing", past, "its time is past: fleet up makes it anew")
    last = max((one.at for one in found if one.at), default=None)
    if disabled := [one.name for one in found if not one.enabled or not one.at]:
        return End(SCHEDULE, "missing", last, f"{', '.join(disabled)} is disabled, or no one-time schedule")
    if bare := sorted(instance_ids.difference(*(one.terminates for one in found))):
        return End(SCHEDULE, "missing", last, f"none for {', '.join(bare)}: fleet up makes it")
    if powerless:
        return End(SCHEDULE, "missing", last, "its role may not terminate the nodes: fleet up gives the right")
    return End(SCHEDULE, "armed", last, "by id")


def _may_terminate(cloud: Cloud, role: str, stack: str) -> bool:
    """Whether one of the role's own policies has the right that guardrails give. A fleet ran hours past its time by a
    policy without it (spawn #502)."""
    iam = cloud.client("iam")
    try:
        names = iam.list_role_policies(RoleName=role)["PolicyNames"]
        documents = [iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names]
    except iam.exceptions.NoSuchEntityException:
        return False
    right = json.loads(right_to_terminate(stack))["Statement"]
    return any(statement in document["Statement"] for document in documents for statement in right)


def idle_alarms(cloud: Cloud, stack: str, instance_ids: set[str], idle_minutes: int) -> End:
    """CloudWatch's alarms: armed where each node that runs has one that is enabled and would terminate it."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        pages = cloud.client("cloudwatch").get_paginator("describe_alarms")
        found = [one for page in pages.paginate(AlarmNamePrefix=node_prefix(stack)) for one in page["MetricAlarms"]]
    except ClientError as error:
        code = error.response["Error"]["Code"]
        return End(IDLE_ALARM, "UNKNOWN", detail=f"cloudwatch:DescribeAlarms: {code}: give the right, or look in AWS")
    except BotoCoreError as error:
        return End(IDLE_ALARM, "UNKNOWN", detail=str(error))
    if not idle_minutes and not found:
        return End(IDLE_ALARM, "off", detail="swift-fleet:idleMinutes is 0")
    armed = [
        one
        for one in found
        if one.get("ActionsEnabled") and any(a.endswith(":ec2:terminate") for a in one.get("AlarmActions", []))
    ]
    watched = {d["Value"] for one in armed for d in one.get("Dimensions", []) if d["Name"] == "InstanceId"}
    if bare := sorted(instance_ids - watched):
        return End(IDLE_ALARM, "missing", detail=f"none for {', '.join(bare)}: fleet up makes it")
    minutes = max((one["Period"] * one["EvaluationPeriods"] // 60 for one in armed), default=0)
    threshold = max((one["Threshold"] for one in armed), default=0.0)
    return End(IDLE_ALARM, "armed", detail=f"after {minutes} min below {threshold:g}% CPU; {len(watched)} alarms")


def sweep_end(nodes: Iterable[Node]) -> End:
    """The one end that somebody must start: whether it would know each of the nodes as past its time, and when."""
    untold = sorted(node.id for node in nodes if node.ends_at is None)
    if untold:
        detail = f"no lifetime tag on {', '.join(untold)}: a sweep leaves them for {LONGEST.days} days"
        return End("sweep", "missing", detail=detail)
    last = max((node.ends_at for node in nodes if node.ends_at), default=None)
    return End(
        "sweep",
        "by hand",
        detail=f"where somebody or cron runs fleet sweep --yes: by tag, what lives past {last:%Y-%m-%d %H:%M} UTC",
    )
