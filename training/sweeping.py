"""`fleet sweep`: which accounts and regions to look in, what is found there, and its end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from infra import orphans
from infra.cloud import Cloud
from infra.errors import FleetError
from infra.ledger import look
from infra.left import of_stack
from infra.orphans import Found, Unasked
from infra.stack_files import known_stacks
from training.receipt import span
from training.stack_cloud import AT_REST, cloud_at_rest
from training.stack_fleet import Say, quiet


@dataclass(frozen=True)
class Swept:
    """found: everything of ours, kept or doomed; ended: "instance i-..." that this sweep ended; failed: what it could
    not end, and why; notes: where there was nothing to ask."""

    found: tuple[Found, ...]
    unasked: tuple[Unasked, ...]
    ended: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    yes: bool = False
    notes: tuple[str, ...] = ()

    @property
    def doomed(self) -> int:
        return sum(len(one.doomed) for one in self.found)


@dataclass
class Place:
    """A region of an account, and the stacks whose files say that they are there."""

    cloud: Cloud
    known: set[str] = field(default_factory=set)


def sweep(
    root: Path,
    *,
    only: str | None = None,
    regions: Sequence[str] = (),
    all_regions: bool = False,
    yes: bool = False,
    say: Say = quiet,
) -> Swept:
    """Looks in each place, and with `yes` ends what is doomed. What can't be asked or ended never hides the rest."""
    places, unasked, notes = _places(root, only, regions, all_regions)
    found: list[Found] = []
    ended: list[str] = []
    failed: list[str] = []

    begun: list[orphans.Thing] = []

    def told(thing: orphans.Thing) -> None:
        begun.append(thing)
        say(f"{thing.kind} {thing.id}")

    for place in places:
        say(f"asking {place.cloud.region}")
        here, not_asked = orphans.survey(place.cloud, place.known, only)
        here, untold = _with_bills(place.cloud, here)
        found += here
        unasked += not_asked + untold
        for one in here if yes else ():
            begun.clear()
            refused = ""
            try:
                orphans.end(place.cloud, one, told)
            except FleetError as error:
                refused = begun[-1].kind if begun else ""
                failed.append(f"stack {one.stack} in {one.region}{_bill(one)}: {error.sentence}")
            ended += [f"{thing.kind} {thing.id}" for thing in begun if thing.kind != refused]
    asked = tuple(place.cloud.region for place in places)
    return Swept(tuple(found), tuple(unasked), tuple(ended), tuple(failed), asked, yes, tuple(notes))


def _with_bills(cloud: Cloud, found: list[Found]) -> tuple[list[Found], list[Unasked]]:
    """A fleet whose `up` was cut off may have no machine and yet a reservation, which bills as much; one whose machines
    are doomed may leave files."""
    out: list[Found] = []
    unasked: list[Unasked] = []
    ledger = cache(lambda: look(cloud, [cloud.region]))  # of the whole region: asked once, where it is wanted
    for one in found:
        doomed = {thing.id for thing in one.doomed}
        if one.verdict != "unknown here" and doomed.issuperset(node.id for node in one.nodes):
            left = of_stack(ledger(), one.stack, doomed)
            one = replace(one, bills=left.lines())
            unasked += [Unasked(one.region, f"what {one.stack} bills", why) for why in left.unasked]
        out.append(one)
    return out, unasked


def _places(
    root: Path, only: str | None, regions: Sequence[str], all_regions: bool
) -> tuple[list[Place], list[Unasked], list[str]]:
    """The places of the stack files (of one, where its file is here), or other regions of the same accounts.

    A file that can't be read is no reason to take its fleet for unknown: its stack is known everywhere.
    """
    homes: list[Place] = []
    broken: set[str] = set()
    unasked: list[Unasked] = []
    notes: list[str] = []
    names = known_stacks(root)
    for name in [only] if only in names else names:
        try:
            if cloud := cloud_at_rest(root, name):
                _add(homes, cloud, name)
            else:
                notes.append(f"stack {name}: {AT_REST}")
        except FleetError as error:
            broken.add(name)
            unasked.append(Unasked("?", f"stack {name}", str(error)))
    places = list(homes)
    if regions or all_regions:
        accounts: list[Place] = []
        for home in places:
            if not any(_same_account(home.cloud, one.cloud) for one in accounts):
                accounts.append(home)
        places = []
        for account in accounts:
            try:
                wanted = account.cloud.regions() if all_regions else regions
            except FleetError as error:
                unasked.append(Unasked(account.cloud.region, "ec2 DescribeRegions", error.sentence))
                continue
            for region in wanted:
                cloud = account.cloud.elsewhere(region, account.cloud.patience)
                there = [
                    home.known for home in homes if _same_account(home.cloud, cloud) and home.cloud.region == region
                ]
                places.append(Place(cloud, set().union(*there)))
    for place in places:
        place.known |= broken
    return places, unasked, notes


def _add(homes: list[Place], cloud: Cloud, name: str) -> None:
    for home in homes:
        if _same_account(home.cloud, cloud) and home.cloud.region == cloud.region:
            home.known.add(name)
            return
    homes.append(Place(cloud, {name}))


def _same_account(one: Cloud, other: Cloud) -> bool:
    """As far as the stack files tell: the same credentials at the same endpoints."""
    return (one.profile, one.access_key, one.endpoints) == (other.profile, other.access_key, other.endpoints)


def lines(swept: Swept) -> list[str]:
    out = []
    for one in swept.found:
        out.append(f"{one.region}  {one.stack}: {one.verdict}, {one.why}{_bill(one)}")
        shown: Iterable[orphans.Thing] = one.doomed
        out += [f"  {thing.kind} {thing.id} {thing.detail}".rstrip() for thing in shown]
        out += [f"  bills: {line}" for line in one.bills]
        if one.spared:
            files = ", its files too" if any(thing.kind in orphans.FILES for thing in one.spared) else ""
            out.append(f"  fleet sweep -s {one.stack} --region {one.region} --yes ends all of it{files}")
    where = ", ".join(dict.fromkeys(swept.asked)) or "nowhere"
    out += [f"{one.region}  UNKNOWN: {one.asked}: {one.why}" for one in swept.unasked]
    out += [f"not ended: {one}" for one in swept.failed]
    out += [f"note: {one}" for one in swept.notes]
    if swept.unasked and not swept.doomed:
        out.append("nothing to end was found, and not all could be asked")
    elif not swept.doomed:
        out.append(f"nothing to end; looked in {where}")
    elif swept.yes:
        out.append(f"ended {counted(len(swept.ended), 'thing')}; looked in {where}")
    else:
        out.append(
            f"to end: {counted(swept.doomed, 'thing')}; looked in {where}. fleet sweep --yes ends what is listed"
        )
    return out


def counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _bill(one: Found) -> str:
    if not one.nodes or one.since is None:
        return ""
    price = "price unknown" if one.usd_per_hour is None else f"${one.usd_per_hour:.2f} an hour by list price"
    age = span((datetime.now(UTC) - one.since).total_seconds())
    return f"; {len(one.nodes)} x {one.nodes[0].instance_type} up {age}, {price}"
