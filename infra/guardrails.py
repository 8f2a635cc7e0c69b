"""The end that AWS itself brings: a one-time schedule for each node that terminates it if nothing else did.

It goes by id, so it exists only after its node does, and is rewritten when that changes; until then the lease that
each node arms at boot (`infra/userdata.py`) is alone. By tag would need SSM Automation and wider rights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pulumi
import pulumi_aws as aws

from infra.access import trust
from infra.nodes import node_name
from infra.schedules import TERMINATE, at, schedule_name
from infra.tags import STACK_TAG


@dataclass
class GuardrailsArgs:
    """ends_at: UTC, counted from the first up, GRACE after the leases; instance_ids: whom to terminate, in order of
    number; stack: whose tag the right is bound to.
    """

    ends_at: datetime
    instance_ids: Sequence[pulumi.Input[str]]
    stack: str
    tags: Mapping[str, str]


class Guardrails(pulumi.ComponentResource):
    """`terminates_at`, as the first schedule has it: "at(2026-11-24T18:45:00)", UTC."""

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
        once = pulumi.ResourceOptions(
            parent=self,
            depends_on=[right],
            # The lifetime counts from the first up: a later one, or `fleet extend`, must not move it unasked.
            ignore_changes=["scheduleExpression"],
        )
        schedules = [
            aws.scheduler.Schedule(
                f"{node_name(number)}-end",
                name=schedule_name(args.stack, node_name(number)),
                description=f"terminates {node_name(number)} of {name} if nothing else did",
                schedule_expression=at(args.ends_at),
                schedule_expression_timezone="UTC",
                flexible_time_window={"mode": "OFF"},
                action_after_completion="DELETE",
                target={
                    "arn": TERMINATE,
                    "role_arn": role.arn,
                    "input": pulumi.Output.json_dumps({"InstanceIds": [one]}),
                    "retry_policy": {"maximum_retry_attempts": 30, "maximum_event_age_in_seconds": 3600},
                },
                opts=once,
            )
            for number, one in enumerate(args.instance_ids)
        ]
        self.terminates_at = schedules[0].schedule_expression
        self.register_outputs({"schedule_names": [one.name for one in schedules]})


def right_to_terminate(stack: str) -> str:
    """The schedules' whole policy: one action, on what carries the stack's tag."""
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
