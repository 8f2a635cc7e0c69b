"""Another machine for one rank, or another number of ranks: only where nothing trains, for a gang can't go on without
each of its members.
"""

from __future__ import annotations

from infra import sweep
from infra.errors import CloudRefused
from infra.stack_files import write_nodes
from training.checks import ANSWER, CHECKS
from training.inventory import Inventory, Node
from training.launch import active_runs, refuse_busy
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


def resize(fleet: StackFleet, nodes: int, say: Say = quiet) -> Inventory:
    """The fleet with so many nodes, in its stack file too; those that stay keep their order.

    BadInput, and nothing done, where a run is on the fleet or it isn't up. Where AWS has no room for more, the file
    says what it said before, and the nodes that were there stay.
    """
    _refuse_busy(fleet)
    before = fleet.config.nodes
    write_nodes(fleet.root, fleet.name, nodes)
    wanted = StackFleet(fleet.root, fleet.name, fleet.key)
    try:
        wanted.config  # noqa: B018  (a number that no stack may have is refused before anything is done)
        wanted.shrink(say)
        return wanted.up(say)
    except BaseException:
        if nodes > before or len(fleet.live()) == before:
            write_nodes(fleet.root, fleet.name, before)
        raise


def _refuse_busy(fleet: StackFleet) -> None:
    """A node that does not answer may be the bad one, and hinders nothing."""
    with Machines(fleet.inventory()) as machines:
        busy, _ = active_runs(machines)
    refuse_busy(fleet.name, busy)
