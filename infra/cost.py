"""What a fleet costs an hour, by part. Money that isn't known is None, never 0."""

from __future__ import annotations

from dataclasses import dataclass

from infra.catalog import catalog
from infra.settings import StackConfig

HOURS_A_MONTH = 730


@dataclass(frozen=True)
class HourlyCost:
    """USD an hour of the whole fleet. `unknown` says why `total` is None.

    Shared storage and data transfer bill by use, so they are named in `by_use` and counted nowhere.
    """

    parts: dict[str, float]
    source: str
    by_use: tuple[str, ...] = ()
    unknown: str = ""

    @property
    def total(self) -> float | None:
        return None if self.unknown else sum(self.parts.values())


def hourly_cost(config: StackConfig, region: str) -> HourlyCost:
    known = catalog()
    source = f"{known.price_source}, {known.price_date.isoformat()}"
    by_use = ("EFS by GB stored and moved",) if config.shared_files else ()
    if region != known.price_region:
        return HourlyCost({}, source, by_use, unknown=f"no price list for {region} is shipped")
    kind = known.types[config.instance_type]
    if kind.usd_per_hour is None:
        return HourlyCost({}, source, by_use, unknown=f"{kind.name} has no On-Demand list price")
    parts = {
        "instances": kind.usd_per_hour * config.nodes,
        "EBS": known.ebs_gp3_usd_per_gib_month * config.root_volume_gib * config.nodes / HOURS_A_MONTH,
    }
    if config.public_addresses:
        parts["public IPv4"] = known.public_ipv4_usd_per_hour * config.nodes
    return HourlyCost(parts, source, by_use)
