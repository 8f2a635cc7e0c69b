"""Another machine for one rank, or another number of ranks: only where nothing trains, for a gang can't go on without
each of its members.
"""

from __future__ import annotations

from dataclasses import dataclass

from infra import changed, sweep
from infra.budget import grown, refuse
from infra.changed import Losses
from infra.cost import priced
from infra.errors import BadInput, CloudRefused
from infra.session import Change
from infra.stack_files import write_nodes
from training.checks import ANSWER, CHECKS
from training.inventory import Inventory, Node
from training.launch import active_runs, refuse_busy
from training.onnode import whole_run
from training.readiness import Check, Ready
from training.remote import Machines
from training.stack_fleet import Say, StackFleet, quiet


def replace(fleet: StackFleet, rank: int, say: Say = quiet) -> Node:
    """The rank's new machine. BadInput, and nothing done, where a run is on the fleet."""
    _refuse_busy(fleet)
    return fleet.replace([rank], say).nodes[rank]


def why_ended(fleet: StackFleet, rank: int) -> str:
    """AWS's reason where the rank's machine runs no more; "" where it runs, or AWS can't be asked."""
    outputs = fleet.stack.outputs()
    try:
        return sweep.why_ended(fleet.stack.cloud, outputs.nodes[rank].id) if outputs else ""
    except CloudRefused:
        return ""


def at_fault(ready: Ready) -> dict[int, str]:
    """Of each rank whose machine another one would put right, what it failed. {} where that is more than half of the
    fleet: then it is the image, the driver or the stack, and not the machines.
    """
    failed = {
        rank: "; ".join(f"{check.name} {check.found}, needed {check.needed}" for check in node.checks if _of_it(check))
        for rank, node in ready.nodes.items()
        if any(map(_of_it, node.checks))
    }
    return failed if len(failed) <= max(1, len(ready.nodes) // 2) else {}


def _of_it(check: Check) -> bool:
    return not check.ok and (check.name == ANSWER or check.name in CHECKS and CHECKS[check.name].of_machine)


@dataclass(frozen=True)
class Resized:
    """What another number of nodes costs an hour, before and after. usd_at_most: from the first launch to the last of
    its ends; None for fewer nodes, or where it can't be told."""

    before: float | None
    after: float | None
    usd_at_most: float | None = None

    def __str__(self) -> str:
        """$10.00 -> $40.00 an hour, up to $155.00 to its end"""
        if self.before is None or self.after is None:
            return "no price known"
        most = "" if self.usd_at_most is None else f", up to ${self.usd_at_most:.2f} to its end"
        return f"${self.before:.2f} -> ${self.after:.2f} an hour{most}"


def resized(fleet: StackFleet, nodes: int) -> Resized:
    """BadInput where the fleet isn't up, or its budget or `maxUsdPerHour` forbids so many."""
    alive = [node for node in fleet.live().values() if node.state in ("pending", "running")]
    if not alive:
        raise BadInput(f"the fleet of stack {fleet.name} is not up", do=f"fleet up -s {fleet.name}")
    wanted = fleet.config_here.model_copy(update={"nodes": nodes})
    cost = priced(wanted, fleet.stack.cloud)
    if nodes > len(alive):
        refuse(wanted, cost)
    most = grown(wanted, cost, alive, fleet.stack.cloud.now())
    return Resized(fleet.hourly_cost.total, cost.total, most)


def resize(fleet: StackFleet, nodes: int, say: Say = quiet) -> Inventory:
    """The fleet with so many nodes, in its stack file too; those that stay keep their order.

    BadInput, and nothing done, as `resized` says, where a run is on the fleet, or the stack file has other changes that
    would take something from it. Where AWS has no room for more, the file says what it said before, and the nodes that
    were there stay.
    """
    resized(fleet, nodes)
    _refuse_busy(fleet)
    before = fleet.config.nodes
    write_nodes(fleet.root, fleet.name, nodes)
    wanted = StackFleet(fleet.root, fleet.name, fleet.key)
    try:
        wanted.config  # noqa: B018  (a number that no stack may have is refused before anything is done)
        refuse_losses(wanted, ends_from=nodes)
        wanted.shrink(say)
        return wanted.up(say)
    except BaseException:
        if nodes > before or len(fleet.live()) == before:
            write_nodes(fleet.root, fleet.name, before)
        raise


def losses(fleet: StackFleet) -> Losses:
    """What an `up` would take from a fleet that is up. BadInput where a run is on it that this would end."""
    outputs = fleet.stack.outputs()
    if outputs is None:
        return Losses()
    changes: list[Change] = []
    fleet.stack.preview(changes.append)
    found = changed.losses(changes, outputs.nodes)
    if found and (busy := _busy(fleet.survivors(fleet.live()))):
        first = whole_run(busy[0])
        raise BadInput(
            f"this would {found.said}, and {', '.join(busy)} runs there",
            where=f"stack {fleet.name}",
            do=f"Wait (fleet attach {first}), stop it (fleet stop {first}), or undo the change.",
        )
    return found


def refuse_losses(fleet: StackFleet, ends_from: int | None = None) -> None:
    """BadInput where an `up` would take anything from a fleet that is up, but the ranks from this one on."""
    found = losses(fleet)
    asked = () if ends_from is None else tuple(rank for rank in found.ended if rank >= ends_from)
    found.but(asked).refuse(fleet.name)


def _refuse_busy(fleet: StackFleet) -> None:
    refuse_busy(fleet.name, _busy(fleet.inventory()))


def _busy(inventory: Inventory) -> tuple[str, ...]:
    """A node that does not answer may be the bad one, and hinders nothing."""
    with Machines(inventory) as machines:
        return active_runs(machines)[0]
