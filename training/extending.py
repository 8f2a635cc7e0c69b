"""`fleet extend`: moves every end that goes by time, or none of them.

The nodes' leases first, the AWS schedule last: whatever happens in between, even to this machine, each node still
ends at its old time by one of the two. A step that fails takes back those before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from infra.durations import LONGEST
from infra.ends import End
from infra.errors import BadInput, CloudRefused, FleetError
from infra.extend import block_end, move_reservations, reserved_until, tag_lifetimes
from infra.schedules import move_schedules
from training import ends
from training.lease import leases, move
from training.remote import Machines
from training.stack_fleet import Say, StackFleet, quiet


@dataclass(frozen=True)
class Extension:
    """old, new: when the last of the leases ends, UTC; usd_at_most: to the schedule's new time, from the first boot."""

    stack: str
    old: datetime
    new: datetime
    usd_at_most: float | None
    ends: tuple[End, ...]


@dataclass(frozen=True)
class Step:
    name: str
    do: Callable[[], None]
    undo: Callable[[], None]


def extend(fleet: StackFleet, by: timedelta, say: Say = quiet) -> Extension:
    """Moves the leases, the tags, the reservation and the schedule by so much.

    Raises BadInput for what would be too long or too dear, CloudRefused where an end isn't armed to begin with, or
    could not be moved; then all are where they were, or the error names what isn't.
    """
    cloud, nodes = fleet.stack.cloud, fleet.live()
    if not nodes:
        raise BadInput(f"the fleet of stack {fleet.name} is not up", do=f"fleet up -s {fleet.name}")
    with Machines(fleet.survivors(nodes)) as machines:
        say("looking at its ends")
        before = {end.name: end for end in ends.prove(fleet, nodes, machines)}
        held = {lease.rank: lease.deadline for lease in leases(machines) if lease.deadline}
        schedule, lease = before["AWS schedule"].at, before["lease"].at
        assert schedule and lease, "armed ends have their times"
        since = min(node.launched_at for node in nodes.values())
        most = _affordable(fleet, since, max(schedule, lease) + by)
        if max(schedule, lease) + by - since > LONGEST:
            raise BadInput(
                f"it would live past {since + LONGEST:%Y-%m-%d %H:%M} UTC, 14 days after its launch",
                where=f"stack {fleet.name}",
                do="Extend it by less, or let it end and make it anew.",
            )
        block = block_end(cloud, fleet.config.capacity_reservation_id)
        if block and max(schedule, lease) + by > block:
            raise BadInput(
                f"its capacity block ends what runs in it at {block:%Y-%m-%d %H:%M} UTC",
                where=f"stack {fleet.name}",
                do="Extend it by less: AWS gives no more.",
            )
        there = {rank: (deadline, deadline + by) for rank, deadline in held.items()}
        back = {rank: (new, old) for rank, (old, new) in there.items()}
        reserved = reserved_until(cloud, fleet.name)
        lifetimes = {node.id: node.lifetime for node in nodes.values() if node.lifetime}
        _all_or_none(
            (
                Step(
                    f"leases of {len(there)} nodes",
                    lambda: _no_failure(move(machines, there)),
                    lambda: _no_failure(move(machines, back)),
                ),
                Step(
                    "tags",
                    lambda: tag_lifetimes(cloud, fleet.name, {one: life + by for one, life in lifetimes.items()}),
                    lambda: tag_lifetimes(cloud, fleet.name, lifetimes),
                ),
                Step(
                    "reservation",
                    lambda: move_reservations(cloud, {one: end + by for one, end in reserved.items()}),
                    lambda: move_reservations(cloud, reserved),
                ),
                Step(
                    "AWS schedule",
                    lambda: move_schedules(cloud, fleet.name, schedule + by),
                    lambda: move_schedules(cloud, fleet.name, schedule),
                ),
            ),
            say,
            f"stack {fleet.name}: {schedule:%Y-%m-%d %H:%M} UTC",
        )
        after = ends.prove(fleet, fleet.live(), machines)  # asked anew: its tags are others now
    say("the engine's state")
    fleet.stack.take_up_ends()
    return Extension(fleet.name, lease, lease + by, most, after)


def _affordable(fleet: StackFleet, since: datetime, until: datetime) -> float | None:
    """What it costs at most, None where no price is known. BadInput where that is more than the stack's budget."""
    offer = fleet.offer()
    where, budget = f"stack {fleet.name}", offer.budget_usd
    most = None if offer.usd_per_hour is None else offer.usd_per_hour * (until - since).total_seconds() / 3600
    if budget is not None and most is None:
        raise BadInput("it has a budget and no known price", where=where, do="Take swift-fleet:budget out of the file.")
    if budget is not None and most is not None and most > budget:
        raise BadInput(
            f"it would cost up to ${most:.2f} from its launch on, and its budget is ${budget:.2f}",
            where=where,
            do="Raise swift-fleet:budget in the stack file first, or extend it by less.",
        )
    return most


def _no_failure(failed: dict[int, FleetError]) -> None:
    if failed:
        raise CloudRefused("; ".join(f"rank {rank}: {error}" for rank, error in failed.items()))


def _all_or_none(steps: tuple[Step, ...], say: Say, old_end: str) -> None:
    begun: list[Step] = []
    try:
        for step in steps:
            say(step.name)
            begun.append(step)
            step.do()
    except BaseException as error:
        stuck = _take_back(begun)
        if not isinstance(error, FleetError):
            raise
        what = f"{begun[-1].name} could not be moved: {error.what}"
        if stuck:
            raise CloudRefused(
                f"{what}; and not put back: {'; '.join(stuck)}",
                where=old_end,
                do="That is still the latest end of each node. Run it again, or look: fleet status.",
            ) from error
        raise CloudRefused(f"{what}: all ends are where they were", where=old_end, do=error.do) from error


def _take_back(begun: list[Step]) -> list[str]:
    stuck = []
    for step in reversed(begun):
        try:
            step.undo()
        except FleetError as error:
            stuck.append(f"{step.name}: {error.what}")
    return stuck
