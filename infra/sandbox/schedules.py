"""EventBridge Scheduler's one-time schedules, carried out when due. moto only stores them.

A universal target `arn:aws:scheduler:::aws-sdk:<service>:<apiAction>` is called through the sandbox's own endpoint, so
the call stands in the request log like anybody else's.
https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-universal.html
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import boto3
import botocore.exceptions
from botocore import xform_name
from botocore.config import Config
from moto.iam.models import iam_backends
from moto.scheduler.models import scheduler_backends

from infra.sandbox.clock import Clock, Due
from infra.sandbox.patches import instances
from infra.sandbox.rights import allows

log = logging.getLogger(__name__)

_AT = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)")
_UNIVERSAL = re.compile(r"arn:aws[\w-]*:scheduler:::aws-sdk:([\w-]+):(\w+)")


def parse_at(expression: str, timezone: str = "UTC") -> datetime | None:
    """The UTC moment of `at(2026-12-01T10:00:00)` in a named time zone; None for rate() and cron()."""
    match = _AT.fullmatch(expression.strip())
    if not match:
        return None
    try:
        zone = ZoneInfo(timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return None
    return datetime.fromisoformat(match[1]).replace(tzinfo=zone).astimezone(UTC)


def parse_target(arn: str) -> tuple[str, str] | None:
    """(service, method of its boto3 client) of a universal target."""
    match = _UNIVERSAL.fullmatch(arn)
    return (match[1], xform_name(match[2][0].upper() + match[2][1:])) if match else None


@dataclass(frozen=True)
class _Key:
    account: str
    region: str
    group: str
    name: str
    expression: str
    timezone: str


class Schedules:
    """A source of the clock. A schedule's moment is counted from the offset that the clock had when the schedule was
    first seen: who writes `at(two hours from now)` means the hosts' and operators' time, which tests do not move."""

    def __init__(self, clock: Clock, endpoint: str, lock: AbstractContextManager[Any]) -> None:
        self._clock, self._endpoint, self._lock = clock, endpoint, lock
        self._own = threading.Lock()
        self._due_at: dict[_Key, datetime] = {}
        self._done: dict[_Key, str] = {}
        clock.follow(self._due)

    def outcomes(self) -> dict[str, str]:
        """What became of each schedule that fell due: `ok`, or why it could not be carried out."""
        with self._own:
            return {key.name: outcome for key, outcome in self._done.items()}

    def call_ec2(self, region: str, verb: str, instance_id: str) -> None:
        """What an alarm's action does: terminate or stop. A refusal is for the log alone, as on AWS."""
        try:
            getattr(self._client("ec2", region), f"{verb}_instances")(InstanceIds=[instance_id])
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            log.warning("an alarm could not %s %s: %s", verb, instance_id, error)

    def _due(self) -> Iterator[Due]:
        waiting = []
        with self._lock, self._own:
            for key, schedule in _stored():
                if key not in self._due_at:
                    at = parse_at(key.expression, key.timezone)
                    if at is None:
                        continue
                    self._due_at[key] = at + self._clock.offset
                if key not in self._done and schedule.state == "ENABLED":
                    waiting.append((self._due_at[key], key))
        for at, key in waiting:
            yield Due(at, f"schedule {key.name}", lambda key=key: self._fire(key))  # type: ignore[misc]

    def _fire(self, key: _Key) -> None:
        outcome = self._carry_out(key)
        with self._own:
            self._done[key] = outcome

    def _carry_out(self, key: _Key) -> str:
        with self._lock:
            schedule = dict(_stored()).get(key)
            refusal = _why_not(key.account, schedule)
        if schedule is None or refusal:
            return refusal
        service, method = parse_target(schedule.target["Arn"]) or ("", "")
        try:
            call = getattr(self._client(service, key.region), method)
            call(**json.loads(schedule.target.get("Input") or "{}"))
            if schedule.action_after_completion == "DELETE":
                self._client("scheduler", key.region).delete_schedule(Name=key.name, GroupName=key.group)
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            return str(error)
        except (AttributeError, ValueError) as error:
            return f"the target can't be called: {error}"
        return "ok"

    def _client(self, service: str, region: str) -> Any:
        return boto3.client(
            service,  # type: ignore[call-overload]
            region_name=region,
            endpoint_url=self._endpoint,
            aws_access_key_id="scheduler",
            aws_secret_access_key="scheduler",
            config=Config(retries={"mode": "standard", "total_max_attempts": 3}, proxies={}),
        )


def _stored() -> Iterator[tuple[_Key, Any]]:
    for account, regions in list(scheduler_backends.items()):
        for region, backend in list(regions.items()):
            for group in list(backend.schedule_groups.values()):
                for schedule in list(group.schedules.values()):
                    zone = schedule.schedule_expression_timezone or "UTC"
                    key = _Key(account, region, group.name, schedule.name, schedule.schedule_expression, zone)
                    yield key, schedule


def _why_not(account: str, schedule: Any) -> str:
    if schedule is None:
        return "the schedule is gone"
    if schedule.state != "ENABLED":
        return f"the schedule is {schedule.state}"
    if parse_target(schedule.target.get("Arn", "")) is None:
        return f"the sandbox can't call the target {schedule.target.get('Arn')}"
    role_arn = schedule.target.get("RoleArn", "")
    roles = iam_backends[account]["aws"].roles.values()
    role = next((role for role in roles if role.arn == role_arn), None)
    if role is None:
        return f"the role {role_arn} does not exist"
    if "scheduler.amazonaws.com" not in str(role.assume_role_policy_document):
        return f"the role {role_arn} does not let scheduler.amazonaws.com assume it"
    service, _, action = schedule.target["Arn"].removeprefix("arn:aws:scheduler:::aws-sdk:").partition(":")
    documents = [*role.policies.values(), *_managed(role)]
    right = f"{service}:{action[0].upper()}{action[1:]}"
    for one in json.loads(schedule.target.get("Input") or "{}").get("InstanceIds", []):
        instance = instances.find(one)
        tags = {tag["key"]: tag["value"] for tag in instance.get_tags()} if instance else {}
        if instance and not allows(documents, right, tags):
            return f"the role {role_arn} may not {right} {one}"
    return ""


def _managed(role: Any) -> Iterator[str]:
    for policy in role.managed_policies.values():
        yield from (version.document for version in policy.versions if version.is_default_version)
