"""What bills, out of what AWS answers: a kind a function, rows in, things with their price's lines out. Pure.

No row is counted twice: a machine's elastic address and disks are rows of their own, and of a reservation only what
nobody uses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from infra import goods
from infra.catalog import catalog
from infra.cost import HOURS_A_MONTH
from infra.goods import Good
from infra.tags import KEPT_TAG, STACK_TAG

GIB = 1 << 30
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Found:
    """One thing that bills. stack: whose it is by its tag, "" where it is not ours; since: when it was made, UTC.

    lines: what AWS charges for it an hour, as goods and how many of each. unknown: why that is not the whole of it.
    spot: region, type and zone of a machine whose price moves. kept: it stays when the stack ends (retain: true).
    """

    region: str
    kind: str
    id: str
    detail: str
    stack: str
    since: datetime | None
    lines: tuple[tuple[Good, float], ...] = ()
    spot: tuple[str, str, str] | None = None
    unknown: str = ""
    kept: bool = False


def instances(rows: Iterable[Row], region: str) -> Iterator[Found]:
    """rows: reservations of DescribeInstances. A stopped machine bills only its disks, which are rows of their own."""
    for one in (instance for row in rows for instance in row["Instances"]):
        state, kind = one["State"]["Name"], one["InstanceType"]
        if state not in ("pending", "running"):
            continue
        lines, spot, unknown, how = [(goods.instance(region, kind), 1.0)], None, "", "On-Demand"
        if one.get("InstanceLifecycle") == "spot":
            lines, spot, how = [], (region, kind, one["Placement"]["AvailabilityZone"]), "spot"
        elif one.get("InstanceLifecycle") == "capacity-block":
            lines, how = [], "capacity block, paid ahead"
        elif one.get("PlatformDetails", "Linux/UNIX") != "Linux/UNIX":
            lines, unknown = [], f"the price of {one['PlatformDetails']} is not asked"
        elif one["Placement"].get("Tenancy", "default") != "default":
            lines, unknown = [], f"the price of {one['Placement']['Tenancy']} tenancy is not asked"
        # Elastic ones are rows of their own, so counted there.
        lines += [(goods.address(region), float(_lent(one)))] if _lent(one) else []
        detail = f"{kind} {state}, {how}{', public IPv4' if _lent(one) else ''}"
        yield _found(region, "instance", one["InstanceId"], detail, one, "LaunchTime", lines, spot, unknown)


def _lent(instance: Row) -> int:
    """How many public addresses AWS lent it: they bill, and no list of elastic addresses has them."""
    links = [one.get("Association", {}) for one in instance.get("NetworkInterfaces", [])]
    return sum(link.get("IpOwnerId") == "amazon" for link in links)


def volumes(rows: Iterable[Row], region: str) -> Iterator[Found]:
    for one in rows:
        kind, state = one["VolumeType"], one["State"]
        fast = kind in ("io1", "io2") or (kind == "gp3" and (one.get("Iops") or 0) > 3000)
        fast = fast or (one.get("Throughput") or 0) > 125
        lines = [(goods.volume(region, kind), one["Size"] / HOURS_A_MONTH)]
        unknown = "its provisioned speed bills beside its size, and that price is not asked" if fast else ""
        detail = f"{one['Size']} GiB {kind}, {'attached' if state == 'in-use' else 'attached to nothing'}"
        yield _found(region, "volume", one["VolumeId"], detail, one, "CreateTime", lines, None, unknown)


def addresses(rows: Iterable[Row], region: str) -> Iterator[Found]:
    for one in rows:
        used = one.get("InstanceId") or one.get("NetworkInterfaceId")
        detail = f"{one['PublicIp']}, {f'of {used}' if used else 'idle'}"
        identity = one.get("AllocationId") or one["PublicIp"]
        yield _found(region, "elastic address", identity, detail, one, "", [(goods.address(region), 1.0)])


def nat_gateways(rows: Iterable[Row], region: str) -> Iterator[Found]:
    for one in rows:
        if one["State"] in ("pending", "available"):
            line = (goods.nat_gateway(region), 1.0)
            yield _found(region, "NAT gateway", one["NatGatewayId"], "and its GB", one, "CreateTime", [line])


def file_systems(rows: Iterable[Row], region: str) -> Iterator[Found]:
    """EFS: what is stored. What was read and written bills once, by the GB, and no row can tell of it."""
    stored, _, _ = goods.files(region)
    for one in rows:
        size, mode = one["SizeInBytes"], one.get("ThroughputMode", "bursting")
        standard = size.get("ValueInStandard", size["Value"])
        unknown = ""
        if mode == "provisioned":
            unknown = "provisioned throughput bills beside its size, and that price is not asked"
        elif size["Value"] > standard:
            unknown = "part of it lies in a colder class, whose price is not asked"
        stays = any(tag["Key"] == KEPT_TAG for tag in one.get("Tags") or [])
        detail = f"EFS {size['Value'] / GIB:.1f} GiB, {mode}{', kept (retain: true)' if stays else ''}"
        line = (stored, standard / GIB / HOURS_A_MONTH)
        yield _found(region, "file system", one["FileSystemId"], detail, one, "CreationTime", [line], None, unknown)


def lustre(rows: Iterable[Row], region: str) -> Iterator[Found]:
    """FSx: what it can hold, full or not. Of Lustre on SSD alone the price is asked."""
    for one in rows:
        gib, kind = one["StorageCapacity"], one["FileSystemType"]
        stays = any(tag["Key"] == KEPT_TAG for tag in one.get("Tags") or [])
        of = one.get("LustreConfiguration") or {}
        deployment, throughput = of.get("DeploymentType", ""), of.get("PerUnitStorageThroughput", 0)
        detail = (
            f"FSx {kind} {gib} GiB{f', {deployment}' if deployment else ''}{', kept (retain: true)' if stays else ''}"
        )
        good = goods.lustre(region, deployment, throughput)
        asked = one.get("StorageType", "SSD") == "SSD" and good.name in catalog().fsx_usd_per_gib_month
        lines = [(good, gib / HOURS_A_MONTH)] if asked else []
        unknown = "" if asked else "the price of this kind of FSx is not asked"
        yield _found(region, "file system", one["FileSystemId"], detail, one, "CreationTime", lines, None, unknown)


def reservations(rows: Iterable[Row], region: str) -> Iterator[Found]:
    """What of a reservation nobody uses: what is used bills as the machines that use it."""
    for one in rows:
        free, kind = one["AvailableInstanceCount"], one["InstanceType"]
        if one["State"] != "active" or not free:
            continue
        block = one.get("ReservationType") == "capacity-block"
        foreign = one.get("InstancePlatform", "Linux/UNIX") != "Linux/UNIX"
        unknown = f"the price of {one['InstancePlatform']} is not asked" if foreign else ""
        lines = [] if block or foreign else [(goods.instance(region, kind), float(free))]
        what = "capacity block, paid ahead" if block else "reservation"
        detail = f"{what}: {free} of {one['TotalInstanceCount']} x {kind} unused"
        identity = one["CapacityReservationId"]
        yield _found(region, "reservation", identity, detail, one, "CreateDate", lines, None, unknown)


def snapshots(rows: Iterable[Row], region: str) -> Iterator[Found]:
    """The account's own, as one: AWS tells whose volume each was made of, and not how much of it was stored."""
    made = list(rows)
    if not made:
        return
    oldest = min(one["StartTime"] for one in made)
    detail = f"of {sum(one['VolumeSize'] for one in made)} GiB of volumes in all, the oldest of {oldest:%Y-%m-%d}"
    unknown = "they bill what they store, which AWS does not tell"
    yield _found(region, "snapshots", f"{len(made)} snapshots", detail, {}, "", [], None, unknown)


def endpoints(rows: Iterable[Row], region: str) -> Iterator[Found]:
    """Interfaces and Gateway Load Balancers' in a VPC; a gateway to S3 or DynamoDB costs nothing."""
    for one in rows:
        if one["VpcEndpointType"] == "Gateway" or one["State"].lower() in ("deleted", "deleting", "rejected", "failed"):
            continue
        detail = f"{one['ServiceName']} in {len(one.get('SubnetIds', []))} zones, and its GB"
        unknown = "the price of an endpoint is not asked"
        yield _found(region, "endpoint", one["VpcEndpointId"], detail, one, "CreationTimestamp", [], None, unknown)


def load_balancers(rows: Iterable[Row], region: str) -> Iterator[Found]:
    for one in rows:
        unknown = "the price of a load balancer is not asked"
        yield _found(
            region, "load balancer", one["LoadBalancerName"], one["Type"], one, "CreatedTime", [], None, unknown
        )


def _found(
    region: str,
    kind: str,
    identity: str,
    detail: str,
    row: Row,
    made: str,
    lines: Sequence[tuple[Good, float]],
    spot: tuple[str, str, str] | None = None,
    unknown: str = "",
) -> Found:
    tags = {tag["Key"]: tag["Value"] for tag in row.get("Tags") or row.get("TagSet") or []}
    at = row.get(made)
    since = at.astimezone(UTC) if isinstance(at, datetime) else None
    return Found(
        region, kind, identity, detail, tags.get(STACK_TAG, ""), since, tuple(lines), spot, unknown, KEPT_TAG in tags
    )


@dataclass(frozen=True)
class Kind:
    """One question: the call, the key of its rows, what they become, the call's arguments."""

    service: str
    call: str
    key: str
    read: Callable[[Iterable[Row], str], Iterator[Found]]
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)


#: What a stack can have made, or left.
KINDS = (
    Kind("ec2", "describe_instances", "Reservations", instances),
    Kind("ec2", "describe_volumes", "Volumes", volumes),
    Kind("ec2", "describe_addresses", "Addresses", addresses),
    Kind("ec2", "describe_nat_gateways", "NatGateways", nat_gateways),
    Kind("ec2", "describe_capacity_reservations", "CapacityReservations", reservations),
    Kind("efs", "describe_file_systems", "FileSystems", file_systems),
    Kind("fsx", "describe_file_systems", "FileSystems", lustre),
)
#: What is never a stack's: asked for the whole account alone.
OTHERS = (
    Kind("ec2", "describe_snapshots", "Snapshots", snapshots, {"OwnerIds": ["self"]}),
    Kind("ec2", "describe_vpc_endpoints", "VpcEndpoints", endpoints),
    Kind("elbv2", "describe_load_balancers", "LoadBalancers", load_balancers),
)
