"""What an account is billed by the hour, region by region, whoever made it: asked of AWS, priced where that is known.

It reads only. A question that AWS did not answer is told, never taken for "nothing".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date

from infra import prices
from infra.billed import KINDS, OTHERS, Found, Kind
from infra.cloud import Cloud, translated
from infra.errors import BadInput, CloudRefused, NotAdmitted
from infra.goods import Good
from infra.prices import Price
from infra.written import nearest


@dataclass(frozen=True)
class Bill:
    """A thing and its price an hour: None where it isn't known, and why."""

    found: Found
    usd_per_hour: float | None
    unknown: str = ""


@dataclass(frozen=True)
class Ledger:
    """bills: dearest first, the unknown before them; unasked: each question that had no answer, and why.

    source, as_of: whose prices they are and of which day; note: why not AWS's own of now, where they aren't.
    """

    bills: tuple[Bill, ...]
    unasked: tuple[str, ...]
    regions: tuple[str, ...]
    source: str = ""
    as_of: date | None = None
    note: str = ""


def look(cloud: Cloud, regions: Sequence[str], of_all: bool = False) -> Ledger:
    """What bills in these regions, all of them asked at once; of_all: also what no stack makes."""
    clouds = [cloud.elsewhere(region, patience=3) for region in regions]
    questions = [(there, kind) for there in clouds for kind in (*KINDS, *(OTHERS if of_all else ()))]
    for there, kind in questions:  # one by one: boto3 makes its clients in one thread alone
        if not _unserved(there, kind.service):
            there.client(kind.service)
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda question: _ask(*question), questions))
    found = [thing for things, _ in answers for thing in things]
    unasked = dict.fromkeys(  # where the credentials aren't taken it is the same of every service: said once
        f"{there.region}: {_why(there, kind, error)}"
        for (there, kind), (_, error) in zip(questions, answers, strict=True)
        if error
    )
    known, note = _prices(cloud, found)
    spots = {one.spot: _spot(cloud, *one.spot) for one in found if one.spot}
    bills = [bill(one, known, spots[one.spot] if one.spot else None) for one in found]
    dated = next((price for price in known.values() if price.as_of), Price(None))
    bills.sort(key=_dearest_first)
    return Ledger(tuple(bills), tuple(unasked), tuple(regions), dated.source, dated.as_of, note)


def known_region(cloud: Cloud, name: str) -> str:
    """The name of a region, or BadInput with the nearest."""
    known = cloud.session.get_available_regions("ec2")
    if name in known:
        return name
    guess = nearest(name, known)
    raise BadInput(
        f"{name} is no region", do=f"Did you mean {guess}?" if guess else "aws ec2 describe-regions has them."
    )


def _unserved(cloud: Cloud, service: str) -> bool:
    return bool(cloud.endpoints) and service not in cloud.endpoints


def _ask(cloud: Cloud, kind: Kind) -> tuple[list[Found], CloudRefused | None]:
    """What was found, and why it could not be looked for where it couldn't."""
    if _unserved(cloud, kind.service):
        return [], CloudRefused(f"{kind.call}: aws:endpoints names no {kind.service}")
    client = cloud.client(kind.service)
    try:
        with translated():
            if client.can_paginate(kind.call):
                rows = [
                    row for page in client.get_paginator(kind.call).paginate(**kind.arguments) for row in page[kind.key]
                ]
            else:
                rows = getattr(client, kind.call)(**kind.arguments)[kind.key]
        return list(kind.read(rows, cloud.region)), None
    except CloudRefused as error:
        return [], error


def _why(cloud: Cloud, kind: Kind, error: CloudRefused) -> str:
    if isinstance(error, NotAdmitted):
        return cloud.explained(error).sentence
    return f"{kind.service} {error.what}"


def _prices(cloud: Cloud, found: list[Found]) -> tuple[dict[Good, Price], str]:
    """Of every line, and why they are those that ship where they are."""
    goods = {good for one in found for good, _ in one.lines}
    try:
        return prices.ask(cloud, goods), ""
    except CloudRefused as error:
        return {good: prices.shipped_price(good) for good in goods}, error.what


def _spot(cloud: Cloud, region: str, kind: str, zone: str) -> Price:
    try:
        return prices.spot(cloud.elsewhere(region, patience=2), kind, zone)
    except CloudRefused as error:
        return Price(None, unknown=error.what)


def bill(found: Found, known: Mapping[Good, Price], spot: Price | None = None) -> Bill:
    """The sum of its lines; unknown where any of them is, since a part is no price."""
    parts = [(known[good], count) for good, count in found.lines]
    parts += [(spot, 1.0)] if spot else []
    why = found.unknown or next((price.unknown for price, _ in parts if price.usd is None), "")
    if why:
        return Bill(found, None, why)
    return Bill(found, sum((price.usd or 0.0) * count for price, count in parts))


def _dearest_first(one: Bill) -> tuple[bool, float, str, str]:
    return one.usd_per_hour is not None, -(one.usd_per_hour or 0.0), one.found.kind, one.found.id
