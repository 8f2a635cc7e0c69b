"""The Price List service, which moto does not have: GetProducts over the shipped catalog, in AWS's own shape.

One region's prices, those of `catalog.yaml`; of any other it lists nothing. What a careless reader would take for the
price of a machine stands beside it, as at AWS: the same type with Windows, dedicated, and as a reservation's slot.
https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_pricing_GetProducts.html
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from infra.catalog import catalog

PAGE = 100
#: Usage types outside us-east-1 carry a prefix; there most have none, and a few have this one.
PREFIX = "USE1-"


def answer(action: str, params: Mapping[str, str]) -> dict[str, Any]:
    """Of one request. Raises NotImplementedError for any other action of the service."""
    if action != "GetProducts":
        raise NotImplementedError(action)
    filters = [(one["Field"], one["Value"]) for one in json.loads(params.get("Filters", "[]"))]
    found = [one for one in _products() if _fits(one, params["ServiceCode"], filters)]
    first, size = int(params.get("NextToken", 0)), min(PAGE, int(params.get("MaxResults", PAGE)))
    page: dict[str, Any] = {"FormatVersion": "aws_v1", "PriceList": [json.dumps(one) for one in found[first:][:size]]}
    return page | ({"NextToken": str(first + size)} if first + size < len(found) else {})


def _fits(product: Mapping[str, Any], service: str, filters: list[tuple[str, str]]) -> bool:
    fields = {"productFamily": product["product"].get("productFamily"), **product["product"]["attributes"]}
    return product["serviceCode"] == service and all(fields.get(name) == value for name, value in filters)


@cache
def _products() -> list[dict[str, Any]]:
    return [*_machines(), *_storage(), *_network(), *_files(), *_lustre()]


def _machines() -> Iterator[dict[str, Any]]:
    for kind in catalog().types.values():
        if kind.usd_per_hour is None:
            continue
        linux = {
            "instanceType": kind.name,
            "operatingSystem": "Linux",
            "tenancy": "Shared",
            "preInstalledSw": "NA",
            "capacitystatus": "Used",
            "marketoption": "OnDemand",
            "operation": "RunInstances",
            "vcpu": str(kind.vcpus),
            "memory": f"{kind.memory_gib} GiB",
        }
        usd = kind.usd_per_hour
        yield _product("AmazonEC2", "Compute Instance", f"BoxUsage:{kind.name}", "Hrs", usd, linux)
        windows = linux | {"operatingSystem": "Windows", "operation": "RunInstances:0002"}
        yield _product(
            "AmazonEC2", "Compute Instance", f"BoxUsage:{kind.name}", "Hrs", usd + 0.046 * kind.vcpus, windows
        )
        alone = linux | {"tenancy": "Dedicated"}
        yield _product("AmazonEC2", "Compute Instance", f"DedicatedUsage:{kind.name}", "Hrs", usd * 1.1, alone)
        taken = linux | {"capacitystatus": "AllocatedCapacityReservation"}
        yield _product("AmazonEC2", "Compute Instance", f"Reservation:{kind.name}", "Hrs", 0.0, taken)
        unused = linux | {"capacitystatus": "UnusedCapacityReservation"}
        yield _product("AmazonEC2", "Compute Instance", f"UnusedBox:{kind.name}", "Hrs", usd, unused)


def _storage() -> Iterator[dict[str, Any]]:
    gp3 = {"volumeApiName": "gp3", "volumeType": "General Purpose"}
    usd = catalog().ebs_gp3_usd_per_gib_month
    yield _product("AmazonEC2", "Storage", "EBS:VolumeUsage.gp3", "GB-Mo", usd, gp3)


def _network() -> Iterator[dict[str, Any]]:
    known, group = catalog(), {"group": "VPCPublicIPv4Address"}
    for usage in ("PublicIPv4:InUseAddress", "PublicIPv4:IdleAddress"):
        yield _product("AmazonVPC", None, PREFIX + usage, "Hrs", known.public_ipv4_usd_per_hour, group)
    yield _product("AmazonVPC", None, f"{PREFIX}PublicIPv4:ContiguousBlock", "Hrs", 0.008, group)
    gateway = {"group": "NGW:NatGateway"}
    usd = known.nat_gateway_usd_per_hour
    yield _product("AmazonEC2", "NAT Gateway", "NatGateway-Hours", "Hrs", usd, gateway)
    yield _product("AmazonEC2", "NAT Gateway", "NatGateway-Bytes", "GB", usd, gateway)


def _files() -> Iterator[dict[str, Any]]:
    known = catalog()
    standard = {"storageClass": "General Purpose"}
    stored = known.efs_usd_per_gib_month
    yield _product("AmazonEFS", "Storage", f"{PREFIX}TimedStorage-ByteHrs", "GB-Mo", stored, standard)
    cold = {"storageClass": "Infrequent Access"}
    yield _product("AmazonEFS", "Storage", f"{PREFIX}IATimedStorage-ByteHrs", "GB-Mo", 0.025, cold)
    for access, usd in (("Read", known.efs_read_usd_per_gib), ("Write", known.efs_write_usd_per_gib)):
        moved = {"accessType": access}
        yield _product("AmazonEFS", "Provisioned Throughput", f"{PREFIX}ETDataAccess-Bytes", "GB", usd, moved)


def _lustre() -> Iterator[dict[str, Any]]:
    """Beside a line for each throughput one of backups, which names the same file system."""
    for name, usd in catalog().fsx_usd_per_gib_month.items():
        deployment, _, throughput = name.partition(" ")
        of = {"fileSystemType": "Lustre", "storageType": "SSD", "deploymentOption": "Single-AZ"}
        usage = f"{PREFIX}Storage_{deployment}:{throughput or 200}"
        yield _product("AmazonFSx", "Storage", usage, "GB-Mo", usd, of | {"throughputCapacity": throughput or "200"})
    backups = {"fileSystemType": "Lustre", "storageType": "SSD"}
    yield _product("AmazonFSx", "Storage", f"{PREFIX}BackupUsage", "GB-Mo", 0.05, backups)


def _product(
    service: str, family: str | None, usage: str, unit: str, usd: float, attributes: Mapping[str, str]
) -> dict[str, Any]:
    known = catalog()
    sku = hashlib.sha256(f"{service} {usage} {sorted(attributes.items())}".encode()).hexdigest()[:16].upper()
    term, rate = f"{sku}.JRTCKXETXF", f"{sku}.JRTCKXETXF.6YS6EN2CT7"  # On-Demand's offer and rate codes at AWS
    dimension = {
        "unit": unit,
        "beginRange": "0",
        "endRange": "Inf",
        "rateCode": rate,
        "appliesTo": [],
        "description": f"${usd} per {unit}",
        "pricePerUnit": {"USD": f"{usd:.10f}"},
    }
    offer = {
        "priceDimensions": {rate: dimension},
        "sku": sku,
        "offerTermCode": "JRTCKXETXF",
        "effectiveDate": f"{known.price_date}T00:00:00Z",
        "termAttributes": {},
    }
    product: dict[str, Any] = {
        "sku": sku,
        "attributes": {
            "servicecode": service,
            "regionCode": known.price_region,
            "location": "US East (N. Virginia)",
            "locationType": "AWS Region",
            "usagetype": usage,
            **attributes,
        },
    }
    if family:
        product["productFamily"] = family
    return {
        "product": product,
        "serviceCode": service,
        "terms": {"OnDemand": {term: offer}},
        "version": f"{known.price_date:%Y%m%d}000000",
        "publicationDate": f"{known.price_date}T00:00:00Z",
    }
