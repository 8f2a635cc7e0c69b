"""What of a stack exists in the cloud, whatever the state file says: found by tag or name, and ended.

It closes the hole that an interrupted `up` leaves (created, never recorded), and it is the proof of a teardown:
each question that was asked, and what AWS answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from infra.cloud import Cloud, translated
from infra.guardrails import STACK_TAG, schedule_name
from infra.nodes import LIFETIME_TAG, fleet_name
from infra.settings import parse_duration


@dataclass(frozen=True)
class Thing:
    """Something that exists: kind "instance", id "i-...", and what it says of itself ("running", m7i.xlarge)."""

    kind: str
    id: str
    detail: str = ""


@dataclass(frozen=True)
class Node:
    """A machine that bills: its state, type and zone, when AWS launched it (UTC), how long its tag says it lives."""

    id: str
    state: str
    instance_type: str
    zone: str
    launched_at: datetime
    lifetime: timedelta | None = None

    @property
    def ends_at(self) -> datetime | None:
        return self.launched_at + self.lifetime if self.lifetime else None


@dataclass(frozen=True)
class Answer:
    """One question to the cloud and its answer: `asked` "DescribeVpcs tag:swift-fleet:stack=dev" -> `found`."""

    asked: str
    found: tuple[Thing, ...]


def live(cloud: Cloud, stack: str) -> dict[str, Node]:
    """The stack's machines that bill, by id. Raises CloudRefused where AWS can't be asked."""
    with translated():
        return {one.id: one for one in _live(cloud, stack)}


def terminate(cloud: Cloud, ids: list[str]) -> None:
    """Asks AWS to terminate, and doesn't wait."""
    with translated():
        cloud.client("ec2").terminate_instances(InstanceIds=ids)


def end_schedule(cloud: Cloud, stack: str) -> None:
    with translated():
        _end_schedules(cloud, list(_schedules(cloud, stack)))


def look(cloud: Cloud, stack: str) -> list[Answer]:
    """Everything of the stack that still exists, question by question. Raises CloudRefused where it can't look:
    a question that was not answered is no proof."""
    with translated():
        return [
            Answer(asked.format(tag=f"tag:{STACK_TAG}={stack}", stack=stack), tuple(find(cloud, stack)))
            for asked, find, _ in KINDS
        ]


def end(cloud: Cloud, stack: str, say: Callable[[Thing], None] = lambda thing: None) -> list[Thing]:
    """Ends whatever `look` finds, instances first since they cost most, each kind after what depends on it."""
    ended = []
    with translated():
        for _, find, remove in KINDS:
            found = list(find(cloud, stack))
            for thing in found:
                say(thing)
            if found:
                remove(cloud, found)
                ended += found
    return ended


def _tagged(stack: str) -> list[dict[str, object]]:
    return [{"Name": f"tag:{STACK_TAG}", "Values": [stack]}]


def _pages(cloud: Cloud, service: str, call: str, key: str, **arguments: object) -> Iterable[dict]:
    for page in cloud.client(service).get_paginator(call).paginate(**arguments):
        yield from page[key]


def _live(cloud: Cloud, stack: str) -> Iterator[Node]:
    states = {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped", "shutting-down"]}
    for group in _pages(cloud, "ec2", "describe_instances", "Reservations", Filters=[*_tagged(stack), states]):
        for one in group["Instances"]:
            launched_at = one["LaunchTime"].astimezone(UTC)
            tags = {tag["Key"]: tag["Value"] for tag in one.get("Tags", [])}
            lifetime = tagged_lifetime(tags.get(LIFETIME_TAG, ""))
            yield Node(
                one["InstanceId"],
                one["State"]["Name"],
                one["InstanceType"],
                one["Placement"]["AvailabilityZone"],
                launched_at,
                lifetime,
            )


def tagged_lifetime(text: str) -> timedelta | None:
    """Of a tag that a person may have written over: None where it is no duration."""
    try:
        return parse_duration(text)
    except ValueError:
        return None


def _instances(cloud: Cloud, stack: str) -> Iterator[Thing]:
    for node in _live(cloud, stack):
        yield Thing("instance", node.id, f"{node.state} {node.instance_type}")


def _end_instances(cloud: Cloud, things: list[Thing]) -> None:
    ids = [thing.id for thing in things]
    cloud.client("ec2").terminate_instances(InstanceIds=ids)
    waiter = cloud.client("ec2").get_waiter("instance_terminated")
    waiter.wait(InstanceIds=ids, WaiterConfig={"Delay": 2, "MaxAttempts": 300})


def _schedules(cloud: Cloud, stack: str) -> Iterator[Thing]:
    name = schedule_name(stack)
    for one in _pages(cloud, "scheduler", "list_schedules", "Schedules", NamePrefix=name):
        if one["Name"] == name:
            yield Thing("schedule", one["Name"], one.get("State", ""))


def _end_schedules(cloud: Cloud, things: list[Thing]) -> None:
    for thing in things:
        cloud.client("scheduler").delete_schedule(Name=thing.id)


def _file_systems(cloud: Cloud, stack: str) -> Iterator[Thing]:
    for one in _pages(cloud, "efs", "describe_file_systems", "FileSystems"):
        if {"Key": STACK_TAG, "Value": stack} in one["Tags"]:
            yield Thing("file system", one["FileSystemId"], one["LifeCycleState"])


def _end_file_systems(cloud: Cloud, things: list[Thing]) -> None:
    import tenacity
    from botocore.exceptions import ClientError

    efs = cloud.client("efs")
    # A file system with a mount target is refused, and a mount target takes a minute or two to go.
    patient = tenacity.Retrying(
        retry=tenacity.retry_if_exception(
            lambda error: isinstance(error, ClientError) and error.response["Error"]["Code"] == "FileSystemInUse"
        ),
        wait=tenacity.wait_fixed(3),
        stop=tenacity.stop_after_delay(600),
        reraise=True,
    )
    for thing in things:
        for target in efs.describe_mount_targets(FileSystemId=thing.id)["MountTargets"]:
            efs.delete_mount_target(MountTargetId=target["MountTargetId"])
        for point in efs.describe_access_points(FileSystemId=thing.id)["AccessPoints"]:
            efs.delete_access_point(AccessPointId=point["AccessPointId"])
        patient(efs.delete_file_system, FileSystemId=thing.id)


def _volumes(cloud: Cloud, stack: str) -> Iterator[Thing]:
    for one in _pages(cloud, "ec2", "describe_volumes", "Volumes", Filters=_tagged(stack)):
        yield Thing("volume", one["VolumeId"], f"{one['State']} {one['Size']} GiB")


def _end_volumes(cloud: Cloud, things: list[Thing]) -> None:
    for thing in things:
        cloud.client("ec2").delete_volume(VolumeId=thing.id)


def _groups(cloud: Cloud, stack: str) -> Iterator[Thing]:
    for one in _pages(cloud, "ec2", "describe_security_groups", "SecurityGroups", Filters=_tagged(stack)):
        yield Thing("security group", one["GroupId"], one["GroupName"])


def _end_groups(cloud: Cloud, things: list[Thing]) -> None:
    ec2 = cloud.client("ec2")
    # Rules first: a group that another one's rule names can't be deleted.
    for thing in things:
        rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [thing.id]}])
        for out in (False, True):
            ids = [r["SecurityGroupRuleId"] for r in rules["SecurityGroupRules"] if r["IsEgress"] is out]
            revoke = ec2.revoke_security_group_egress if out else ec2.revoke_security_group_ingress
            if ids:
                revoke(GroupId=thing.id, SecurityGroupRuleIds=ids)
    for thing in things:
        ec2.delete_security_group(GroupId=thing.id)


def _subnets(cloud: Cloud, stack: str) -> Iterator[Thing]:
    for one in _pages(cloud, "ec2", "describe_subnets", "Subnets", Filters=_tagged(stack)):
        yield Thing("subnet", one["SubnetId"], one["CidrBlock"])


def _end_subnets(cloud: Cloud, things: list[Thing]) -> None:
    for thing in things:
        cloud.client("ec2").delete_subnet(SubnetId=thing.id)


def _route_tables(cloud: Cloud, stack: str) -> Iterator[Thing]:
    for one in _pages(cloud, "ec2", "describe_route_tables", "RouteTables", Filters=_tagged(stack)):
        yield Thing("route table", one["RouteTableId"])


def _end_route_tables(cloud: Cloud, things: list[Thing]) -> None:
    ec2 = cloud.client("ec2")
    for thing in things:
        table = ec2.describe_route_tables(RouteTableIds=[thing.id])["RouteTables"][0]
        for joined in table["Associations"]:
            ec2.disassociate_route_table(AssociationId=joined["RouteTableAssociationId"])
        ec2.delete_route_table(RouteTableId=thing.id)


def _gateways(cloud: Cloud, stack: str) -> Iterator[Thing]:
    for one in _pages(cloud, "ec2", "describe_internet_gateways", "InternetGateways", Filters=_tagged(stack)):
        yield Thing("internet gateway", one["InternetGatewayId"])


def _end_gateways(cloud: Cloud, things: list[Thing]) -> None:
    ec2 = cloud.client("ec2")
    for thing in things:
        gateway = ec2.describe_internet_gateways(InternetGatewayIds=[thing.id])["InternetGateways"][0]
        for attached in gateway["Attachments"]:
            ec2.detach_internet_gateway(InternetGatewayId=thing.id, VpcId=attached["VpcId"])
        ec2.delete_internet_gateway(InternetGatewayId=thing.id)


def _vpcs(cloud: Cloud, stack: str) -> Iterator[Thing]:
    for one in _pages(cloud, "ec2", "describe_vpcs", "Vpcs", Filters=_tagged(stack)):
        yield Thing("VPC", one["VpcId"], one["CidrBlock"])


def _end_vpcs(cloud: Cloud, things: list[Thing]) -> None:
    for thing in things:
        cloud.client("ec2").delete_vpc(VpcId=thing.id)


def _keys(cloud: Cloud, stack: str) -> Iterator[Thing]:
    for one in cloud.client("ec2").describe_key_pairs(Filters=_tagged(stack))["KeyPairs"]:
        yield Thing("key pair", one["KeyName"])


def _end_keys(cloud: Cloud, things: list[Thing]) -> None:
    for thing in things:
        cloud.client("ec2").delete_key_pair(KeyName=thing.id)


def _profiles(cloud: Cloud, stack: str) -> Iterator[Thing]:
    iam = cloud.client("iam")
    for one in _pages(cloud, "iam", "list_instance_profiles", "InstanceProfiles"):
        name = one["InstanceProfileName"]
        if name.startswith(f"{fleet_name(stack)}-") and _is_ours(
            iam.list_instance_profile_tags(InstanceProfileName=name)["Tags"], stack
        ):
            yield Thing("instance profile", name)


def _end_profiles(cloud: Cloud, things: list[Thing]) -> None:
    iam = cloud.client("iam")
    for thing in things:
        for role in iam.get_instance_profile(InstanceProfileName=thing.id)["InstanceProfile"]["Roles"]:
            iam.remove_role_from_instance_profile(InstanceProfileName=thing.id, RoleName=role["RoleName"])
        iam.delete_instance_profile(InstanceProfileName=thing.id)


def _roles(cloud: Cloud, stack: str) -> Iterator[Thing]:
    iam = cloud.client("iam")
    for one in _pages(cloud, "iam", "list_roles", "Roles"):
        name = one["RoleName"]
        if name.startswith(f"{fleet_name(stack)}-") and _is_ours(iam.list_role_tags(RoleName=name)["Tags"], stack):
            yield Thing("role", name)


def _end_roles(cloud: Cloud, things: list[Thing]) -> None:
    iam = cloud.client("iam")
    for thing in things:
        for policy in iam.list_role_policies(RoleName=thing.id)["PolicyNames"]:
            iam.delete_role_policy(RoleName=thing.id, PolicyName=policy)
        iam.delete_role(RoleName=thing.id)


def _is_ours(tags: list[dict[str, str]], stack: str) -> bool:
    return {"Key": STACK_TAG, "Value": stack} in tags


#: Each kind: how it is asked for, who finds it, who ends it; in the order in which they can go.
KINDS: tuple[tuple[str, Callable[[Cloud, str], Iterator[Thing]], Callable[[Cloud, list[Thing]], None]], ...] = (
    ("ec2 DescribeInstances {tag}", _instances, _end_instances),
    ("scheduler ListSchedules {stack}", _schedules, _end_schedules),
    ("ec2 DescribeVolumes {tag}", _volumes, _end_volumes),
    ("efs DescribeFileSystems {tag}", _file_systems, _end_file_systems),
    ("ec2 DescribeSecurityGroups {tag}", _groups, _end_groups),
    ("ec2 DescribeSubnets {tag}", _subnets, _end_subnets),
    ("ec2 DescribeRouteTables {tag}", _route_tables, _end_route_tables),
    ("ec2 DescribeInternetGateways {tag}", _gateways, _end_gateways),
    ("ec2 DescribeVpcs {tag}", _vpcs, _end_vpcs),
    ("ec2 DescribeKeyPairs {tag}", _keys, _end_keys),
    ("iam ListInstanceProfiles {stack}", _profiles, _end_profiles),
    ("iam ListRoles {stack}", _roles, _end_roles),
)
