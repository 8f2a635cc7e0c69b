"""The network that is there before the fleet is: a subnet taken as it is, or a VPC in which the fleet gets its own.

Asked of AWS; nothing is changed. What can't be used is refused in one line before anything is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from infra.addresses import free, inside, overlapped, usable, wide
from infra.cloud import Cloud, named_by, translated
from infra.errors import BadInput
from infra.settings import PREFIX, StackConfig
from infra.tags import STACK_TAG
from infra.ways import Ways

#: The largest and the smallest subnet that a fleet looks for: /23 holds 256 machines, AWS makes none below /28.
LARGEST, SMALLEST = 23, 28
#: Beside the nodes: the mount target of their files.
SPARE = 1
OUTER = "-outer"


@dataclass(frozen=True)
class ExistingSubnet:
    """A subnet that isn't the stack's, as AWS has it. free: addresses that nobody uses."""

    id: str
    vpc_id: str
    zone: str
    free: int


@dataclass(frozen=True)
class ExistingVpc:
    """A VPC that isn't the stack's, as AWS has it.

    blocks: its networks; taken: others' subnets by id; own: those of this stack by name.
    gateway_id: of its internet gateway, where it has one that isn't this stack's.
    way_out: whether its main route table leads out by something other than an internet gateway.
    names: whether machines in it find EFS by name.
    """

    id: str
    blocks: tuple[str, ...]
    taken: Mapping[str, str]
    own: Mapping[str, str]
    gateway_id: str | None
    way_out: bool
    names: bool


@dataclass(frozen=True)
class Ground:
    """What the fleet makes within an existing VPC: the nodes' subnet, that before them, and by which gateway."""

    vpc_id: str
    cidr: str
    outer_cidr: str | None
    gateway_id: str | None


def read_subnet(cloud: Cloud, subnet_id: str) -> ExistingSubnet:
    """Raises BadInput where there is none of this id, CloudRefused where AWS can't be asked."""
    with named_by(cloud, "subnetId", subnet_id):
        found = cloud.client("ec2").describe_subnets(SubnetIds=[subnet_id])["Subnets"][0]
    return ExistingSubnet(subnet_id, found["VpcId"], found["AvailabilityZone"], int(found["AvailableIpAddressCount"]))


def read_vpc(cloud: Cloud, vpc_id: str, stack: str) -> ExistingVpc:
    """Raises BadInput where there is none of this id, CloudRefused where AWS can't be asked."""
    ec2 = cloud.client("ec2")
    with named_by(cloud, "vpcId", vpc_id):
        vpc = ec2.describe_vpcs(VpcIds=[vpc_id])["Vpcs"][0]
    of_it = {"Name": "vpc-id", "Values": [vpc_id]}
    attached = {"Name": "attachment.vpc-id", "Values": [vpc_id]}
    with translated():
        subnets = [
            one for page in ec2.get_paginator("describe_subnets").paginate(Filters=[of_it]) for one in page["Subnets"]
        ]
        gateways = ec2.describe_internet_gateways(Filters=[attached])["InternetGateways"]
        main = ec2.describe_route_tables(Filters=[of_it, {"Name": "association.main", "Values": ["true"]}])
        names = all(
            ec2.describe_vpc_attribute(VpcId=vpc_id, Attribute=name)[name[0].upper() + name[1:]]["Value"]
            for name in ("enableDnsSupport", "enableDnsHostnames")
        )
    routes = [route for table in main["RouteTables"] for route in table["Routes"]]
    return ExistingVpc(
        id=vpc_id,
        blocks=tuple(
            one["CidrBlock"]
            for one in vpc.get("CidrBlockAssociationSet") or [vpc]
            if one.get("CidrBlockState", {}).get("State", "associated") == "associated"
        ),
        taken={one["SubnetId"]: one["CidrBlock"] for one in subnets if not _is_own(one, stack)},
        own={_tags(one).get("Name", ""): one["CidrBlock"] for one in subnets if _is_own(one, stack)},
        gateway_id=next((one["InternetGatewayId"] for one in gateways if not _is_own(one, stack)), None),
        way_out=any(_leads_out(route) for route in routes),
        names=names,
    )


def check_group(cloud: Cloud, config: StackConfig, vpc_id: str) -> None:
    """Raises BadInput where the stack file's security group is of another VPC, or opens SSH to much of the internet."""
    group_id = config.security_group_id
    assert group_id, "a stack file that names a group"
    ec2 = cloud.client("ec2")
    with named_by(cloud, "securityGroupId", group_id):
        (group,) = ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"]
    if group["VpcId"] != vpc_id:
        raise BadInput(
            f"is of {group['VpcId']}, the fleet of {vpc_id}", where=group_id, do=f"Check {PREFIX}securityGroupId."
        )
    if (world := wide_open(group["IpPermissions"], config.ssh_port)) and not config.ssh_from_anywhere:
        raise BadInput(
            f"opens port {config.ssh_port} to {world}",
            where=group_id,
            do=f"Narrow that rule to your own network, or say {PREFIX}sshFromAnywhere: true.",
        )


def wide_open(rules: Iterable[Mapping[str, Any]], port: int) -> str | None:
    """The first network too large to be one operator's to which a group's IpPermissions open a TCP port."""
    for rule in rules:
        # Of protocol "-1", all, there are no ports.
        if rule["IpProtocol"] != "-1" and not (
            rule["IpProtocol"] == "tcp" and rule["FromPort"] <= port <= rule["ToPort"]
        ):
            continue
        cidrs = [one["CidrIp"] for one in rule.get("IpRanges", [])]
        cidrs += [one["CidrIpv6"] for one in rule.get("Ipv6Ranges", [])]
        if found := next(filter(wide, cidrs), None):
            return found
    return None


def ground(vpc: ExistingVpc, config: StackConfig, ways: Ways, name: str, addresses: int) -> Ground:
    """Where in the VPC the fleet goes. name: of the fleet, which its subnets bear; addresses: that the nodes need.

    A fleet that is up keeps its addresses, whatever would be free today. Raises BadInput where there is no room.
    """
    if config.shared_files and not vpc.names:
        raise BadInput(
            "has DNS hostnames or DNS support off, and shared files are mounted by name",
            where=vpc.id,
            do=f"Turn both on (aws ec2 modify-vpc-attribute), or {PREFIX}sharedFiles: false.",
        )
    if not ways.out and not vpc.way_out:
        raise BadInput(
            "its main route table leads nowhere outside, and nodes without public addresses use it",
            where=vpc.id,
            do=f"Add a default route (NAT, transit gateway), or set {PREFIX}access: ssm, which brings a NAT gateway.",
        )
    needed = addresses + SPARE
    cidr = _given(vpc, config.subnet_cidr, needed) if config.subnet_cidr else vpc.own.get(name)
    cidr = cidr or _found(vpc, needed)
    outer = None
    if ways.gateway:
        others = [*vpc.taken.values(), cidr]
        outer = vpc.own.get(f"{name}{OUTER}") or free(vpc.blocks, others, SMALLEST) or _no_room(vpc, "the NAT gateway")
    return Ground(vpc.id, cidr, outer, vpc.gateway_id)


def _given(vpc: ExistingVpc, cidr: str, needed: int) -> str:
    """The subnet that the stack file asks for, as far as the VPC has it."""
    where = f"{PREFIX}subnetCidr"
    if not inside(cidr, vpc.blocks):
        what = f"{cidr} is not within {vpc.id}, which has {', '.join(vpc.blocks)}"
        raise BadInput(what, where=where, do="Take a part of it, or leave the key out.")
    if hit := overlapped(cidr, vpc.taken):
        raise BadInput(f"{cidr} overlaps {hit[0]} ({hit[1]})", where=where, do=_instead(vpc, needed))
    if usable(cidr) < needed:
        what = f"{cidr} has {usable(cidr)} addresses for machines, {needed} are needed"
        raise BadInput(what, where=where, do="Take a larger one.")
    return cidr


def _found(vpc: ExistingVpc, needed: int) -> str:
    """The largest that is free, so that the fleet can grow."""
    for prefix in range(LARGEST, SMALLEST + 1):
        at = free(vpc.blocks, vpc.taken.values(), prefix)
        if at and usable(at) >= needed:
            return at
    return _no_room(vpc, f"{needed} addresses")


def _instead(vpc: ExistingVpc, needed: int) -> str:
    try:
        return f"{_found(vpc, needed)} is free; without the key it is taken."
    except BadInput as none:
        return f"Nothing else is free: {none.do}"


def _no_room(vpc: ExistingVpc, what: str) -> str:
    raise BadInput(
        f"has no free network for {what} in {', '.join(vpc.blocks)}",
        where=vpc.id,
        do="Give the VPC another CIDR block, or use a subnet that is there (subnetId).",
    )


def _leads_out(route: Mapping[str, Any]) -> bool:
    """A default route for machines without a public address."""
    if route.get("DestinationCidrBlock") != "0.0.0.0/0" or route.get("State") == "blackhole":
        return False
    return not str(route.get("GatewayId") or "").startswith("igw-")


def _is_own(one: Mapping[str, Any], stack: str) -> bool:
    return _tags(one).get(STACK_TAG) == stack


def _tags(one: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in one.get("Tags") or []}
