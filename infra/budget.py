"""A stack's money into its deadline: pure, and decided here alone, for `fleet` and plain `pulumi` alike."""

from __future__ import annotations

import math
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from infra.cost import HourlyCost, over_cap
from infra.errors import BadInput
from infra.settings import GRACE, PREFIX, StackConfig

if TYPE_CHECKING:
    from infra.kinds import Node

#: What a budget must buy at least, so that it isn't spent on booting alone: the slowest first boot of a GPU node that
#: installs its software, of 8 to 12 min (aws-samples/awsome-distributed-ai, July 2026). Ours on AWS is not measured.
ONE_BOOT = timedelta(minutes=12)
#: Longer than any lifetime: a budget that buys more than this buys enough.
FOREVER_H = 24 * 365


def capped(config: StackConfig, budget: float | None) -> StackConfig:
    """The same stack with this budget, unless its own is the smaller one."""
    if budget is None or (config.budget is not None and config.budget <= budget):
        return config
    return config.model_copy(update={"budget": budget})


def within_budget(
    config: StackConfig, cost: HourlyCost, alive: Collection[Node] = (), now: datetime | None = None
) -> StackConfig:
    """The same stack with the lifetime that its budget buys, if that is the shorter one.

    alive: the nodes that run at `now`; those that come beside them are of the same budget. Of a spot fleet only `fleet
    resize` asks: with a price that has moved up, a node that was lost could not be replaced.

    Raises BadInput as `refuse` and `grown` do.
    """
    refuse(config, cost)
    if now and config.capacity != "spot":
        grown(config, cost, alive, now)
    return bounded(config, cost)


def grown(config: StackConfig, cost: HourlyCost, alive: Collection[Node], now: datetime) -> float | None:
    """USD at most of a fleet that gets `config.nodes` nodes while `alive` run, from the first launch to the last of its
    ends, with which the new ones end; None where it doesn't grow, or no price or no end is known.

    Raises BadInput where that is more than the budget.
    """
    new = config.nodes - len(alive)
    if not alive or new <= 0 or not cost.total:
        return None
    if untold := [one.id for one in alive if one.lifetime is None]:
        if config.budget is None:
            return None
        raise BadInput(
            f"when {', '.join(untold)} ends is not known: it has no lifetime tag",
            where=f"{PREFIX}budget",
            do="fleet replace its rank, or end the fleet and make it anew.",
        )
    last = max(one.ends_at for one in alive if one.ends_at) + GRACE
    spans = sum((one.lifetime + GRACE for one in alive if one.lifetime), new * max(last - now, timedelta()))
    whole = cost.total / config.nodes * (spans / timedelta(hours=1))
    if config.budget is not None and whole > config.budget:
        raise BadInput(
            f"with {config.nodes} nodes it would cost up to ${whole:.2f} to its end at {last:%Y-%m-%d %H:%M} UTC, and "
            f"its budget is ${config.budget:.2f}",
            where=f"{PREFIX}budget",
            do="Raise it in the stack file first, or take fewer nodes.",
        )
    return whole


def bounded(config: StackConfig, cost: HourlyCost) -> StackConfig:
    """As `within_budget`, of a fleet that may be up already: where no price is known its lifetime stays what it is."""
    bought = _bought(config, cost)
    return config if bought is None else config.model_copy(update={"lifetime": min(config.lifetime, bought)})


def refuse(config: StackConfig, cost: HourlyCost) -> None:
    """BadInput for a fleet over `maxUsdPerHour`, and for a budget without a price or below one boot."""
    if why := over_cap(config, cost):
        raise BadInput(why, where=f"{PREFIX}maxUsdPerHour", do="Take a cheaper type or fewer nodes, or raise it.")
    total, bought = cost.total, _bought(config, cost)
    if config.budget is None:
        return
    if total is None:
        raise BadInput(
            f"a budget needs a price, and {cost.unknown}{f' ({cost.note})' if cost.note else ''}",
            where=f"{PREFIX}budget",
            do="Take the budget out and trust the lifetime, or take a type with a price.",
        )
    if bought is not None and bought < ONE_BOOT:
        minutes = (ONE_BOOT + GRACE) // timedelta(minutes=1)
        least = math.ceil(total * ((ONE_BOOT + GRACE) / timedelta(hours=1)) * 100) / 100
        raise BadInput(
            f"${config.budget:.2f} is below one boot: {config.nodes} x {config.instance_type} "
            f"cost ${total:.2f} an hour, and a boot with its end takes {minutes} min",
            where=f"{PREFIX}budget",
            do=f"Give at least ${least:.2f}, or take a cheaper fleet.",
        )


def _bought(config: StackConfig, cost: HourlyCost) -> timedelta | None:
    """The lifetime that the budget buys, in whole minutes; None without a budget or a price.

    Its hours count from the launch, so the boot is in them, and to the last of the ends: the AWS schedule's, GRACE
    after the lease. What bills by the GB has no price an hour and comes on top.
    """
    if config.budget is None or not cost.total:
        return None
    hours = timedelta(hours=min(config.budget / cost.total, FOREVER_H)) - GRACE
    return hours // timedelta(minutes=1) * timedelta(minutes=1)
