"""What AWS sells that a fleet is made of: which line of its price list each is. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Good:
    """One line of AWS's price list.

    filters: GetProducts' own, region apart; usage: the usage type without the region's prefix (`USE1-`), since many
    lines pass the same filters, and among them are reservations at $0, or "" for any; unit: as the list has it.
    access, throughput: of a line of EFS, of FSx (MB/s a TiB).
    """

    name: str
    region: str
    service: str
    filters: tuple[tuple[str, str], ...]
    usage: str
    unit: str
    access: str = ""
    throughput: int = 0


def instance(region: str, instance_type: str) -> Good:
    """An hour of Linux, On-Demand, shared tenancy, nothing installed; a reservation's unused slot costs the same."""
    filters = (
        ("instanceType", instance_type),
        ("operatingSystem", "Linux"),
        ("tenancy", "Shared"),
        ("preInstalledSw", "NA"),
        ("capacitystatus", "Used"),
        ("marketoption", "OnDemand"),
    )
    return Good(instance_type, region, "AmazonEC2", filters, f"BoxUsage:{instance_type}", "Hrs")


def volume(region: str, kind: str = "gp3") -> Good:
    """A GiB-month of EBS, its size alone: more than gp3's 3,000 IOPS and 125 MiB/s are other lines."""
    usage = "EBS:VolumeUsage" if kind == "standard" else f"EBS:VolumeUsage.{_VOLUME_USAGE.get(kind, kind)}"
    return Good(f"EBS {kind}", region, "AmazonEC2", (("productFamily", "Storage"),), usage, "GB-Mo")


#: Where the usage type says another name than the API does.
_VOLUME_USAGE = {"io1": "piops"}


def address(region: str) -> Good:
    """An hour of a public IPv4 address in use; an idle one costs the same."""
    group = (("group", "VPCPublicIPv4Address"),)
    return Good("public IPv4 address", region, "AmazonVPC", group, "PublicIPv4:InUseAddress", "Hrs")


def nat_gateway(region: str) -> Good:
    """An hour; what goes through it is by the GB."""
    return Good("NAT gateway", region, "AmazonEC2", (("group", "NGW:NatGateway"),), "NatGateway-Hours", "Hrs")


def files(region: str) -> tuple[Good, Good, Good]:
    """EFS: a GB-month stored in Standard; a GB read and a GB written at elastic throughput."""
    stored = Good("EFS stored", region, "AmazonEFS", (), "TimedStorage-ByteHrs", "GB-Mo")
    read, written = (
        Good(f"EFS {name}", region, "AmazonEFS", (), "ETDataAccess-Bytes", "GB", access)
        for name, access in (("read", "Read"), ("written", "Write"))
    )
    return stored, read, written


def lustre(region: str, deployment: str, throughput: int = 0) -> Good:
    """A GiB-month of FSx for Lustre, full or not, on SSD. Its usage types are told nowhere: by its throughput."""
    filters = (("fileSystemType", "Lustre"), ("storageType", "SSD"))
    per_tib = throughput or SCRATCH_THROUGHPUT
    name = f"{deployment} {throughput}" if throughput else deployment
    return Good(name, region, "AmazonFSx", filters, "", "GB-Mo", throughput=per_tib)


#: What SCRATCH_2 has, MB/s a TiB (FSx for Lustre guide, performance).
SCRATCH_THROUGHPUT = 200
