"""What a fleet costs an hour, by part. Money that isn't known is None, never 0."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

from infra.cloud import Cloud
from infra.errors import CloudRefused
from infra.goods import lustre
from infra.prices import Price, Rates, aged, ask, rates, shipped_price
from infra.settings import StackConfig
from infra.ways import ways

HOURS_A_MONTH = 730


@dataclass(frozen=True)
class HourlyCost:
    """USD an hour of the whole fleet. `unknown` says why `total` is None.

    parts: instances, EBS, public IPv4, NAT gateway, FSx; by_use: what bills by the GB, so that no hour has a price and
    no total holds it.
    source, as_of: whose price of the instances and of which day; note: why AWS itself was not asked, where it wasn't.
    """

    parts: dict[str, float]
    source: str
    by_use: tuple[str, ...] = ()
    unknown: str = ""
    as_of: date | None = None
    note: str = ""

    @property
    def total(self) -> float | None:
        return None if self.unknown else sum(self.parts.values())

    @property
    def dated(self) -> str:
        """AWS Price List, us-east-1, 2026-11-20"""
        return f"{self.source}, {self.as_of}" if self.as_of else self.source

    def aged(self, today: date) -> str:
        """The same with its age, and why it is not AWS's own of today where it isn't."""
        return aged(self.source, self.as_of, today, self.note)


def hourly_cost(config: StackConfig, known: Rates) -> HourlyCost:
    """The bill of `nodes` machines at these rates.

    Reserved capacity that isn't used bills as the machines would, and not beside them: a reservation adds nothing.
    """
    priced = {
        "instances": (known.instance, config.nodes),
        "EBS": (known.volume, config.root_volume_gib * config.nodes / HOURS_A_MONTH),
    }
    way = ways(config)
    if addresses := way.addresses(config.nodes):
        priced["public IPv4"] = (known.address, addresses)
    if way.gateway:
        priced["NAT gateway"] = (known.gateway, 1)
    if config.makes_lustre:
        priced["FSx"] = (known.lustre, config.fsx_gib / HOURS_A_MONTH)
    by_use = (
        *((_files(config, known),) if config.shared_files else ()),
        *(("what goes through the NAT gateway by the GB",) if way.gateway else ()),
        "data out of AWS by the GB",
    )
    unknown = next((price.unknown for price, _ in priced.values() if price.usd is None), "")
    parts = {} if unknown else {name: (price.usd or 0.0) * count for name, (price, count) in priced.items()}
    ahead = "" if known.instance.as_of or not known.volume.as_of else f", the rest by {known.volume.source}"
    return HourlyCost(parts, f"{known.instance.source}{ahead}", by_use, unknown, _day(known), known.note)


def priced(config: StackConfig, cloud: Cloud) -> HourlyCost:
    """The same at AWS's prices of now, or those that ship where it can't be asked."""
    known = rates(cloud, config.instance_type, config.capacity, config.zone)
    return hourly_cost(config, replace(known, lustre=_lustre(config, cloud)) if config.makes_lustre else known)


def _lustre(config: StackConfig, cloud: Cloud) -> Price:
    throughput = config.fsx_throughput if config.fsx_deployment == "PERSISTENT_2" else 0
    good = lustre(cloud.region, config.fsx_deployment, throughput)
    try:
        return ask(cloud, [good])[good]
    except CloudRefused:
        return shipped_price(good)


def over_cap(config: StackConfig, cost: HourlyCost) -> str | None:
    """Why the fleet may not be made at this price; None where `maxUsdPerHour` allows it."""
    cap = config.max_usd_per_hour
    if cap is None:
        return None
    if cost.total is None:
        return f"its price is unknown ({cost.unknown}), so that it can't be held to ${cap:.2f} an hour"
    return f"it costs ${cost.total:.2f} an hour, more than ${cap:.2f}" if cost.total > cap else None


def _day(known: Rates) -> date | None:
    """Of a capacity block, whose machines have no price of a day, the day of what is beside them."""
    return known.instance.as_of or known.volume.as_of


def _files(config: StackConfig, known: Rates) -> str:
    if config.storage == "fsx":
        if config.file_system_id:
            return f"FSx {config.file_system_id}, with the fleet or without"
        return "FSx after the fleet too" if config.retain else "FSx while it is made and ended, minutes"
    after = " (stored, after the fleet too)" if config.retain or config.file_system_id else ""
    amounts = ((known.files_stored, "GB-month"), (known.files_read, "GB read"), (known.files_written, "GB written"))
    if any(price.usd is None for price, _ in amounts):
        return f"EFS by the GB stored, read and written: price unknown{after}"
    return f"EFS {', '.join(f'{_usd(price)} a {unit}' for price, unit in amounts)}{after}"


def _usd(price: Price) -> str:
    return f"${price.usd:.2f}"
