"""The idle alarm: CloudWatch terminates a node whose CPU has done nothing for long, whatever the node itself thinks.

It needs nothing of the node, no role and no id that is known late: one alarm a node. CPU and not GPU, since the GPU's
metrics would need an agent with rights on the node; a training process keeps at least one core busy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.nodes import node_name
from infra.tags import node_prefix

#: EC2's basic monitoring, which costs nothing, has one point in 5 minutes.
PERIOD_S = 300
#: The lease knows more of the node (runs, GPUs, people), so it comes first; the alarm takes twice as long.
TIMES_THE_LEASE = 2
#: Half a core is no training. On small types a half is more than a machine that idles ever needs.
CORES, MOST_PERCENT = 0.5, 5.0


@dataclass
class IdleAlarmsArgs:
    """idle_minutes: of the lease; vcpus: of one node."""

    instance_ids: Sequence[pulumi.Input[str]]
    idle_minutes: int
    vcpus: int
    region: pulumi.Input[str]
    stack: str
    tags: Mapping[str, str]


class IdleAlarms(pulumi.ComponentResource):
    """One alarm a node, in order of rank; none where `idle_minutes` is 0."""

    def __init__(self, name: str, args: IdleAlarmsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("swift-fleet:infra:IdleAlarms", name, {}, opts)
        ids = args.instance_ids if args.idle_minutes else []
        alarms = [self._alarm(rank, one, args) for rank, one in enumerate(ids)]
        self.register_outputs({"alarm_names": [alarm.name for alarm in alarms]})

    def _alarm(self, rank: int, instance_id: pulumi.Input[str], args: IdleAlarmsArgs) -> aws.cloudwatch.MetricAlarm:
        name = alarm_name(args.stack, rank)
        looks = args.idle_minutes * TIMES_THE_LEASE * 60 // PERIOD_S
        return aws.cloudwatch.MetricAlarm(
            f"{node_name(rank)}-idle",
            name=name,
            alarm_description=f"swift-fleet: terminates {node_name(rank)} of {args.stack} when it does nothing",
            namespace="AWS/EC2",
            metric_name="CPUUtilization",
            dimensions={"InstanceId": instance_id},
            statistic="Maximum",
            period=PERIOD_S,
            comparison_operator="LessThanThreshold",
            threshold=idle_percent(args.vcpus),
            # each of them, and none missing: a node that boots, or that CloudWatch lost sight of, is not idle
            evaluation_periods=looks,
            datapoints_to_alarm=looks,
            treat_missing_data="notBreaching",
            alarm_actions=[pulumi.Output.concat("arn:aws:automate:", args.region, ":ec2:terminate")],
            tags={"Name": name, **args.tags},
            opts=pulumi.ResourceOptions(parent=self),
        )


def alarm_name(stack: str, rank: int) -> str:
    """Fixed, so that `fleet status` and a sweep ask for a stack's alarms by name."""
    return f"{node_prefix(stack)}{rank:03d}-idle"


def idle_percent(vcpus: int) -> float:
    """CPUUtilization, of all cores together, below which a node does nothing."""
    return round(min(MOST_PERCENT, 100 * CORES / vcpus), 3)
