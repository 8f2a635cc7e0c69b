"""A plan as a person reads it before anything happens: what, where, at what price, ended by what."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from training.chain import answers_apart, served_until
from training.costs import AtMost
from training.estimated import of_plan, plan_json, plan_line
from training.findings import sentence
from training.fleets import Fleet
from training.foreseen import account, in_words, shortage
from training.plan import Offer, Plan
from training.receipt import size, span
from training.references import named_in
from training.run import now
from training.stack_fleet import StackFleet, machines

if TYPE_CHECKING:
    from infra.cost import HourlyCost


def lines(plan: Plan, fleet: Fleet, is_up: bool) -> list[str]:
    """The screen of `fleet plan`, and of `fleet run` before it asks."""
    offer, job = plan.offer, plan.job
    gpus = f"{offer.nodes} x {offer.gpus_per_node} GPUs" if offer.gpus_per_node else f"{offer.nodes} nodes, no GPU"
    then = f", then {', '.join(step.name for step in plan.then)}" if plan.then else ""
    out = [f"{job.trainer} {job.command}{then}  {job.args.get('model', '')}  {gpus}  {plan.job_file}", ""]
    named = in_words(fleet) if isinstance(fleet, StackFleet) else f"{offer.instance_type} x {offer.nodes}"
    out.append(f"fleet    {named}   {_state(fleet, is_up, plan.stays)}")
    out += [f"{'profile' if number == 0 else '':9}{one}" for number, one in enumerate(plan.job.needs)]
    out += [f"{'cost' if first == 0 else '':9}{line}" for first, line in enumerate(_cost(plan, fleet, is_up))]
    if isinstance(fleet, StackFleet):
        out.append(f"limits   {_limits(offer, fleet)}")
    if offer.lifetime and offer.ends_after and not is_up:
        launch = now()
        out.append(
            f"ends     lease on each node, {span(offer.lifetime.total_seconds())} after it boots (about "
            f"{launch + offer.lifetime:%H:%M} UTC) · AWS schedule {launch + offer.ends_after:%H:%M} UTC · fleet down"
        )
    if isinstance(fleet, StackFleet) and not is_up:
        out.append(f"idle     {_idle(fleet.config.idle_minutes)}")
    for shipment in plan.shipments:
        out.append(f"send     {shipment.arg}: {shipment.local} ({size(shipment.size)})")
    memory = of_plan(plan, machines())
    if needed := plan_line(memory):
        out.append(f"memory   {needed}")
    best = memory.cheapest
    free = not any(step.job.ranks for step in plan.steps)  # whose layout names ranks asks for this many
    if (
        best
        and free
        and isinstance(fleet, StackFleet)
        and (best.machine.name, best.nodes) != (offer.instance_type, offer.nodes)
    ):
        out.append(f"cheapest {best} is the cheapest fleet that it fits")
    for number, step in enumerate(plan.steps):
        out += _step(plan, number) if plan.then else []
        out += _ranks(step)
    out += [f"{one.severity:8} {sentence(one)}" for one in (*plan.findings, *memory.findings)]
    out += [f"note     {note}" for note in notes(plan, fleet)]
    if isinstance(fleet, StackFleet) and not is_up:
        out += [f"note     {short}"] if (short := shortage(fleet)) else []
        out += [f"note     {_dearest(fleet, *dearest)}"] if (dearest := fleet.dearest()) else []
    if is_up and job.budget is not None:
        out.append(f"note     budget {_limit(job.budget)} is not this fleet's: it is up already and keeps its deadline")
    return [*out, ""]


def _step(plan: Plan, number: int) -> list[str]:
    """One step of a chain: its name and command, what it takes, and how a server ends."""
    step = plan.steps[number]
    said = [f"{step.job.trainer} {step.job.command}", f"rank {', '.join(map(str, step.ranks))}"]
    taken = sorted({f"{name}.{key}" for name, key in named_in([step.job.args, step.job.env])})
    said += [f"takes {', '.join(taken)}"] if taken else []
    if step.job.serves:
        jobs = [one.job for one in plan.steps]
        last = served_until(jobs, number)
        said.append("stays up when the run is over" if last is None else f"serves until {jobs[last].called} is over")
    return [f"step {number + 1:<3} {step.name}: {'   '.join(said)}"]


def _ranks(step: Plan) -> list[str]:
    first, *others = step.ranks
    out = [f"ranks    world size {step.world_size}: {step.nproc_per_node} a node"] if step.job.distributed else []
    out.append(f"rank {first:<3} {step.command_line(first, f'<node {first}>')}")
    if others and step.job.distributed:
        out.append(f"rank {others[0]:<3} the same, NODE_RANK=1{', and so on' if len(others) > 1 else ''}")
    elif others:
        out.append(f"rank {others[0]:<3} the same, a server of its own{', and so on' if len(others) > 1 else ''}")
    return out


def _step_json(step: Plan) -> dict[str, Any]:
    return {
        "name": step.name,
        "command": f"{step.job.trainer} {step.job.command}",
        "ranks": list(step.ranks),
        "world_size": step.world_size,
        "args": dict(step.args),
        "takes": sorted({f"{name}.{key}" for name, key in named_in([step.job.args, step.job.env])}),
        "commands": [step.command_line(rank, f"<node {step.ranks[0]}>") for rank in step.ranks],
    }


def as_json(plan: Plan, fleet: Fleet, is_up: bool) -> dict[str, Any]:
    offer = plan.offer
    memory = of_plan(plan, machines())
    return {
        "job": str(plan.job_file),
        "command": f"{plan.job.trainer} {plan.job.command}",
        "fleet": {"source": fleet.source, "name": fleet.name, "is_up": is_up},
        "bought": in_words(fleet) if isinstance(fleet, StackFleet) else "",
        "account": account(fleet) if isinstance(fleet, StackFleet) else "",
        "quota_shortage": shortage(fleet) if isinstance(fleet, StackFleet) and not is_up else "",
        "instance_type": offer.instance_type,
        "profiles": {one.profile: one.why for one in plan.job.needs},
        "nodes": offer.nodes,
        "gpus_per_node": offer.gpus_per_node,
        "world_size": plan.world_size,
        "usd_per_hour": offer.usd_per_hour,
        "usd_at_most": _at_most(fleet, offer, is_up),
        "usd_per_hour_by_part": dict(fleet.hourly_cost.parts) if isinstance(fleet, StackFleet) else {},
        "not_counted": list(fleet.hourly_cost.by_use) if isinstance(fleet, StackFleet) else [],
        "budget_usd": offer.budget_usd,
        "max_usd_per_hour": offer.max_usd_per_hour,
        "price_source": offer.price_source,
        "price_note": fleet.hourly_cost.note if isinstance(fleet, StackFleet) else "",
        "lifetime_seconds": offer.lifetime.total_seconds() if offer.lifetime else None,
        "idle_minutes": fleet.config.idle_minutes if isinstance(fleet, StackFleet) else None,
        "args": dict(plan.args),
        "ranks": [plan.command_line(rank) for rank in plan.ranks],
        "steps": [_step_json(step) for step in plan.steps],
        "stays": plan.stays,
        "send": [{"arg": one.arg, "local": str(one.local), "bytes": one.size} for one in plan.shipments],
        "memory": plan_json(memory),
        "findings": [one.as_json() for one in (*plan.findings, *memory.findings)],
        "notes": notes(plan, fleet),
    }


def notes(plan: Plan, fleet: Fleet) -> list[str]:
    """What is no error and worth a look."""
    out = []
    for step in plan.steps:
        where = f"{step.name}: " if plan.then else ""
        if step.job.trains and step.world_size > 1 and not step.together:
            out.append(f"{where}args.use_cpu is not true: without GPUs the ranks would train apart, unnoticed")
        if plan.offer.nodes > 1 and answers_apart(step.job, plan.offer.gpus_per_node):
            out.append(f"{where}runs on one node: without GPUs ms-swift would keep the answers of its first rank alone")
    if plan.stays and isinstance(fleet, StackFleet) and (minutes := fleet.config.idle_minutes):
        out.append(
            f"an endpoint that nobody asks is idle to AWS: the alarm ends its node after {2 * minutes} min "
            "(swift-fleet:idleMinutes: 0 turns that off)"
        )
    if plan.offer.nodes > 1 and isinstance(fleet, StackFleet):
        if not fleet.config.shared_files:
            out.append(
                "sharedFiles is off: each node keeps its own output; rank 0's is fetched, and what only others have"
            )
        from infra.catalog import catalog

        if catalog().types[plan.offer.instance_type].network_cards > 1 and not fleet.config.wants_efa:
            out.append("this type has several network cards: only the first is used, over TCP, not EFA")
    return out


def left_up(fleet: Fleet) -> str:
    """What a fleet that stays costs and when it ends: $1.20 an hour, until its lease ends it after 8 h ($9.60)."""
    offer = fleet.offer()
    price = "no price known" if offer.usd_per_hour is None else f"${offer.usd_per_hour:.2f} an hour"
    if offer.lifetime is None:
        return price
    most = "" if offer.most_usd is None else f" (${offer.most_usd:.2f} at most)"
    return f"{price}, until its lease ends it after {span(offer.lifetime.total_seconds())}{most}"


def _state(fleet: Fleet, is_up: bool, stays: bool) -> str:
    if fleet.source != "stack":
        return f"{fleet.source} {fleet.name}: yours, neither made nor ended here"
    after = "left up for its endpoint" if stays else "ended after the run"
    number = account(fleet) if isinstance(fleet, StackFleet) and not is_up else ""
    stack = f"stack {fleet.name}{f' in account {number}' if number else ''}"
    return f"{stack}, " + ("up already: used, and left up" if is_up else f"to be created, {after}")


def _idle(minutes: int) -> str:
    if not minutes:
        return "off: a node that does nothing lives to its deadline"
    return f"a node ends itself after {minutes} min without work; an alarm at AWS, after {2 * minutes} min of idle CPU"


def _cost(plan: Plan, fleet: Fleet, is_up: bool) -> list[str]:
    offer = plan.offer
    if not isinstance(fleet, StackFleet):
        return ["none of ours"]
    cost = fleet.hourly_cost
    if cost.total is None or offer.usd_per_hour is None:
        return [f"unknown: {cost.unknown}{f', and {cost.note}' if cost.note else ''}"]
    parts = " · ".join(f"{name} ${usd:.4f}" for name, usd in cost.parts.items())
    usd = _at_most(fleet, offer, is_up)
    most = "" if usd is None else f", ${usd:.2f} at most, by its AWS schedule"
    return [
        f"${offer.usd_per_hour:.4f} an hour{most}",
        parts,
        cost.aged(now().date()),
        f"not counted: {', '.join(cost.by_use)}",
    ]


def _at_most(fleet: Fleet, offer: Offer, is_up: bool) -> float | None:
    """USD of the whole fleet; of one that is up as AWS says, since it may have been extended."""
    return AtMost(fleet).usd() if is_up and isinstance(fleet, StackFleet) else offer.most_usd


def _limits(offer: Offer, fleet: StackFleet) -> str:
    life = fleet.config.lifetime
    shortened = offer.lifetime is not None and offer.lifetime < life
    ends = f" (ends it after {span(offer.lifetime.total_seconds())})" if offer.lifetime and shortened else ""
    cap = _limit(offer.max_usd_per_hour)
    return f"lifetime {span(life.total_seconds())} · budget {_limit(offer.budget_usd)}{ends} · maxUsdPerHour {cap}"


def _dearest(fleet: StackFleet, kind: str, cost: HourlyCost) -> str:
    """What a walk over the candidates may come to; a budget holds wherever it ends."""
    said = f"candidates: if only {kind} has room it costs"
    if cost.total is None:
        return f"{said} what is UNKNOWN: {cost.unknown}"
    config = fleet.config
    most = cost.total * (config.ends_after / timedelta(hours=1))
    held = most if config.budget is None else min(most, config.budget)
    return f"{said} ${cost.total:.4f} an hour, at most ${held:.2f}"


def _limit(usd: float | None) -> str:
    """A limit that does not exist is seen not to."""
    return "off" if usd is None else f"${usd:.2f}"
