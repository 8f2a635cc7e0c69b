"""`fleet cost`: what a fleet costs, by part; and of one that is up what it has cost so far, and at most will."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from infra.ends import aws_schedule
from infra.errors import BadInput, CloudRefused
from infra.left import what_bills
from training.receipt import span
from training.run import now
from training.stack_fleet import StackFleet


@dataclass(frozen=True)
class Up:
    """A fleet that is up, as AWS says. usd_so_far: of the nodes that still run; usd_at_most: up to `ends_at`, which is
    its schedule's. unknown: why a figure is None."""

    nodes: int
    since: datetime
    usd_so_far: float | None
    ends_at: datetime | None = None
    usd_at_most: float | None = None
    unknown: str = ""


@dataclass(frozen=True)
class Cost:
    """parts: USD an hour of each; price: whose and of which day, with its age; ends_after: the last of its ends, from a
    launch on; refused: why `up` would not make it for its price; up: None where nothing runs; left: what bills by the
    hour even so."""

    stack: str
    fleet: str
    parts: Mapping[str, float]
    usd_per_hour: float | None
    unknown: str
    price: str
    not_counted: tuple[str, ...]
    lifetime: timedelta
    ends_after: timedelta
    budget_usd: float | None
    max_usd_per_hour: float | None
    refused: str = ""
    up: Up | None = None
    up_unknown: str = ""
    left: tuple[str, ...] = ()

    @property
    def hours(self) -> float:
        """From a launch to the last of its ends."""
        return self.ends_after.total_seconds() / 3600

    def as_json(self) -> dict[str, Any]:
        data: dict[str, Any] = dict(self.__dict__) | {"up": self.up.__dict__ if self.up else None}
        total = self.usd_per_hour
        return data | {
            "parts": dict(self.parts),
            "lifetime": self.lifetime.total_seconds(),
            "ends_after": self.ends_after.total_seconds(),
            "usd_per_day": None if total is None else total * 24,
            "usd_at_most": None if total is None else total * self.hours,
        }


def look(fleet: StackFleet, today: date) -> Cost:
    offer, cost = fleet.offer(), fleet.hourly_cost
    assert offer.lifetime is not None and offer.ends_after is not None
    up, unknown = _up(fleet)
    refused = ""
    if up is None:
        try:
            fleet.refuse_over_budget()
        except BadInput as error:
            refused = str(error)
    return Cost(
        stack=fleet.name,
        fleet=f"{offer.nodes} x {offer.instance_type}, {fleet.config.capacity}",
        parts=cost.parts,
        usd_per_hour=cost.total,
        unknown=f"{cost.unknown}, and {cost.note}" if cost.unknown and cost.note else cost.unknown,
        price=cost.aged(today),
        not_counted=cost.by_use,
        lifetime=offer.lifetime,
        ends_after=offer.ends_after,
        budget_usd=offer.budget_usd,
        max_usd_per_hour=offer.max_usd_per_hour,
        refused=refused,
        up=up,
        up_unknown=unknown,
        left=() if up or unknown else _left(fleet),
    )


class AtMost:
    """What a fleet that runs costs at most, by its schedule at AWS, which `fleet extend` may move meanwhile."""

    EVERY = timedelta(minutes=1)

    def __init__(self, fleet: StackFleet) -> None:
        self._fleet, self._asked = fleet, now()

    def is_old(self) -> bool:
        return now() - self._asked > self.EVERY

    def usd(self) -> float | None:
        """Asked of AWS now; None where it can't be told."""
        self._asked = now()
        up, _ = _up(self._fleet)
        return up.usd_at_most if up else None


def _up(fleet: StackFleet) -> tuple[Up | None, str]:
    """The fleet as it runs, or why that can't be told: prices are known without an account, this is not."""
    try:
        nodes = fleet.live()
    except CloudRefused as error:
        return None, str(error)
    if not nodes:
        return None, ""
    since, at = min(node.launched_at for node in nodes.values()), now()
    total, config = fleet.hourly_cost.total, fleet.config_here
    others = sorted({node.instance_type for node in nodes.values()} - {config.instance_type})
    if total is None or others:
        why = (
            f"it has nodes of another type than the stack file: {', '.join(others)}" if others else "no price is known"
        )
        return Up(len(nodes), since, None, unknown=why), ""
    each = total / config.nodes
    ran = sum(((at - node.launched_at).total_seconds() for node in nodes.values()), 0.0) / 3600
    end = aws_schedule(fleet.stack.cloud, fleet.name, set(nodes))
    if end.state != "armed" or end.at is None:
        return Up(len(nodes), since, each * ran, unknown=f"its AWS schedule is {end.state}: {end.detail}"), ""
    left = (end.at - at).total_seconds() / 3600 * len(nodes)
    return Up(len(nodes), since, each * ran, end.at, each * (ran + left)), ""


def _left(fleet: StackFleet) -> tuple[str, ...]:
    try:
        left = what_bills(fleet.stack.cloud, fleet.name)
    except CloudRefused as error:
        return (f"what bills is UNKNOWN: {error}",)
    return left.lines() + tuple(f"UNKNOWN: {why}" for why in left.unasked)


def lines(cost: Cost) -> list[str]:
    out = [f"stack {cost.stack}: {cost.fleet}", ""]
    if cost.usd_per_hour is None:
        out.append(f"price       UNKNOWN: {cost.unknown}")
    else:
        life = f"at most, in {span(cost.ends_after.total_seconds())}"
        out.append(f"{'':12}{'an hour':>12}{'a day':>12}   {life}")
        for name, usd in [*cost.parts.items(), ("all", cost.usd_per_hour)]:
            out.append(f"{name:12}{_usd(usd, 4):>12}{_usd(usd * 24):>12}   {_usd(usd * cost.hours)}")
        out += ["", f"price       {cost.price}"]
    out.append(f"not counted {', '.join(cost.not_counted)}")
    limits = f"budget {_limit(cost.budget_usd)} · maxUsdPerHour {_limit(cost.max_usd_per_hour)}"
    out += [f"limits      {limits}", f"now         {_now(cost)}"]
    return [*out, f"refused     {cost.refused}"] if cost.refused else out


def _now(cost: Cost) -> str:
    if cost.up is None:
        return (
            f"whether it is up is UNKNOWN: {cost.up_unknown}"
            if cost.up_unknown
            else f"not up, and yet {'; '.join(cost.left)}"
            if cost.left
            else "not up: nothing bills by the hour"
        )
    up = cost.up
    said = f"{up.nodes} nodes up since {up.since:%Y-%m-%d %H:%M} UTC"
    if up.usd_so_far is None:
        return f"{said}; so far UNKNOWN: {up.unknown}"
    said += f": {_usd(up.usd_so_far)} so far"
    if up.usd_at_most is None or up.ends_at is None:
        return f"{said}, at most UNKNOWN: {up.unknown}"
    return f"{said}, {_usd(up.usd_at_most)} at most, by the AWS schedule of {up.ends_at:%Y-%m-%d %H:%M} UTC"


def _usd(value: float, digits: int = 2) -> str:
    return f"${value:,.{digits}f}"


def _limit(usd: float | None) -> str:
    return "off" if usd is None else _usd(usd)
