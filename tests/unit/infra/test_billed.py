from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from infra import billed, goods
from infra.billed import Found
from infra.goods import Good
from infra.ledger import bill
from infra.prices import Price, shipped_price

AT = datetime(2026, 11, 20, 5, tzinfo=UTC)
EAST = "us-east-1"
OURS = [{"Key": "swift-fleet:stack", "Value": "dev"}]


def instance(**more: Any) -> dict[str, Any]:
    row = {
        "InstanceId": "i-1",
        "InstanceType": "g6.xlarge",
        "State": {"Name": "running"},
        "LaunchTime": AT,
        "Placement": {"AvailabilityZone": "us-east-1a", "Tenancy": "default"},
        "PlatformDetails": "Linux/UNIX",
        "NetworkInterfaces": [],
    }
    return row | more


def instances(**more: Any) -> list[Found]:
    return list(billed.instances([{"Instances": [instance(**more)]}], EAST))


def usd(found: Found, spot: Price | None = None) -> tuple[float | None, str]:
    one = bill(found, {good: shipped_price(good) for good, _ in found.lines}, spot)
    return one.usd_per_hour, one.unknown


def link(owner: str) -> dict[str, Any]:
    return {"Association": {"PublicIp": "198.51.100.4", "IpOwnerId": owner}}


@pytest.mark.parametrize(
    ("more", "price", "detail"),
    [
        ({}, (0.8048, ""), "g6.xlarge running, On-Demand"),
        (
            {"NetworkInterfaces": [link("amazon")]},
            (0.8098, ""),
            "g6.xlarge running, On-Demand, public IPv4",
        ),
        # an elastic address is a row of its own: counted here too, it would be counted twice
        ({"NetworkInterfaces": [link("123456789012")]}, (0.8048, ""), "g6.xlarge running, On-Demand"),
        ({"InstanceLifecycle": "spot"}, (0.31, ""), "g6.xlarge running, spot"),
        ({"InstanceLifecycle": "capacity-block"}, (0.0, ""), "g6.xlarge running, capacity block, paid ahead"),
        ({"PlatformDetails": "Windows"}, (None, "the price of Windows is not asked"), "g6.xlarge running, On-Demand"),
        (
            {"Placement": {"AvailabilityZone": "us-east-1a", "Tenancy": "dedicated"}},
            (None, "the price of dedicated tenancy is not asked"),
            "g6.xlarge running, On-Demand",
        ),
        (
            {"InstanceType": "x9.huge"},
            (None, "x9.huge has no On-Demand list price"),
            "x9.huge running, On-Demand",
        ),
    ],
)
def test_a_machine_bills_as_it_was_bought(more: dict[str, Any], price: tuple[float | None, str], detail: str) -> None:
    [found] = instances(**more)
    spot = Price(0.31) if found.spot else None
    assert usd(found, spot) == (pytest.approx(price[0]) if price[0] is not None else None, price[1])
    assert (found.detail, found.since, found.stack) == (detail, AT, "")


def test_a_machine_that_does_not_run_bills_by_its_disks_alone() -> None:
    for state in ("stopped", "stopping", "shutting-down", "terminated"):
        assert instances(State={"Name": state}) == []


def test_whose_it_is_stands_in_its_tag() -> None:
    assert [found.stack for found in instances(Tags=OURS)] == ["dev"]
    assert [found.stack for found in instances(Tags=[{"Key": "Name", "Value": "dev"}])] == [""]


def file_system(**more: Any) -> dict[str, Any]:
    size = {"Value": 730 << 30, "ValueInStandard": 730 << 30}
    row = {"FileSystemId": "fs-1", "SizeInBytes": size, "ThroughputMode": "elastic", "CreationTime": AT, "Tags": OURS}
    return row | more


def reservation(**more: Any) -> dict[str, Any]:
    row = {
        "CapacityReservationId": "cr-1",
        "InstanceType": "g6.xlarge",
        "InstancePlatform": "Linux/UNIX",
        "TotalInstanceCount": 4,
        "AvailableInstanceCount": 3,
        "State": "active",
        "CreateDate": AT,
    }
    return row | more


ENDPOINT = {
    "VpcEndpointId": "vpce-1",
    "VpcEndpointType": "Interface",
    "ServiceName": "com.amazonaws.us-east-1.ssm",
    "State": "available",
    "SubnetIds": ["subnet-1", "subnet-2"],
}
DISK = {"VolumeId": "vol-1", "VolumeType": "gp3", "Size": 730, "Iops": 3000, "State": "in-use", "CreateTime": AT}
LUSTRE = {"FileSystemId": "fs-2", "FileSystemType": "LUSTRE", "StorageCapacity": 1460}
SCRATCH = {"LustreConfiguration": {"DeploymentType": "SCRATCH_2"}}
SPEED = "its provisioned speed bills beside its size, and that price is not asked"


@pytest.mark.parametrize(
    ("read", "row", "price", "detail"),
    [
        (billed.volumes, DISK, (0.08, ""), "730 GiB gp3, attached"),
        (billed.volumes, DISK | {"State": "available"}, (0.08, ""), "730 GiB gp3, attached to nothing"),
        (billed.volumes, DISK | {"Iops": 16000}, (None, SPEED), "730 GiB gp3, attached"),
        (billed.volumes, DISK | {"VolumeType": "io2"}, (None, SPEED), "730 GiB io2, attached"),
        (
            billed.volumes,
            DISK | {"VolumeType": "sc1"},
            (None, "no price of EBS sc1 is shipped"),
            "730 GiB sc1, attached",
        ),
        (billed.addresses, {"PublicIp": "198.51.100.4", "AllocationId": "e"}, (0.005, ""), "198.51.100.4, idle"),
        (
            billed.addresses,
            {"PublicIp": "198.51.100.4", "AllocationId": "e", "InstanceId": "i-1"},
            (0.005, ""),
            "198.51.100.4, of i-1",
        ),
        (billed.nat_gateways, {"NatGatewayId": "nat-1", "State": "available"}, (0.045, ""), "and its GB"),
        (billed.file_systems, file_system(), (0.30, ""), "EFS 730.0 GiB, elastic"),
        (
            billed.file_systems,
            file_system(ThroughputMode="provisioned"),
            (None, "provisioned throughput bills beside its size, and that price is not asked"),
            "EFS 730.0 GiB, provisioned",
        ),
        (
            billed.lustre,
            LUSTRE | {"LustreConfiguration": {"DeploymentType": "PERSISTENT_2", "PerUnitStorageThroughput": 250}},
            (2 * 0.21, ""),
            "FSx LUSTRE 1460 GiB, PERSISTENT_2",
        ),
        (billed.lustre, LUSTRE | SCRATCH, (2 * 0.14, ""), "FSx LUSTRE 1460 GiB, SCRATCH_2"),
        (
            billed.lustre,
            LUSTRE | SCRATCH | {"Tags": [{"Key": "swift-fleet:kept", "Value": "true"}], "StorageType": "HDD"},
            (None, "the price of this kind of FSx is not asked"),
            "FSx LUSTRE 1460 GiB, SCRATCH_2, kept (retain: true)",
        ),
        (
            billed.snapshots,
            {"SnapshotId": "snap-1", "VolumeSize": 200, "StartTime": AT},
            (None, "they bill what they store, which AWS does not tell"),
            f"of 200 GiB of volumes in all, the oldest of {AT:%Y-%m-%d}",
        ),
        (
            billed.endpoints,
            ENDPOINT,
            (None, "the price of an endpoint is not asked"),
            "com.amazonaws.us-east-1.ssm in 2 zones, and its GB",
        ),
        (
            billed.load_balancers,
            {"LoadBalancerName": "web", "Type": "application", "CreatedTime": AT},
            (None, "the price of a load balancer is not asked"),
            "application",
        ),
        (billed.reservations, reservation(), (3 * 0.8048, ""), "reservation: 3 of 4 x g6.xlarge unused"),
        (
            billed.reservations,
            reservation(ReservationType="capacity-block"),
            (0.0, ""),
            "capacity block, paid ahead: 3 of 4 x g6.xlarge unused",
        ),
    ],
)
def test_a_thing_bills_by_what_it_is(
    read: Any, row: dict[str, Any], price: tuple[float | None, str], detail: str
) -> None:
    [found] = read([row], EAST)
    assert usd(found) == (pytest.approx(price[0]) if price[0] is not None else None, price[1])
    assert found.detail == detail


@pytest.mark.parametrize("row", [reservation(AvailableInstanceCount=0), reservation(State="expired")])
def test_reserved_machines_that_run_are_not_counted_twice(row: dict[str, Any]) -> None:
    assert list(billed.reservations([row], EAST)) == []


@pytest.mark.parametrize("row", [ENDPOINT | {"VpcEndpointType": "Gateway"}, ENDPOINT | {"State": "deleted"}])
def test_an_endpoint_that_costs_nothing_is_none(row: dict[str, Any]) -> None:
    assert list(billed.endpoints([row], EAST)) == []


def test_a_price_of_another_region_is_never_this_ones() -> None:
    [found] = billed.volumes([DISK], "eu-west-1")
    assert usd(found) == (None, "no price list for eu-west-1 is shipped")


def test_every_kind_reads_nothing_out_of_nothing() -> None:
    assert [list(kind.read([], EAST)) for kind in (*billed.KINDS, *billed.OTHERS)] == [[]] * 10


@pytest.mark.parametrize("kind", ["gp2", "gp3", "io1", "st1", "standard"])
def test_a_disk_is_found_by_the_price_lists_own_name(kind: str) -> None:
    names = {"io1": "EBS:VolumeUsage.piops", "standard": "EBS:VolumeUsage"}
    good: Good = goods.volume(EAST, kind)
    assert good.usage == names.get(kind, f"EBS:VolumeUsage.{kind}")
