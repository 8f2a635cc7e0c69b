"""What a node of each instance type promises, and its list price; facts in `catalog.yaml`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

import yaml


@dataclass(frozen=True)
class InstanceType:
    """gpu_memory_gib is of one GPU; efa: the most EFA interfaces that it can have.

    usd_per_hour is On-Demand, None where no list price is known.
    """

    name: str
    gpus: int
    gpu: str
    gpu_memory_gib: float
    vcpus: int
    memory_gib: int
    network_cards: int
    efa: int = 0
    usd_per_hour: float | None = None


@dataclass(frozen=True)
class Catalog:
    types: dict[str, InstanceType]
    price_date: date
    price_source: str
    price_region: str
    ebs_gp3_usd_per_gib_month: float
    public_ipv4_usd_per_hour: float
    nat_gateway_usd_per_hour: float
    efs_usd_per_gib_month: float
    efs_read_usd_per_gib: float
    efs_write_usd_per_gib: float
    #: By deployment and MB/s a TiB: "PERSISTENT_2 125".
    fsx_usd_per_gib_month: dict[str, float]


@cache
def catalog() -> Catalog:
    facts = yaml.safe_load(Path(__file__).with_name("catalog.yaml").read_text(encoding="utf-8"))
    types = {name: InstanceType(name=name, **fields) for name, fields in facts.pop("types").items()}
    return Catalog(types=types, **facts)
