"""Another machine for one rank: only where nothing trains, for the others would wait for it until they time out."""

from __future__ import annotations

from infra.errors import BadInput
from training.inventory import Node
from training.launch import active_runs
from training.remote import Machines
from training.stack_fleet import Say, StackFleet, quiet


def replace(fleet: StackFleet, rank: int, say: Say = quiet) -> Node:
    """The rank's new machine. BadInput, and nothing done, where a run is on the fleet; a node that does not answer
    may be the bad one, and hinders nothing.
    """
    with Machines(fleet.inventory()) as machines:
        busy, _ = active_runs(machines)
    if busy:
        do = f"Stop it first: fleet stop {busy[0]} -s {fleet.name}"
        raise BadInput(f"{fleet.name} is busy with {', '.join(busy)}", do=do)
    return fleet.replace(rank, say).nodes[rank]
