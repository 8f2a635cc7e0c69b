"""Every end of a stack's fleet that nobody has to remember, seen where it is: on the nodes and at AWS."""

from __future__ import annotations

from collections.abc import Iterable

from infra.ends import End, aws_schedule
from infra.errors import CloudRefused
from training.fleets import StackFleet
from training.lease import Lease, leases
from training.remote import Machines


def look(fleet: StackFleet, live: Iterable[str], held: tuple[Lease, ...]) -> tuple[End, ...]:
    """live: the ids of the nodes that bill; held: what the nodes said of their leases, () where none could be asked."""
    ids = set(live)
    return lease_end(held, len(ids)), aws_schedule(fleet.stack.cloud, fleet.name, ids)


def prove(fleet: StackFleet, live: Iterable[str], machines: Machines) -> None:
    """CloudRefused unless every end is armed: a fleet of ours trains only if it would end by itself."""
    for end in look(fleet, live, leases(machines)):
        if end.state != "armed":
            raise CloudRefused(
                f"its {end.name} is {end.state}: {end.detail}",
                where=f"stack {fleet.name}",
                do=f"fleet up -s {fleet.name} arms it; fleet status -s {fleet.name} shows it.",
            )


def lease_end(held: tuple[Lease, ...], nodes: int) -> End:
    """The nodes' leases as one end: armed where all are, and then until the last of them."""
    armed = [lease for lease in held if lease.armed and lease.deadline]
    until = max((lease.deadline for lease in armed if lease.deadline), default=None)
    if len(armed) == nodes:
        return End("lease", "armed", until, f"on {nodes} of {nodes}")
    untold = [lease for lease in held if lease.unknown]
    if untold or not held:
        why = untold[0].unknown if untold else "no node could be asked"
        return End("lease", "UNKNOWN", until, f"on {len(armed)} of {nodes}: {why}")
    bare = ", ".join(str(lease.rank) for lease in held if not lease.armed)
    return End("lease", "missing", until, f"on {len(armed)} of {nodes}: not on rank {bare}")
