"""The end that AWS itself brings: a one-time schedule that terminates the nodes if nothing else did.

It goes by id, so it exists only after the nodes do, and is rewritten when they change; until then the lease that
each node arms at boot (`infra/userdata.py`) is alone. By tag would need SSM Automation and wider rights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pulumi
import pulumi_aws as aws

from infra.access import trust
from infra.tags import STACK_TAG

TERMINATE = "arn:aws:scheduler:::aws-sdk:ec2:terminateInstances"


@dataclass
class GuardrailsArgs:
    """ends_at: UTC, counted from the first up, GRACE after the leases; instance_ids: whom to terminate; stack: whose
    tag the right is bound to.
    """

    ends_at: datetime
    instance_ids: Sequence[pulumi.Input[str]]
    stack: str
    tags: Mapping[str, str]


class Guardrails(pulumi.ComponentResource):
    """`schedule_name` and `terminates_at`, as the schedule has it: "at(2026-11-24T18:45:00)", UTC."""

    schedule_name: pulumi.Output[str]
    terminates_at: pulumi.Output[str]

    def __init__(self, name: str, args: GuardrailsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("swift-fleet:infra:Guardrails", name, {}, opts)
        mine = pulumi.ResourceOptions(parent=self)
        role = aws.iam.Role(
            f"{name}-end-role",
            description="swift-fleet: terminates the nodes of one stack at its deadline",
            assume_role_policy=trust("scheduler.amazonaws.com"),
            tags={"Name": name, **args.tags},
            opts=mine,
        )
        right = aws.iam.RolePolicy("end-right", role=role.id, policy=right_to_terminate(args.stack), opts=mine)
        schedule = aws.scheduler.Schedule(
            "end",
            name=schedule_name(args.stack),
            description=f"terminates what is left of {name}",
            schedule_expression=at(args.ends_at),
            schedule_expression_timezone="UTC",
            flexible_time_window={"mode": "OFF"},
            action_after_completion="DELETE",
            target={
                "arn": TERMINATE,
                "role_arn": role.arn,
                "input": pulumi.Output.json_dumps({"InstanceIds": list(args.instance_ids)}),
                "retry_policy": {"maximum_retry_attempts": 30, "maximum_event_age_in_seconds": 3600},
            },
            # The lifetime counts from the first up: a later one, or `fleet extend`, must not move it unasked.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[right], ignore_changes=["scheduleExpression"]),
        )
        self.schedule_name, self.terminates_at = schedule.name, schedule.schedule_expression
        self.register_outputs({"schedule_name": schedule.name})


def schedule_name(stack: str) -> str:
    """Fixed, since a schedule carries no tags: by its name alone it can be found when the state is lost."""
    return f"swift-fleet-{stack}-end"


def at(moment: datetime) -> str:
    """EventBridge Scheduler's one-time expression."""
    return f"at({moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S})"


def right_to_terminate(stack: str) -> str:
    """The schedule's whole policy: one action, on what carries the stack's tag."""
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": "ec2:TerminateInstances",
                    "Resource": "*",
                    "Condition": {"StringEquals": {f"ec2:ResourceTag/{STACK_TAG}": stack}},
                }
            ],
        }
    )
