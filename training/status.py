"""`fleet status`: what bills, until when, at most how much, which ends are armed, what trains. UNKNOWN where untold."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime

from infra.ends import End
from infra.errors import FleetError
from infra.left import what_bills
from training import ends
from training.endpoints import endpoints
from training.fleets import Fleet
from training.launch import active_runs
from training.lease import Lease, leases
from training.onnode import whole_run
from training.receipt import span
from training.remote import Machines
from training.run import Endpoint, now
from training.stack_fleet import StackFleet


@dataclass(frozen=True)
class Status:
    """nodes: what AWS says runs ("i-... running m7i.xlarge"); usd_at_most: if nobody touches it again.

    serves: what listens on them, by the server's own word. left: what bills by the hour though no node is up,
    next: what goes on from there, or ends it.
    """

    source: str
    fleet: str
    nodes: tuple[str, ...]
    since: datetime | None = None
    usd_per_hour: float | None = None
    usd_spent: float | None = None
    usd_at_most: float | None = None
    ends: tuple[End, ...] = ()
    runs: tuple[str, ...] = ()
    serves: tuple[Endpoint, ...] = ()
    unknown: tuple[str, ...] = field(default=())
    left: tuple[str, ...] = ()
    next: str = ""

    @property
    def ends_at(self) -> datetime | None:
        """The first of the ends that are armed."""
        return min((end.at for end in self.ends if end.state == "armed" and end.at), default=None)


def look(fleet: Fleet) -> Status:
    if not isinstance(fleet, StackFleet):
        inventory = fleet.inventory()
        names = tuple(f"{node.name} rank {node.rank}" for node in inventory.nodes)
        with Machines(inventory) as machines:
            running, unknown = active_runs(machines)
            serves = endpoints(machines) if running else ()
        return Status(fleet.source, fleet.name, names, runs=running, serves=serves, unknown=unknown)
    nodes = fleet.live()
    if not nodes:
        return _no_node(fleet)
    running, serves, unknown, held = _on_nodes(fleet, nodes)
    all_ends = ends.look(fleet, nodes, held)
    since, price = min(node.launched_at for node in nodes.values()), fleet.hourly_cost.total
    status = Status(
        "stack",
        fleet.name,
        tuple(f"{node.id} {node.state} {node.instance_type}" for node in nodes.values()),
        since=since,
        usd_per_hour=price,
        usd_spent=None if price is None else price * (now() - since).total_seconds() / 3600,
        ends=all_ends,
        runs=running,
        serves=serves,
        unknown=unknown,
    )
    last = max((end.at for end in all_ends if end.state == "armed" and end.at), default=None)
    if price is None or last is None:
        return status
    return Status(**{**status.__dict__, "usd_at_most": price * (last - since).total_seconds() / 3600})


def _no_node(fleet: StackFleet) -> Status:
    """An `up` that was cut off may have made a reservation, a gateway or files, and they bill."""
    left = what_bills(fleet.stack.cloud, fleet.name)
    next = f"fleet up -s {fleet.name} goes on from it, fleet down -s {fleet.name} ends it" if left.ends else ""
    usd = left.usd_per_hour
    return Status("stack", fleet.name, (), usd_per_hour=usd, unknown=left.unasked, left=left.lines(), next=next)


def _on_nodes(
    fleet: StackFleet, live: Collection[str]
) -> tuple[tuple[str, ...], tuple[Endpoint, ...], tuple[str, ...], tuple[Lease, ...]]:
    """What the nodes themselves say: active runs, endpoints, what can't be told, leases."""
    try:
        with Machines(fleet.survivors(live)) as machines:
            running, unknown = active_runs(machines)
            return running, endpoints(machines) if running else (), unknown, leases(machines)
    except FleetError as error:
        return (), (), (str(error),), ()


def lines(status: Status) -> list[str]:
    if not status.nodes:
        return _without_nodes(status)
    out = [f"{status.source} {status.fleet}: {len(status.nodes)} nodes"]
    out += [f"  {node}" for node in status.nodes]
    if status.source == "stack":
        out.append(f"bills       {_bill(status)}")
        for end in status.ends:
            at = f"{end.at:%Y-%m-%d %H:%M} UTC" if end.at else ""
            left = f"({span((end.at - datetime.now(UTC)).total_seconds())} left)" if end.at else ""
            out.append(f"ends        {end.name:14}{end.state:9}{at} {left}  {end.detail}".rstrip())
        most = (
            "UNKNOWN"
            if status.usd_at_most is None
            else f"${status.usd_at_most:.2f}, by the last of its ends, if nobody touches it again"
        )
        out.append(f"at most     {most}")
    trains = [run for run in status.runs if run not in {one.run for one in status.serves}]
    if trains or not status.serves:
        out.append(f"trains      {', '.join(trains) or ('UNKNOWN' if status.unknown else 'nothing')}")
    for one in status.serves:
        reach = f"fleet tunnel {whole_run(one.run)} --rank {one.rank}"
        out.append(f"serves      {one.url}  rank {one.rank} of {one.run}: {reach}")
    return out + [f"UNKNOWN     {why}" for why in status.unknown]


def _without_nodes(status: Status) -> list[str]:
    usd = status.usd_per_hour
    if usd is None and (status.left or status.unknown):
        bills = "what bills by the hour is UNKNOWN"
    else:
        bills = f"{f'${usd:.2f} bills' if usd and usd >= 0.005 else 'nothing bills'} by the hour"
    out = [f"{status.source} {status.fleet}: no node is up, {bills}"]
    out += [f"{'bills' if number == 0 else '':12}{one}" for number, one in enumerate(status.left)]
    out += [f"next        {status.next}"] if status.next else []
    return out + [f"UNKNOWN     {why}" for why in status.unknown]


def _bill(status: Status) -> str:
    if status.usd_per_hour is None:
        return "price UNKNOWN"
    since = f" since {status.since:%Y-%m-%d %H:%M} UTC" if status.since else ""
    spent = "" if status.usd_spent is None else f", ${status.usd_spent:.2f} so far"
    return f"${status.usd_per_hour:.4f} an hour{since}{spent}"
