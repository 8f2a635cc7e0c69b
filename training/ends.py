"""Every end of a stack's fleet that nobody has to remember, seen where it is: on the nodes and at AWS."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from infra.ends import End, held_by_aws, sweep_end
from infra.errors import CloudRefused
from infra.kinds import Node
from infra.nodes import LIFETIME_TAG
from training.lease import Lease, leases
from training.remote import Machines
from training.stack_fleet import StackFleet


def look(fleet: StackFleet, live: Mapping[str, Node], held: tuple[Lease, ...]) -> tuple[End, ...]:
    """live: the nodes that bill, by id; held: what the nodes said of their leases, () where none could be asked."""
    ids, cloud = set(live), fleet.stack.cloud
    return (
        lease_end(held, len(ids)),
        idle_end(held, len(ids)),
        *held_by_aws(cloud, fleet.name, ids, fleet.config.idle_minutes),
        sweep_end(live.values()),
    )


def prove(fleet: StackFleet, live: Mapping[str, Node], machines: Machines) -> tuple[End, ...]:
    """The ends; CloudRefused unless each that comes by itself is armed, or off by the stack file, and a sweep would
    know the nodes."""
    found = look(fleet, live, leases(machines))
    for end in found:
        if end.state in ("missing", "UNKNOWN"):
            raise CloudRefused(
                f"its {end.name} is {end.state}: {end.detail}",
                where=f"stack {fleet.name}",
                do=f"{_arms(end, fleet.name)}; fleet down -s {fleet.name} ends all.",
            )
    return found


def _arms(end: End, stack: str) -> str:
    if end.name in ("lease", "idle end"):
        return f"A reboot of the node arms it again (fleet ssh -s {stack} RANK sudo reboot)"
    if end.name == "sweep":
        return f"aws ec2 create-tags --resources ID --tags Key={LIFETIME_TAG},Value=4h puts it back"
    return f"Then fleet status -s {stack}"


def lease_end(held: tuple[Lease, ...], nodes: int) -> End:
    """The nodes' leases as one end: armed where all are, and then until the last of them."""
    armed = [lease for lease in held if lease.armed and lease.deadline]
    until = max((lease.deadline for lease in armed if lease.deadline), default=None)
    if len(armed) == nodes:
        return End("lease", "armed", until, f"on {nodes} of {nodes}")
    if why := _untold(held):
        return End("lease", "UNKNOWN", until, f"on {len(armed)} of {nodes}: {why}")
    bare = ", ".join(str(lease.rank) for lease in held if not lease.armed)
    return End("lease", "missing", until, f"on {len(armed)} of {nodes}: not on rank {bare}")


def idle_end(held: tuple[Lease, ...], nodes: int) -> End:
    """The leases' other half: armed where every node looks whether it works, off where none was asked to."""
    armed = [lease for lease in held if lease.idle_after and lease.idle_armed]
    if len(held) == nodes and all(lease.idle_after == timedelta(0) for lease in held):
        return End("idle end", "off", detail="swift-fleet:idleMinutes is 0")
    if len(armed) == nodes:
        after = max(lease.idle_after for lease in armed if lease.idle_after)
        looks = [lease.idle_for for lease in armed if lease.idle_for is not None]
        least = min(looks, default=timedelta(0))
        now = f"idle for {_minutes(least)}" if least else "at work" if len(looks) == nodes else "not looked at yet"
        return End("idle end", "armed", detail=f"after {_minutes(after)} without work; {now}")
    if why := _untold(held):
        return End("idle end", "UNKNOWN", detail=f"on {len(armed)} of {nodes}: {why}")
    bare = ", ".join(str(lease.rank) for lease in held if not (lease.idle_after and lease.idle_armed))
    return End("idle end", "missing", detail=f"on {len(armed)} of {nodes}: not on rank {bare}")


def _minutes(time: timedelta) -> str:
    return f"{time // timedelta(minutes=1)} min"


def _untold(held: tuple[Lease, ...]) -> str:
    return next((lease.unknown for lease in held if lease.unknown), "" if held else "no node could be asked")
