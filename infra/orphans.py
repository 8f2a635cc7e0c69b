"""What nobody looks after any more: fleets past their time, and fleets of no stack that this clone knows.

By tag and name alone, whatever a state file says. Time is AWS's own, so that no wrong clock here ends a fleet.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from infra import sweep
from infra.catalog import catalog
from infra.cloud import Cloud, translated
from infra.errors import CloudRefused
from infra.kinds import Kind, Node, Thing, nodes

Verdict = Literal["past its time", "unknown here", "kept"]
#: After a node's time the lease has ended it, five minutes later the AWS schedule. What lives on then has lost both.
LATE = timedelta(minutes=15)


@dataclass(frozen=True)
class Found:
    """One stack's things in one region. why: in words; doomed: what a sweep ends, all of it or some nodes.

    usd_per_hour: of its machines by the list price that ships, None where one is unknown.
    bills: of a stack that is kept and has no machine, what bills by the hour all the same, in words.
    """

    account: str
    region: str
    stack: str
    verdict: Verdict
    why: str
    nodes: tuple[Node, ...]
    things: tuple[Thing, ...]
    doomed: tuple[Thing, ...]
    since: datetime | None = None
    usd_per_hour: float | None = None
    bills: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unasked:
    """A question that AWS did not answer: what may be there is not known."""

    region: str
    asked: str
    why: str


def survey(
    cloud: Cloud, known: Collection[str], only: str | None = None, *, whole_account: bool = False
) -> tuple[list[Found], list[Unasked]]:
    """Everything of ours in the cloud's region, by stack, judged.

    known: the stacks whose files say this account and region; only: look at one stack alone, and name it: then it is
    ended even within its time, unless it is known. whole_account: every region is asked, so what is of no region
    (roles) may be judged by itself.
    """
    unasked: list[Unasked] = []
    try:
        with cloud.asked():
            said = cloud.client("sts").get_caller_identity()
            machines = list(nodes(cloud, only))
            now = cloud.now()
    except CloudRefused as error:
        return [], [Unasked(cloud.region, "sts GetCallerIdentity, ec2 DescribeInstances", error.sentence)]
    things: dict[str, list[Thing]] = {}
    regional: set[str] = set()
    for kind in sweep.KINDS:
        try:
            with translated():
                found = list(kind.find(cloud, only))
        except CloudRefused as error:
            unasked.append(Unasked(cloud.region, sweep.question(kind, only or "*"), error.what))
            continue
        for thing in found:
            things.setdefault(thing.stack, []).append(thing)
            regional |= set() if kind.everywhere else {thing.stack}
    return [
        replace(
            judge(
                stack,
                tuple(node for node in machines if node.stack == stack),
                tuple(of_it),
                known=stack in known,
                named=stack == only,
                now=now,
            ),
            account=said["Account"],
            region=cloud.region,
            usd_per_hour=_price(cloud.region, [node for node in machines if node.stack == stack]),
        )
        for stack, of_it in sorted(things.items())
        if stack in regional or whole_account or stack == only
    ], unasked


def judge(
    stack: str, nodes: tuple[Node, ...], things: tuple[Thing, ...], *, known: bool, named: bool, now: datetime
) -> Found:
    """What is to become of a stack. Pure.

    Of a stack that is known only nodes past their time are doomed: the rest waits for `fleet down`, for its files may
    be wanted. Of one that is unknown all is, unless it is somebody's fleet within its time that was not named.
    """
    late = {node.id for node in nodes if node.ends_at is not None and now > node.ends_at + LATE}
    running = [node for node in nodes if node.id not in late]
    until = max((node.ends_at for node in running if node.ends_at), default=None)
    since = min((node.launched_at for node in nodes), default=None)

    def found(verdict: Verdict, why: str, doomed: tuple[Thing, ...]) -> Found:
        return Found("", "", stack, verdict, why, nodes, things, doomed, since)

    if known and late:
        past = min(node.ends_at for node in nodes if node.id in late and node.ends_at)
        why = f"{len(late)} of {len(nodes)} nodes should have ended at {past:%Y-%m-%d %H:%M} UTC"
        return found("past its time", why, tuple(thing for thing in things if thing.id in late))
    if known:
        return found("kept", f"its stack file is here (fleet down -s {stack} ends it)", ())
    if until and not named:
        why = (
            f"no stack file is here, but it is within its time, until {until:%Y-%m-%d %H:%M} UTC: perhaps a colleague's"
        )
        return found("kept", why, ())
    if not _not_kept(things):
        return found("kept", "its stack is gone, its files were to stay (retain: true), and they bill", ())
    return found("unknown here", "no stack file is here for it", _not_kept(things))


def _not_kept(things: tuple[Thing, ...]) -> tuple[Thing, ...]:
    return tuple(thing for thing in things if not thing.kept)


def end(cloud: Cloud, one: Found, say: Callable[[Thing], None]) -> None:
    """Ends what is doomed of it, machines first. Raises CloudRefused where AWS refuses."""
    if one.doomed == _not_kept(one.things):
        sweep.end(cloud, one.stack, say)
        return
    for kind, doomed in _by_kind(cloud, one).items():
        for thing in doomed:
            say(thing)
        with translated():
            kind.end(cloud, doomed)


def _by_kind(cloud: Cloud, one: Found) -> Mapping[Kind, list[Thing]]:
    """Found once more: what has ended meanwhile is no error."""
    ids = {thing.id for thing in one.doomed}
    with translated():
        found = {kind: [thing for thing in kind.find(cloud, one.stack) if thing.id in ids] for kind in sweep.KINDS}
    return {kind: things for kind, things in found.items() if things}


def _price(region: str, machines: list[Node]) -> float | None:
    shipped = catalog()
    prices = [
        shipped.types[node.instance_type].usd_per_hour if node.instance_type in shipped.types else None
        for node in machines
    ]
    known = [price for price in prices if price is not None]
    return sum(known) if region == shipped.price_region and len(known) == len(prices) else None
