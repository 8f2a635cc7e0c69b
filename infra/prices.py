"""What AWS charges, asked of AWS: its price list, and the history of spot prices. Offline, the table that ships.

Each price says whose it is and of which day. One that isn't known is None with the reason, never a guess: a price that
is too low ends a budget too late.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from infra.catalog import catalog
from infra.cloud import Cloud, translated
from infra.errors import CloudRefused
from infra.goods import Good, address, files, instance, nat_gateway, volume

Purchase = Literal["on-demand", "spot", "reservation", "capacity-block"]

#: The price list of all regions is served from here (AWS Price List guide, endpoints).
PRICE_LIST_REGION = "us-east-1"
#: A spot price moves; the dearest of this long is what a budget is reckoned with.
SPOT_HISTORY = timedelta(hours=24)
FSX_SOURCE = "AWS's page of prices, us-east-1, as shipped"
SPOT_UNKNOWN = "spot price unknown offline: at most the on-demand price"


@dataclass(frozen=True)
class Price:
    """USD a unit. usd: None where it is not known, and then `unknown` says why; as_of: the day that it is of."""

    usd: float | None
    source: str = ""
    as_of: date | None = None
    unknown: str = ""


@dataclass(frozen=True)
class Rates:
    """What one fleet is reckoned with: an instance, a public address and a NAT gateway an hour, gp3 a GiB-month, EFS a
    GB; FSx a GiB-month, where the fleet has it.

    note: why AWS's own list was not what was read, where it wasn't.
    """

    instance: Price
    volume: Price
    address: Price
    gateway: Price
    files_stored: Price
    files_read: Price
    files_written: Price
    note: str = ""
    lustre: Price = Price(None, unknown="the price of FSx was not asked")


def rates(cloud: Cloud, instance_type: str, purchase: Purchase = "on-demand", zone: str | None = None) -> Rates:
    """The prices of a fleet as AWS says them now; where it can't be asked those that ship, and why.

    zone: of a spot fleet; without one the dearest zone counts. Takes five calls at once, and none a second time.
    """
    region = cloud.region
    disk, public, gateway = volume(region), address(region), nat_gateway(region)
    stored, read, written = files(region)
    goods = (disk, public, gateway, stored, read, written)
    wanted = goods if purchase in ("spot", "capacity-block") else (instance(region, instance_type), *goods)
    try:
        found = ask(cloud, wanted)
        machine = spot(cloud, instance_type, zone) if purchase == "spot" else found.get(wanted[0])
    except CloudRefused as error:
        return replace(shipped(region, instance_type, purchase), note=error.what)
    if purchase == "capacity-block":
        machine = PAID_AHEAD
    assert machine is not None
    return Rates(machine, found[disk], found[public], found[gateway], found[stored], found[read], found[written])


def shipped(region: str, instance_type: str, purchase: Purchase = "on-demand") -> Rates:
    """From the table in `catalog.yaml`: On-Demand in one region, of the day that it says.

    No spot price ships, and none is above the On-Demand price (EC2 guide, spot prices), which is taken for it: a budget
    then ends too early, never too late.
    """
    known = catalog()
    source = f"{known.price_source}, as shipped"

    def price(usd: float | None, unknown: str = "") -> Price:
        if region != known.price_region:
            return Price(None, unknown=f"no price list for {region} is shipped")
        return Price(usd, source, known.price_date) if usd is not None else Price(None, unknown=unknown)

    if purchase == "capacity-block":
        machine = PAID_AHEAD
    else:
        kind = known.types.get(instance_type)
        machine = price(kind.usd_per_hour if kind else None, f"{instance_type} has no On-Demand list price")
    if purchase == "spot" and machine.usd is not None:
        machine = replace(machine, source=f"{SPOT_UNKNOWN}, {source}")
    return Rates(
        machine,
        price(known.ebs_gp3_usd_per_gib_month),
        price(known.public_ipv4_usd_per_hour),
        price(known.nat_gateway_usd_per_hour),
        price(known.efs_usd_per_gib_month),
        price(known.efs_read_usd_per_gib),
        price(known.efs_write_usd_per_gib),
    )


def shipped_price(good: Good) -> Price:
    """One line of the price list from the table that ships; unknown for what it doesn't have."""
    region = good.region
    rates = shipped(region, good.name)
    stored, read, written = files(region)
    table = {
        volume(region): rates.volume,
        address(region): rates.address,
        nat_gateway(region): rates.gateway,
        stored: rates.files_stored,
        read: rates.files_read,
        written: rates.files_written,
    }
    if good in table:
        return table[good]
    if good == instance(region, good.name):
        return rates.instance
    known = catalog()
    if good.service == "AmazonFSx" and region == known.price_region and good.name in known.fsx_usd_per_gib_month:
        return Price(known.fsx_usd_per_gib_month[good.name], FSX_SOURCE, known.price_date)
    return Price(None, unknown=f"no price of {good.name} is shipped")


#: A capacity block's machines bill nothing by the hour (EC2 guide, Capacity Blocks pricing and billing).
PAID_AHEAD = Price(0.0, "paid when the capacity block was bought")


def price_of(good: Good, products: Iterable[Mapping[str, Any]]) -> Price:
    """Its price among products as GetProducts gives them; unknown where none fits, or more than one price does."""
    fits = re.compile(rf"(?:\w+-)?{re.escape(good.usage)}" if good.usage else ".*")
    found: dict[float, date] = {}
    for one in products:
        attributes = one["product"]["attributes"]
        if not fits.fullmatch(attributes.get("usagetype", "")):
            continue
        if good.access and attributes.get("accessType") != good.access:
            continue
        if good.throughput and re.sub(r"\D", "", attributes.get("throughputCapacity", "")) != str(good.throughput):
            continue
        for term in one["terms"].get("OnDemand", {}).values():
            for dimension in term["priceDimensions"].values():
                usd = float(dimension["pricePerUnit"].get("USD", 0))
                if usd > 0 and dimension["unit"] == good.unit:
                    found[usd] = date.fromisoformat(one["publicationDate"][:10])
    if len(found) == 1:
        [(usd, as_of)] = found.items()
        return Price(usd, f"AWS Price List, {good.region}", as_of)
    if found:
        several = " and ".join(f"${usd:g}" for usd in sorted(found))
        return Price(None, unknown=f"AWS lists {len(found)} prices of {good.name} in {good.region}: {several}")
    return Price(None, unknown=f"AWS lists no price of {good.name} in {good.region}")


def dearest(history: Iterable[Mapping[str, Any]], instance_type: str, where: str) -> Price:
    """Of DescribeSpotPriceHistory's rows: a budget that counted on the mean would be overrun half the time."""
    rows = [(float(row["SpotPrice"]), row["Timestamp"], row["AvailabilityZone"]) for row in history]
    if not rows:
        return Price(None, unknown=f"AWS tells no spot price of {instance_type} in {where}")
    usd, _, zone = max(rows)
    hours = SPOT_HISTORY // timedelta(hours=1)
    newest = max(at for _, at, _ in rows)
    return Price(usd, f"spot price history, dearest of {hours} h in {zone}", newest.astimezone(UTC).date())


def aged(source: str, as_of: date | None, today: date, note: str = "") -> str:
    """AWS Price List, us-east-1, 2026-11-20 (4 days old), and why it is not AWS's own of now where it isn't."""
    days = (today - as_of).days if as_of else 0
    age = f" ({days} days old)" if days > 0 else ""
    return f"{source}{f', {as_of}' if as_of else ''}{age}{f', since {note}' if note else ''}"


# Asking ------------------------------------------------------------------------------------------------------------

_Request = tuple[str, str, tuple[tuple[str, str], ...]]
#: endpoint and request -> products. A price list changes by the day, a command lives for hours at most.
_known: dict[tuple[str | None, _Request], list[Mapping[str, Any]]] = {}


def ask(cloud: Cloud, goods: Iterable[Good]) -> dict[Good, Price]:
    """Each one's price, all requests at once. Raises CloudRefused where AWS can't be asked."""
    goods = list(goods)
    place = cloud.endpoints.get("pricing")
    requests = {(good.service, good.region, good.filters) for good in goods}
    missing = [one for one in requests if (place, one) not in _known]
    if missing:
        client = _quick(cloud, "pricing", PRICE_LIST_REGION)
        with translated(), ThreadPoolExecutor(8) as pool:
            answers = pool.map(lambda one: _products(client, one), missing)
            _known.update({(place, one): answer for one, answer in zip(missing, answers, strict=True)})
    found = {good: price_of(good, _known[place, (good.service, good.region, good.filters)]) for good in goods}
    # How the list words Lustre's throughput was not seen: where it can't be read, the table.
    unread = [good for good, price in found.items() if price.usd is None and good.service == "AmazonFSx"]
    return found | {good: listed for good in unread if (listed := shipped_price(good)).usd is not None}


def spot(cloud: Cloud, instance_type: str, zone: str | None = None) -> Price:
    """The dearest price of the last hours, in the zone or in all of the region's."""
    where: dict[str, Any] = {"AvailabilityZone": zone} if zone else {}
    with translated():
        pages = _quick(cloud, "ec2", cloud.region).get_paginator("describe_spot_price_history")
        found = pages.paginate(
            InstanceTypes=[instance_type],
            ProductDescriptions=["Linux/UNIX"],
            StartTime=datetime.now(UTC) - SPOT_HISTORY,
            **where,
        )
        rows = [row for page in found for row in page["SpotPriceHistory"]]
    return dearest(rows, instance_type, zone or cloud.region)


def _products(client: Any, request: _Request) -> list[Mapping[str, Any]]:
    service, region, filters = request
    fields = [
        {"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in (("regionCode", region), *filters)
    ]
    pages = client.get_paginator("get_products").paginate(ServiceCode=service, Filters=fields)
    return [json.loads(one) for page in pages for one in page["PriceList"]]


def _quick(cloud: Cloud, service: str, region: str) -> Any:
    """A client that gives up within seconds: a plan must not hang where there is no network."""
    if cloud.endpoints and service not in cloud.endpoints:
        raise CloudRefused(f"aws:endpoints names no {service}")
    return cloud.elsewhere(region, patience=2).client(service)
