"""What a run has cost: how long its fleet billed, at the fleet's price."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from training.fleets import Fleet
from training.receipt import Money
from training.record import Request, Stage
from training.run import Event, now
from training.stack_fleet import StackFleet

if TYPE_CHECKING:
    from infra.lived import Lived


def began(events: Iterable[Event | Stage]) -> datetime:
    """A run that has told nothing yet begins now."""
    return next((event.at for event in events), now())


def money(request: Request, fleet: Fleet, lived: Lived | None, events: Sequence[Event | Stage]) -> Money:
    """lived: as the fleet told before it was ended; None where it costs nothing of ours."""
    offer = fleet.offer()
    hours, at_most = billed(request, lived, events, now()) if lived else (None, False)
    return Money(
        usd_per_hour=offer.usd_per_hour,
        price_source=offer.price_source,
        planned_most=offer.most_usd,
        billed_hours=hours,
        parts_per_hour=fleet.hourly_cost.parts if isinstance(fleet, StackFleet) else {},
        planned_hours=offer.ends_after.total_seconds() / 3600 if offer.ends_after else None,
        budget=offer.budget_usd,
        not_counted=fleet.hourly_cost.by_use if isinstance(fleet, StackFleet) else (),
        at_most=at_most,
    )


def billed(request: Request, lived: Lived, events: Sequence[Event | Stage], at: datetime) -> tuple[float, bool]:
    """Hours until `at`, and whether that is only the most that they can be. Pure. The fleet's time is the run's where
    the run made it; else only the time that the run took of it.
    """
    since = began(events) if request.fleet_was_up else lived.since
    if lived.until is None:
        return _hours(since, at), False
    ended = (one.at for one in events if isinstance(one, Stage) and (one.stage, one.state) == ("down", "done"))
    return _hours(since, min(lived.until, next(ended, at))), lived.at_most


def _hours(since: datetime, until: datetime) -> float:
    return max(0.0, (until - since).total_seconds() / 3600)
