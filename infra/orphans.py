"""What nobody looks after any more: nodes past their time, and what is left of stacks that this clone does not know.

By tag and name alone, whatever a state file says. Time is AWS's own, so that no wrong clock here ends a fleet.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from infra import sweep
from infra.catalog import catalog
from infra.cloud import Cloud, translated
from infra.durations import LONGEST
from infra.errors import CloudRefused
from infra.kinds import Node, Thing, nodes

Verdict = Literal["past its time", "unknown here", "kept"]
#: After a node's time the lease has ended it, five minutes later the AWS schedule. What lives on then has lost both.
LATE = timedelta(minutes=15)
#: Longer than anything of an `up` keeps the next waiting: the published provider tries 50 minutes for capacity, and a
#: Lustre file system takes some. What is younger may be of an `up` that goes on somewhere.
UNDER_WAY = timedelta(hours=2)
#: What may hold what was trained.
FILES = ("file system", "Lustre file system", "volume")
#: What bills by the hour and holds nothing: it can go, and an `up` makes it anew.
BILLS = ("instance", "capacity reservation", "NAT gateway", "VPC endpoint", "elastic address")


@dataclass(frozen=True)
class Found:
    """One stack's things in one region. why: in words; doomed: what a sweep ends, all of it or a part.

    spared: what it leaves, and would end if the stack were named.
    usd_per_hour: of its machines by the list price that ships, None where one is unknown.
    bills: of a stack whose machines are gone or doomed, what bills all the same and is left, in words.
    """

    account: str
    region: str
    stack: str
    verdict: Verdict
    why: str
    nodes: tuple[Node, ...]
    things: tuple[Thing, ...]
    doomed: tuple[Thing, ...]
    spared: tuple[Thing, ...] = ()
    since: datetime | None = None
    usd_per_hour: float | None = None
    bills: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unasked:
    """A question that AWS did not answer: what may be there is not known."""

    region: str
    asked: str
    why: str


def survey(cloud: Cloud, known: Collection[str], only: str | None = None) -> tuple[list[Found], list[Unasked]]:
    """Everything of ours in the cloud's region, by stack, judged.

    known: the stacks whose files say this account and region; only: look at one stack alone, and name it: then it is
    ended even within its time, unless it is known.
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
    for kind in sweep.KINDS:
        try:
            with translated():
                found = list(kind.find(cloud, only))
        except CloudRefused as error:
            unasked.append(Unasked(cloud.region, sweep.question(kind, only or "*"), error.what))
            continue
        for thing in found:
            things.setdefault(thing.stack, []).append(thing)
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
    ], unasked


def judge(
    stack: str, nodes: tuple[Node, ...], things: tuple[Thing, ...], *, known: bool, named: bool, now: datetime
) -> Found:
    """What is to become of a stack. Pure.

    Nodes past their time are doomed, whosever they are. Of a stack that is known the rest waits for `fleet down`. One
    that is unknown is all doomed where it was named; else it may be somebody's, and only what no running node and no
    `up` under way can need goes, and never files.
    """
    late = {node.id: ends for node in nodes if now > (ends := _ends_at(node)) + LATE}
    until = max((_ends_at(node) for node in nodes if node.id not in late), default=None)
    since = min((node.launched_at for node in nodes), default=None)
    doomed = tuple(thing for thing in things if thing.id in late)
    past = [f"{len(late)} of {len(nodes)} nodes should have ended at {_said(min(late.values()))}"] if late else []

    def found(why: str, doomed: tuple[Thing, ...], verdict: Verdict = "past its time") -> Found:
        why = "; ".join([*past, why] if why else past)
        spared = () if known else tuple(thing for thing in things if not thing.kept and thing not in doomed)
        return Found("", "", stack, verdict if doomed else "kept", why, nodes, things, doomed, spared, since)

    if known:
        return found("" if late else f"its stack file is here (fleet down -s {stack} ends it)", doomed)
    theirs = tuple(thing for thing in things if not thing.kept)
    if not theirs:
        return found("its stack is gone, its files were to stay (retain: true), and they bill", ())
    if named:
        past.clear()
        return found("no stack file is here for it", theirs, "unknown here")
    if until:
        return found(
            f"no stack file is here, but it is within its time, until {_said(until)}: perhaps a colleague's", doomed
        )
    made = max((thing.made for thing in things if thing.made and thing.id not in late), default=None)
    if made is None or now < made + UNDER_WAY:
        age = f"made at {_said(made)}" if made else "of an age that AWS does not tell"
        return found(f"no stack file is here, but it is {age}: perhaps of an up under way", doomed)
    if files := [thing for thing in things if thing.kind in FILES and not thing.detail.startswith("in-use")]:
        held = ", ".join(f"{thing.kind} {thing.id}" for thing in files)
        doomed = tuple(thing for thing in theirs if thing.kind in BILLS)
        return found(f"no stack file is here; {held} may hold what was trained, and stays with what it needs", doomed)
    doomed = tuple(thing for thing in theirs if thing.kind not in FILES)
    return found(f"no stack file is here, and the last of it was made at {_said(made)}", doomed)


def _ends_at(node: Node) -> datetime:
    """Of a node whose tag does not tell the latest that any may have."""
    return node.ends_at or node.launched_at + LONGEST


def _said(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def end(cloud: Cloud, one: Found, say: Callable[[Thing], None]) -> None:
    """Ends what is doomed of it, machines first; of a stack that was named whatever there is by now. What has ended
    meanwhile is no error. Raises CloudRefused where AWS refuses."""
    only = None if one.verdict == "unknown here" else {thing.id for thing in one.doomed}
    sweep.end(cloud, one.stack, say, only=only)


def _price(region: str, machines: list[Node]) -> float | None:
    shipped = catalog()
    prices = [
        shipped.types[node.instance_type].usd_per_hour if node.instance_type in shipped.types else None
        for node in machines
    ]
    known = [price for price in prices if price is not None]
    return sum(known) if region == shipped.price_region and len(known) == len(prices) else None
