"""EC2's quotas: vCPUs by family and market, and elastic addresses. moto has none of them. New accounts of AWS have 0
for GPU families; here each is generous until somebody sets it.
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-quotas.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend
from moto.ec2.models.elastic_ip_addresses import ElasticAddress
from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS, INSTANCE_TYPES
from moto.servicequotas.models import ServiceQuotasBackend
from moto.servicequotas.responses import ServiceQuotasResponse

from infra.sandbox.patches.hook import replace

ADDRESSES = "L-0263D0A3"
GENEROUS = 100_000.0
_STANDARD = "Standard (A, C, D, H, I, M, R, T, Z)"


@dataclass(frozen=True)
class Quota:
    """`market` and `families` say what counts towards it; a family is the letters of a type before its number."""

    code: str
    name: str
    market: str
    families: tuple[str, ...]
    default: float = GENEROUS

    def counts(self, kind: str, market: str) -> bool:
        return market == self.market and _family(kind) in self.families


_ORDINARY = ("a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z")
_GRAPHICS = ("g", "gr", "vt")
# What an account has of P6 as spot is told in two ways by public sources; here it has no quota.
QUOTAS = (
    Quota("L-1216C47A", f"Running On-Demand {_STANDARD} instances", "on-demand", _ORDINARY),
    Quota("L-DB2E81BA", "Running On-Demand G and VT instances", "on-demand", _GRAPHICS),
    Quota("L-417A185B", "Running On-Demand P instances", "on-demand", ("p2", "p3", "p4", "p5", "p6")),
    Quota("L-34B43A08", f"All {_STANDARD} Spot Instance Requests", "spot", _ORDINARY),
    Quota("L-3819A6DF", "All G and VT Spot Instance Requests", "spot", _GRAPHICS),
    Quota("L-7212CCBC", "All P4, P3 and P2 Spot Instance Requests", "spot", ("p2", "p3", "p4")),
    Quota("L-C4BD4855", "All P5 Spot Instance Requests", "spot", ("p5",)),
    Quota(ADDRESSES, "EC2-VPC Elastic IPs", "", (), default=5.0),
)

# What somebody has set, by code, for all regions.
limits: dict[str, float] = {}

_allocate = EC2Backend.allocate_address
_get, _list = ServiceQuotasBackend.get_service_quota, ServiceQuotasBackend.list_aws_default_service_quotas


def install() -> None:
    replace(EC2Backend, "allocate_address", allocate_address)
    replace(ServiceQuotasBackend, "get_service_quota", get_service_quota)
    replace(ServiceQuotasBackend, "list_aws_default_service_quotas", list_aws_default_service_quotas)
    replace(ServiceQuotasResponse, "list_service_quotas", list_service_quotas)
    replace(ServiceQuotasResponse, "get_aws_default_service_quota", get_aws_default_service_quota)


def limit(code: str) -> float:
    return limits.get(code, next(quota.default for quota in QUOTAS if quota.code == code))


# On launch ---------------------------------------------------------------------------------------------------------


def check(backend: EC2Backend, kind: str, market: str, count: int, reserved: dict[str, tuple[str, int]]) -> None:
    """Refuses `count` more machines beyond the quota. reserved: reservation -> (type, machines); what runs in one is
    counted with it, and a capacity block counts nowhere."""
    for quota in QUOTAS:
        if not quota.counts(kind, market):
            continue
        used = sum(_used(backend, quota, reserved))
        allowed = limit(quota.code)
        if used + count * vcpus(kind) <= allowed:
            continue
        if market == "spot":
            raise EC2ClientError("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded")
        message = (
            f"You have requested more vCPU capacity than your current vCPU limit of {allowed:.0f} allows for the "
            "instance bucket that the specified instance type belongs to. Please visit "
            "http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit."
        )
        raise EC2ClientError("VcpuLimitExceeded", message)


def check_zone(backend: EC2Backend, kind: str, zone: str) -> None:
    """Refuses a type where the zone is known not to have it."""
    there = zones_of(backend, kind)
    if zone and there and zone not in there:
        message = (
            f"Your requested instance type ({kind}) is not supported in your requested Availability Zone ({zone}). "
            f"Please retry your request by not specifying an Availability Zone or choosing {', '.join(there)}."
        )
        raise EC2ClientError("Unsupported", message)


def zones_of(backend: EC2Backend, kind: str) -> list[str]:
    offered = INSTANCE_TYPE_OFFERINGS["availability-zone"].get(backend.region_name, [])
    return sorted(each["Location"] for each in offered if each["InstanceType"] == kind)


def vcpus(kind: str) -> int:
    return int(INSTANCE_TYPES.get(kind, {}).get("VCpuInfo", {}).get("DefaultVCpus", 0))


def _used(backend: EC2Backend, quota: Quota, reserved: dict[str, tuple[str, int]]) -> Iterator[int]:
    for instance in backend.all_instances():
        lives = instance.state in ("pending", "running")
        market = "spot" if instance.lifecycle == "spot" else instance.lifecycle or "on-demand"
        inside = getattr(instance, "capacity_reservation_id", None) is not None
        if lives and not inside and quota.counts(instance.instance_type, market):
            yield vcpus(instance.instance_type)
    if quota.market == "on-demand":
        yield from (vcpus(kind) * count for kind, count in reserved.values() if quota.counts(kind, "on-demand"))


def _family(kind: str) -> str:
    """`p5` of p5en.48xlarge, `g` of g6e.xlarge: the P family's quotas go by generation."""
    letters, number = re.match(r"([a-z]+)(\d*)", kind).groups()  # type: ignore[union-attr]
    return f"p{number}" if letters == "p" else letters


def allocate_address(self: EC2Backend, *args: Any, **kwargs: Any) -> ElasticAddress:
    if len(self.addresses) >= limit(ADDRESSES):
        raise EC2ClientError("AddressLimitExceeded", "The maximum number of addresses has been reached.")
    return _allocate(self, *args, **kwargs)


# Service Quotas ----------------------------------------------------------------------------------------------------


def get_service_quota(self: ServiceQuotasBackend, service_code: str, quota_code: str) -> dict[str, Any]:
    for quota in QUOTAS:
        if service_code == "ec2" and quota.code == quota_code:
            return _shown(self, quota, limit(quota.code))
    return _get(self, service_code, quota_code)


def list_aws_default_service_quotas(self: ServiceQuotasBackend, service_code: str) -> list[dict[str, Any]]:
    if service_code == "ec2":
        return [_shown(self, quota, quota.default) for quota in QUOTAS]
    return _list(self, service_code)


def list_service_quotas(self: ServiceQuotasResponse) -> str:
    asked = json.loads(self.body)["ServiceCode"]
    codes = [quota["QuotaCode"] for quota in self.backend.list_aws_default_service_quotas(asked)]
    return json.dumps({"Quotas": [self.backend.get_service_quota(asked, code) for code in codes]})


def get_aws_default_service_quota(self: ServiceQuotasResponse) -> str:
    asked = json.loads(self.body)
    self.backend.get_service_quota(asked["ServiceCode"], asked["QuotaCode"])  # refuses what is not there
    all_of_them = self.backend.list_aws_default_service_quotas(asked["ServiceCode"])
    return json.dumps({"Quota": next(each for each in all_of_them if each["QuotaCode"] == asked["QuotaCode"])})


def _shown(backend: ServiceQuotasBackend, quota: Quota, value: float) -> dict[str, Any]:
    owner = f"arn:aws:servicequotas:{backend.region_name}:{backend.account_id}"
    return {
        "ServiceCode": "ec2",
        "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)",
        "QuotaArn": f"{owner}:ec2/{quota.code}",
        "QuotaCode": quota.code,
        "QuotaName": quota.name,
        "Value": value,
        "Unit": "None",
        "Adjustable": True,
        "GlobalQuota": False,
    }
