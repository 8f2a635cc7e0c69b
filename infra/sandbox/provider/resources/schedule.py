"""EventBridge Scheduler's schedules (terraform-provider-aws scheduler/schedule.go)."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from typing import Any

from infra.sandbox.provider.resources.base import Resource
from infra.sandbox.provider.resources.rules import arn, named
from infra.sandbox.provider.schema import Autoname, ResourceType, block, integer, text
from infra.sandbox.provider.session import Aws
from infra.sandbox.provider.values import Props
from infra.sandbox.provider.waits import Deadline, or_none, retrying, tolerating

GONE = "ResourceNotFoundException"
# A new role takes time to reach Scheduler; retried two minutes on these words.
ROLE_WAIT = 120
ROLE_WORDS = "assume the role"


def _schedule_name(value: str) -> str | None:
    return None if re.fullmatch(r"[0-9A-Za-z_.-]+", value) else f"{value!r} may hold letters, digits, _ . and - only"


class Schedule(Resource):
    service = "scheduler"
    type = ResourceType(
        token="aws:scheduler/schedule:Schedule",
        inputs={
            "scheduleExpression": text(required=True, length=(1, 256)),
            "flexibleTimeWindow": block(
                {
                    "mode": text(required=True, enum=("OFF", "FLEXIBLE")),
                    "maximumWindowInMinutes": integer(bounds=(1, 1440)),
                },
                required=True,
            ),
            "target": block(
                {
                    "arn": text(required=True, check=arn),
                    "roleArn": text(required=True, check=arn),
                    "input": text(),
                    "deadLetterConfig": block({"arn": text(required=True, check=arn)}),
                    "retryPolicy": block(
                        {
                            "maximumEventAgeInSeconds": integer(default=86400, bounds=(60, 86400)),
                            "maximumRetryAttempts": integer(default=185, bounds=(0, 185)),
                        },
                        # AWS answers with its own defaults where the program says nothing.
                        computed=True,
                    ),
                },
                required=True,
            ),
            **named(64, _schedule_name),
            "groupName": text(computed=True, force_new=True),
            "scheduleExpressionTimezone": text(default="UTC"),
            "state": text(default="ENABLED", enum=("ENABLED", "DISABLED")),
            "actionAfterCompletion": text(computed=True, enum=("NONE", "DELETE")),
            "startDate": text(),
            "endDate": text(),
            "kmsKeyArn": text(check=arn),
            "description": text(length=(0, 512)),
        },
        outputs=("arn",),
        autoname=Autoname("name", longest=64),
    )

    def create(self, aws: Aws, inputs: Props, deadline: Deadline) -> str:
        scheduler = self.client(aws, inputs)
        sent = {**_request(inputs), "ClientToken": str(uuid.uuid4())}
        self._when_role_is_known(lambda: scheduler.create_schedule(**sent), deadline)
        return f"{inputs.get('groupName') or 'default'}/{inputs['name']}"

    def read(self, aws: Aws, id: str, known: Props) -> Props | None:
        group, _, name = id.rpartition("/")
        scheduler = self.client(aws, known)
        answer = or_none(lambda: scheduler.get_schedule(GroupName=group, Name=name), GONE)
        return _state(answer) if answer else None

    def update(self, aws: Aws, id: str, old: Props, new: Props, changed: frozenset[str], deadline: Deadline) -> None:
        # The full content: what is left out goes back to AWS's default.
        scheduler = self.client(aws, new)
        self._when_role_is_known(lambda: scheduler.update_schedule(**_request(new)), deadline)

    def delete(self, aws: Aws, id: str, state: Props, deadline: Deadline) -> None:
        group, _, name = id.rpartition("/")
        with tolerating(GONE):
            self.client(aws, state).delete_schedule(GroupName=group, Name=name)

    def _when_role_is_known(self, call: Any, deadline: Deadline) -> None:
        retrying(call, deadline.capped(ROLE_WAIT), "ValidationException", saying=ROLE_WORDS)


_PLAIN = {
    "name": "Name",
    "groupName": "GroupName",
    "scheduleExpression": "ScheduleExpression",
    "scheduleExpressionTimezone": "ScheduleExpressionTimezone",
    "state": "State",
    "actionAfterCompletion": "ActionAfterCompletion",
    "kmsKeyArn": "KmsKeyArn",
    "description": "Description",
}
_DATES = {"startDate": "StartDate", "endDate": "EndDate"}


def _request(inputs: Props) -> dict[str, Any]:
    window, target = inputs["flexibleTimeWindow"], inputs["target"]
    sent: dict[str, Any] = {name: inputs[key] for key, name in _PLAIN.items() if inputs.get(key)}
    sent |= {name: datetime.fromisoformat(inputs[key]) for key, name in _DATES.items() if inputs.get(key)}
    sent["FlexibleTimeWindow"] = {"Mode": window["mode"]}
    if window.get("maximumWindowInMinutes"):
        sent["FlexibleTimeWindow"]["MaximumWindowInMinutes"] = window["maximumWindowInMinutes"]
    sent["Target"] = {"Arn": target["arn"], "RoleArn": target["roleArn"]}
    if target.get("input"):
        sent["Target"]["Input"] = target["input"]
    if target.get("deadLetterConfig"):
        sent["Target"]["DeadLetterConfig"] = {"Arn": target["deadLetterConfig"]["arn"]}
    if target.get("retryPolicy"):
        sent["Target"]["RetryPolicy"] = {
            "MaximumEventAgeInSeconds": target["retryPolicy"]["maximumEventAgeInSeconds"],
            "MaximumRetryAttempts": target["retryPolicy"]["maximumRetryAttempts"],
        }
    return sent


def _state(found: Any) -> Props:
    target = found["Target"]
    retry = target.get("RetryPolicy") or {}
    read: Props = {key: found.get(name) or "" for key, name in _PLAIN.items()}
    read |= {key: _stamp(found.get(name)) for key, name in _DATES.items()}
    read["arn"] = found["Arn"]
    read["flexibleTimeWindow"] = {"mode": found["FlexibleTimeWindow"]["Mode"]}
    if found["FlexibleTimeWindow"].get("MaximumWindowInMinutes"):
        read["flexibleTimeWindow"]["maximumWindowInMinutes"] = found["FlexibleTimeWindow"]["MaximumWindowInMinutes"]
    read["target"] = {
        "arn": target["Arn"],
        "roleArn": target["RoleArn"],
        "input": target.get("Input", ""),
        "retryPolicy": {
            "maximumEventAgeInSeconds": retry.get("MaximumEventAgeInSeconds", 86400),
            "maximumRetryAttempts": retry.get("MaximumRetryAttempts", 185),
        },
    }
    if target.get("DeadLetterConfig"):
        read["target"]["deadLetterConfig"] = {"arn": target["DeadLetterConfig"]["Arn"]}
    return read


def _stamp(when: Any) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(when, datetime) else ""
