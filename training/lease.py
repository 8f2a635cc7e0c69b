"""The nodes' own end, asked on the nodes: until when, and whether its timer is armed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from training.remote import Connection, Machines

ASK = """
state=${FLEET_STATE_DIR:-/var/lib/swift-fleet}
cat "$state/deadline" 2> /dev/null || echo none
systemctl is-active fleet-lease.timer 2> /dev/null || true
"""
ASK_S = 15.0


@dataclass(frozen=True)
class Lease:
    """deadline: UTC, None where the node has none; armed: its timer runs; unknown: why the node can't tell."""

    rank: int
    deadline: datetime | None
    armed: bool
    unknown: str = ""


def leases(machines: Machines) -> tuple[Lease, ...]:
    """Each node's lease, asked of all at once."""
    return tuple(
        one if isinstance(one, Lease) else Lease(rank, None, False, str(one))
        for rank, one in sorted(machines.each(_ask, idempotent=True).items())
    )


def _ask(connection: Connection) -> Lease:
    said = connection.run(ASK, ASK_S).out.split()
    deadline = datetime.fromtimestamp(int(said[0]), UTC) if said and said[0].isdigit() else None
    return Lease(connection.node.rank, deadline, "active" in said[1:])
