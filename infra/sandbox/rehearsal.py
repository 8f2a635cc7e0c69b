"""What can go wrong, by the names that a person types: `fleet sandbox fault no-capacity --zone us-east-1a`. Each is a
rule of faults.py with AWS's own code, status and words, or something that befalls one node."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from infra.errors import BadInput
from infra.sandbox import admission, process
from infra.sandbox.faults import THROTTLED, Rule

# How a fleet's nodes are tagged (infra/nodes.py, infra/guardrails.py, which import all of Pulumi).
NODE_TAG, STACK_TAG = "swift-fleet:node", "swift-fleet:stack"
# What asks for a machine that is not there yet, or not any more.
CAPACITY_ACTIONS = "RunInstances|StartInstances|CreateCapacityReservation"
BOOT, SILENT, BOOT_FAILS = "Boot", "NeverBoots", "BootFails"
GONE = ("terminated", "shutting-down")


def no_capacity(zone: str, kind: str, *, spot: bool = False) -> Rule:
    """AWS has no machines of the type (any, if empty) in the zone (any). What a reservation holds is not affected."""
    where = zone or "the Availability Zone you requested"
    message = (
        f"We currently do not have sufficient {kind or 'instance'} capacity in {where}. "
        "Our system will be working on provisioning additional capacity."
    )
    match = {"AvailabilityZone": zone, "InstanceType": kind, "MarketType": "spot" if spot else ""}
    given = {key: value for key, value in match.items() if value} | {"CapacityReservationId": ""}
    name = " ".join(["no-capacity", *(word for word in (zone, kind, "spot" if spot else "") if word)])
    # AWS sends this one as HTTP 500, which every SDK retries.
    return Rule(CAPACITY_ACTIONS, "InsufficientInstanceCapacity", 500, message, given, name=name)


def throttle(action: str, count: int | None) -> Rule:
    return Rule(action, THROTTLED, message="Rate exceeded", count=count, name=f"throttle {_which(action)}")


def fail(action: str, code: str, status: int, count: int | None) -> Rule:
    return Rule(action, code, status, "Injected by the sandbox.", count=count, name=f"fail {action} {code}")


def deny(action: str, count: int | None) -> Rule:
    """The caller has no right to it, in the words of each service."""
    return Rule(action, admission.DENIED, count=count, name=f"deny {_which(action)}")


CREDENTIALS = {"expired": admission.EXPIRED, "unknown": admission.WRONG_KEY, "clock": admission.WRONG_CLOCK}


def credentials(what: str, count: int | None) -> Rule:
    """No service takes the caller's credentials, or his clock."""
    return Rule("*", CREDENTIALS[what], count=count, name=f"credentials {what}")


def slow(action: str, seconds: float) -> Rule:
    return Rule(action, slow=seconds, name=f"slow {_which(action)} {seconds:g}s")


def never_boots(rank: int | None, count: int | None, *, terminated: bool = False) -> Rule:
    """The next machines (or this rank's) are running to AWS, and nothing answers on them; or AWS gives up on them
    while they are pending (Server.InternalError)."""
    match = {} if rank is None else {"Rank": str(rank)}
    name = "never-boots" if rank is None else f"never-boots rank {rank}"
    return Rule(BOOT, BOOT_FAILS if terminated else SILENT, match=match, count=count, name=name)


def add(port: int, rule: Rule, lasting: timedelta | None = None) -> Rule:
    """Puts the rule in force; `lasting` counts on the sandbox's clock."""
    raw = asdict(rule)
    if lasting is not None:
        raw["until"] = (now(port) + lasting).isoformat(timespec="seconds")
    return Rule.read(process.control(port, "fault", raw))


def rules(port: int) -> list[Rule]:
    return [Rule.read(raw) for raw in process.control(port, "faults")]


def quotas(port: int) -> dict[str, float]:
    """Those that were set, by code; all others are generous."""
    return {code: float(value) for code, value in process.control(port, "quotas").items()}


def set_quota(port: int, code: str, value: float) -> None:
    process.control(port, "quotas", quotas(port) | {code: value})


def clear(port: int) -> int:
    """How many rules and quotas are no longer in force."""
    there = len(rules(port)) + len(quotas(port))
    process.control(port, "faults", [])
    process.control(port, "quotas", {})
    return there


def befall(port: int, stack: str, rank: int, what: str) -> str:
    """`kill`, `lose-disk` or `spot-notice`, for the node of a rank; its instance's id."""
    instance_id = _node(process.control(port, "status")["instances"], stack, rank)
    process.control(port, "node", {"instance": instance_id, "do": what})
    return instance_id


def now(port: int) -> datetime:
    return datetime.fromisoformat(process.control(port, "status")["now"])


def advance(port: int, by: timedelta) -> datetime:
    return datetime.fromisoformat(process.control(port, "clock", {"advance": by.total_seconds()})["now"])


def _which(action: str) -> str:
    return "all" if action == "*" else action


def _node(machines: list[dict[str, Any]], stack: str, rank: int) -> str:
    alive = [one for one in machines if one["state"] not in GONE and one["tags"].get(STACK_TAG) == stack]
    ranks = {one["tags"].get(NODE_TAG): one["id"] for one in alive}
    if str(rank) not in ranks:
        there = ", ".join(sorted(filter(None, ranks), key=int)) or "none"
        raise BadInput(f"stack {stack} has no node of rank {rank}", do=f"Ranks in the sandbox: {there}.")
    return str(ranks[str(rank)])
