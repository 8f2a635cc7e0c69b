"""What AWS can hold of a fleet, kind by kind: who finds it by its tag or name, and who ends it.

A finder looks for one stack's things, or, without a stack, for those of all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from infra.cloud import Cloud
from infra.durations import parse_duration
from infra.nodes import LIFETIME_TAG
from infra.schedules import THREADS
from infra.tags import STACK_TAG, node_prefix, stack_named


@dataclass(frozen=True)
class Thing:
    """Something that exists: kind "instance", id "i-...", what it says of itself ("running m7i.xlarge"), and whose.

    kept: on purpose (`retain: true`): nothing of ours ends it. made: when, UTC, None where AWS does not tell.
    """

    kind: str
    id: str
    detail: str = ""
    stack: str = ""
    kept: bool = False
    made: datetime | None = None


@dataclass(frozen=True)
class Node:
    """A machine that bills: its state, type and zone, when AWS launched it (UTC), how long its tag says it lives, the
    reservation that it targets, the image that it was made of.
    """

    id: str
    state: str
    instance_type: str
    zone: str
    launched_at: datetime
    lifetime: timedelta | None = None
    stack: str = ""
    reservation: str = ""
    image: str = ""

    @property
    def ends_at(self) -> datetime | None:
        return None if self.lifetime is None else self.launched_at + self.lifetime


@dataclass(frozen=True)
class Kind:
    """asked: the question as a proof shows it, with {tag} or {stack}."""

    asked: str
    find: Callable[[Cloud, str | None], Iterable[Thing]]
    end: Callable[[Cloud, list[Thing]], None]


def tagged(stack: str | None) -> list[dict[str, object]]:
    """EC2's filter for what is ours."""
    if stack is None:
        return [{"Name": "tag-key", "Values": [STACK_TAG]}]
    return [{"Name": f"tag:{STACK_TAG}", "Values": [stack]}]


def stack_of(tags: Iterable[dict[str, str]] | None) -> str:
    return next((tag["Value"] for tag in tags or [] if tag["Key"] == STACK_TAG), "")


def pages(cloud: Cloud, service: str, call: str, key: str, **arguments: object) -> Iterator[Any]:
    for page in cloud.client(service).get_paginator(call).paginate(**arguments):
        yield from page[key]


def nodes(cloud: Cloud, stack: str | None) -> Iterator[Node]:
    """The machines that bill."""
    states = {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped", "shutting-down"]}
    for group in pages(cloud, "ec2", "describe_instances", "Reservations", Filters=[*tagged(stack), states]):
        for one in group["Instances"]:
            tags = {tag["Key"]: tag["Value"] for tag in one.get("Tags", [])}
            target = one.get("CapacityReservationSpecification", {}).get("CapacityReservationTarget", {})
            yield Node(
                one["InstanceId"],
                one["State"]["Name"],
                one["InstanceType"],
                one["Placement"]["AvailabilityZone"],
                one["LaunchTime"].astimezone(UTC),
                lifetime_of(one),
                tags[STACK_TAG],
                target.get("CapacityReservationId", ""),
                one["ImageId"],
            )


def lifetime_of(instance: Mapping[str, Any]) -> timedelta | None:
    """By its tag, which a person may have written over: None where it is no duration."""
    tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
    try:
        return parse_duration(tags.get(LIFETIME_TAG, ""))
    except ValueError:
        return None


def _instances(cloud: Cloud, stack: str | None) -> Iterator[Thing]:
    for node in nodes(cloud, stack):
        detail = f"{node.state} {node.instance_type}"
        yield Thing("instance", node.id, detail, node.stack, made=node.launched_at)


def end_nodes(cloud: Cloud, ids: list[str]) -> None:
    """Terminates machines, and waits until AWS says that they are."""
    cloud.client("ec2").terminate_instances(InstanceIds=ids)
    waiter = cloud.client("ec2").get_waiter("instance_terminated")
    waiter.wait(InstanceIds=ids, WaiterConfig={"Delay": 2, "MaxAttempts": 300})


def _end_instances(cloud: Cloud, things: list[Thing]) -> None:
    end_nodes(cloud, [thing.id for thing in things])


def _reservations(cloud: Cloud, stack: str | None) -> Iterator[Thing]:
    states = {"Name": "state", "Values": ["active", "pending", "scheduled", "payment-pending", "delayed", "assessing"]}
    call = ("ec2", "describe_capacity_reservations", "CapacityReservations")
    for one in pages(cloud, *call, Filters=[*tagged(stack), states]):
        detail = f"{one['State']} {one['TotalInstanceCount']} x {one['InstanceType']}"
        whose, made = stack_of(one.get("Tags")), one.get("CreateDate")
        yield Thing("capacity reservation", one["CapacityReservationId"], detail, whose, made=made)


def _end_reservations(cloud: Cloud, things: list[Thing]) -> None:
    for thing in things:
        cloud.client("ec2").cancel_capacity_reservation(CapacityReservationId=thing.id)


def _schedules(cloud: Cloud, stack: str | None) -> Iterator[Thing]:
    prefix = node_prefix(stack) if stack else "swift-fleet-"
    for one in pages(cloud, "scheduler", "list_schedules", "Schedules", NamePrefix=prefix):
        owner = stack_named(one["Name"], "end")
        if owner and stack in (None, owner):
            yield Thing("schedule", one["Name"], one.get("State", ""), owner, made=one.get("CreationDate"))


def _end_schedules(cloud: Cloud, things: list[Thing]) -> None:
    delete = cloud.client("scheduler").delete_schedule
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda thing: delete(Name=thing.id), things))


def _alarms(cloud: Cloud, stack: str | None) -> Iterator[Thing]:
    prefix = node_prefix(stack) if stack else "swift-fleet-"
    for one in pages(cloud, "cloudwatch", "describe_alarms", "MetricAlarms", AlarmNamePrefix=prefix):
        owner = stack_named(one["AlarmName"], "idle")
        if owner and stack in (None, owner):
            made = one.get("AlarmConfigurationUpdatedTimestamp")
            yield Thing("alarm", one["AlarmName"], one.get("StateValue", ""), owner, made=made)


def _end_alarms(cloud: Cloud, things: list[Thing]) -> None:
    for begin in range(0, len(things), 100):  # DeleteAlarms takes 100 names
        cloud.client("cloudwatch").delete_alarms(AlarmNames=[thing.id for thing in things[begin : begin + 100]])


def _volumes(cloud: Cloud, stack: str | None) -> Iterator[Thing]:
    for one in pages(cloud, "ec2", "describe_volumes", "Volumes", Filters=tagged(stack)):
        detail = f"{one['State']} {one['Size']} GiB"
        yield Thing("volume", one["VolumeId"], detail, stack_of(one.get("Tags")), made=one.get("CreateTime"))


def _end_volumes(cloud: Cloud, things: list[Thing]) -> None:
    for thing in things:
        cloud.client("ec2").delete_volume(VolumeId=thing.id)


def _placement_groups(cloud: Cloud, stack: str | None) -> Iterator[Thing]:
    for one in cloud.client("ec2").describe_placement_groups(Filters=tagged(stack))["PlacementGroups"]:
        yield Thing("placement group", one["GroupName"], one["Strategy"], stack_of(one.get("Tags")))


def _end_placement_groups(cloud: Cloud, things: list[Thing]) -> None:
    for thing in things:
        cloud.client("ec2").delete_placement_group(GroupName=thing.id)


def _templates(cloud: Cloud, stack: str | None) -> Iterator[Thing]:
    call = ("ec2", "describe_launch_templates", "LaunchTemplates")
    for one in pages(cloud, *call, Filters=tagged(stack)):
        name, whose = one.get("LaunchTemplateName", ""), stack_of(one.get("Tags"))
        yield Thing("launch template", one["LaunchTemplateId"], name, whose, made=one.get("CreateTime"))


def _end_templates(cloud: Cloud, things: list[Thing]) -> None:
    for thing in things:
        cloud.client("ec2").delete_launch_template(LaunchTemplateId=thing.id)


SCHEDULES = Kind("scheduler ListSchedules {stack}", _schedules, _end_schedules)
#: What costs money, first; the rest is in kinds_files, kinds_network and kinds_access.
MACHINES = (
    Kind("ec2 DescribeInstances {tag}", _instances, _end_instances),
    Kind("ec2 DescribeCapacityReservations {tag}", _reservations, _end_reservations),
    SCHEDULES,
    Kind("cloudwatch DescribeAlarms {stack}", _alarms, _end_alarms),
    Kind("ec2 DescribeVolumes {tag}", _volumes, _end_volumes),
    Kind("ec2 DescribePlacementGroups {tag}", _placement_groups, _end_placement_groups),
    Kind("ec2 DescribeLaunchTemplates {tag}", _templates, _end_templates),
)
