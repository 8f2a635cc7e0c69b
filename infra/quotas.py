"""The account's vCPU quotas, read before a fleet is asked for: which one, how much it is, how much is used and needed.

EC2 counts vCPUs by family and market. Codes: EC2 User Guide, ec2-instance-quotas; where public sources disagree
(spot of p6) there is none here, and AWS's own answer counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from infra.catalog import catalog
from infra.cloud import Cloud, translated
from infra.errors import CloudRefused
from infra.settings import StackConfig

_STANDARD = ("a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z")
_GRAPHICS = ("g", "gr", "vt")
#: (code, market, families): a family is a type's letters, with its generation where quotas tell them apart.
CODES = (
    ("L-417A185B", "on-demand", ("p",)),
    ("L-DB2E81BA", "on-demand", _GRAPHICS),
    ("L-1216C47A", "on-demand", _STANDARD),
    ("L-7212CCBC", "spot", ("p2", "p3", "p4")),
    ("L-C4BD4855", "spot", ("p5",)),
    ("L-3819A6DF", "spot", _GRAPHICS),
    ("L-34B43A08", "spot", _STANDARD),
)


@dataclass(frozen=True)
class Quota:
    """limit, used: vCPUs of the region."""

    code: str
    name: str
    limit: float
    used: float

    def shortage(self, needed: float) -> str | None:
        """What is wrong where `needed` vCPUs more don't fit."""
        if self.used + needed <= self.limit:
            return None
        return (
            f'the quota "{self.name}" ({self.code}) is {self.limit:.0f} vCPUs, '
            f"{self.used:.0f} in use, {needed:.0f} needed"
        )


def code_for(instance_type: str, market: str) -> tuple[str, tuple[str, ...]] | None:
    """The quota that a type counts towards, and all families that do."""
    letters, generation = _family(instance_type)
    for code, of_market, families in CODES:
        if market == of_market and (letters in families or f"{letters}{generation}" in families):
            return code, families
    return None


def shortage(cloud: Cloud, config: StackConfig, instance_type: str, nodes: int) -> str | None:
    """Why the account may not run so many nodes more of that type; None where it may.

    None also where that can't be told: AWS will say.
    """
    known = code_for(instance_type, config.capacity)
    if known is None:
        return None
    code, families = known
    try:
        with translated():
            found = cloud.client("service-quotas").get_service_quota(ServiceCode="ec2", QuotaCode=code)["Quota"]
            used = _in_use(cloud, config.capacity, families)
    except CloudRefused:
        return None
    needed = nodes * catalog().types[instance_type].vcpus
    return Quota(code, found["QuotaName"], found["Value"], used).shortage(needed)


def _in_use(cloud: Cloud, market: str, families: tuple[str, ...]) -> float:
    running = {"Name": "instance-state-name", "Values": ["pending", "running"]}
    pages = cloud.client("ec2").get_paginator("describe_instances").paginate(Filters=[running])
    machines = [one for page in pages for group in page["Reservations"] for one in group["Instances"]]
    return float(sum(_vcpus(one) for one in machines if _counts(one, market, families)))


def _counts(machine: dict, market: str, families: tuple[str, ...]) -> bool:
    letters, generation = _family(machine["InstanceType"])
    in_market = machine.get("InstanceLifecycle", "on-demand") == market
    return in_market and (letters in families or f"{letters}{generation}" in families)


def _vcpus(machine: dict) -> int:
    cpus = machine.get("CpuOptions") or {}
    known = catalog().types.get(machine["InstanceType"])
    return cpus.get("CoreCount", 0) * cpus.get("ThreadsPerCore", 1) or (known.vcpus if known else 0)


def _family(instance_type: str) -> tuple[str, str]:
    """p5en.48xlarge -> ("p", "5"); g6e.xlarge -> ("g", "6"); gr6.4xlarge -> ("gr", "6")."""
    found = re.match(r"([a-z]+)(\d*)", instance_type)
    return (found[1], found[2]) if found else (instance_type, "")
