"""Where the whole fleet goes: one instance type in one zone. Pure: which places there are, cheapest first, and which
of AWS's refusals means "not here" rather than "not at all".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from infra.errors import CloudRefused
from infra.settings import StackConfig

#: AWS's code -> what it means for the fleet; each says that another place may still do. EC2 API, error codes.
NO_ROOM = {
    "InsufficientInstanceCapacity": "no room for all nodes",
    "InsufficientCapacity": "no room for all nodes",
    "InsufficientReservedInstanceCapacity": "no room for all nodes",
    "ReservationCapacityExceeded": "the reservation has fewer free machines than nodes",
    "VcpuLimitExceeded": "the account's vCPU quota is too small",
    "InstanceLimitExceeded": "the account's vCPU quota is too small",
    "MaxSpotInstanceCountExceeded": "the account's spot quota is too small",
    "SpotMaxPriceTooLow": "the spot price is above the limit",
    "Unsupported": "the type is not offered there",
}


@dataclass(frozen=True)
class Place:
    instance_type: str
    zone: str

    def __str__(self) -> str:
        return f"{self.instance_type} in {self.zone}"


@dataclass(frozen=True)
class Attempt:
    """A place that was asked for and had no room. code: AWS's own; why: what is known beyond it; said: AWS's words."""

    place: Place
    code: str
    why: str = ""
    said: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.why or NO_ROOM[self.code]} ({self.code})"

    @property
    def answer(self) -> str:
        """InsufficientInstanceCapacity: there is not enough g6e.12xlarge in that zone"""
        return f"{self.code}: {self.why or self.said.rpartition(f'{self.code}: ')[2] or NO_ROOM[self.code]}"


def places(
    config: StackConfig,
    offered: Mapping[str, Collection[str]],
    usd_per_hour: Callable[[Place], float | None],
) -> tuple[Place, ...]:
    """Types x zones, cheapest first; of equal price in the order of the stack file, then by zone.

    offered: the zones that offer each type at all. A type whose price isn't known comes last: nothing is guessed.
    """
    wanted = config.candidates.zones or ((config.zone,) if config.zone else ())
    found = [
        Place(kind, zone)
        for kind in config.instance_types
        for zone in (wanted or sorted(offered.get(kind, ())))
        if zone in offered.get(kind, ())
    ]

    def price(place: Place) -> float:
        known = usd_per_hour(place)
        return float("inf") if known is None else known

    return tuple(sorted(found, key=price))


def in_words(config: StackConfig, instance_type: str) -> str:
    """How the fleet is bought and where it may go: "spot, EFA, in us-east-1a or us-east-1b, or as g6e.12xlarge".

    instance_type: the one that is named beside it.
    """
    bought = config.capacity_reservation_id
    said = [config.capacity.replace("capacity-block", "capacity block") + (f" {bought}" if bought else "")]
    said += ["EFA"] if config.wants_efa else []
    zones = config.candidates.zones or ((config.zone,) if config.zone else ())
    said += [f"in {' or '.join(zones)}"] if zones else []
    others = [kind for kind in config.instance_types if kind != instance_type]
    said += [f"or as {' or '.join(others)}"] if others else []
    return ", ".join(said)


def no_room(said: str) -> str | None:
    """The code in what AWS said, as the engine hands it on, if it is one of `NO_ROOM`: of the answer to a call, or the
    reason why a machine ended while it was pending."""
    codes = set(re.findall(r"(?:\bapi error |\bServer\.)([A-Za-z]+):", said))
    return next((code for code in NO_ROOM if code in codes), None)


def nowhere(walk: Sequence[Attempt], last: CloudRefused | None, left: str, where: str) -> CloudRefused:
    """What to say when no place had room: of one place that AWS refused its own words, else what is known of each.

    left: what is left of the tries, a sentence.
    """
    do = f"{left} Try later, or give swift-fleet:candidates more types or zones."
    if all(attempt.why for attempt in walk):
        do = "Nothing was made. Ask AWS for more (Service Quotas in the console), or take fewer nodes."
    if last and len(walk) == 1:
        return CloudRefused(last.what, where=last.where, do=do)
    return CloudRefused("; ".join(map(str, walk)), where=where, do=do)
