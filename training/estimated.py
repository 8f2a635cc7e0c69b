"""An estimate as a person reads it, and as one JSON object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from infra.errors import BadInput
from infra.written import nearest
from training.chain import place_of
from training.findings import Finding
from training.fit import NODES, TRAINING, WHOLE, Fitting, Machine, Sized, cheaper_by, findings, fittings, shown, sized
from training.plan import Plan
from training.swift.memory import CONTEXT_GIB, Estimate

#: Rows of the table of types.
SHOWN = 8


@dataclass(frozen=True)
class Asked:
    """An estimate on `gpus` GPUs with cards of `card_gib`, and what of `machines` the job fits, cheapest first."""

    job: Sized
    estimate: Estimate
    gpus: int
    card_gib: float
    machines: Sequence[Machine]
    fits: Sequence[Fitting]
    given: bool

    @property
    def parts(self) -> dict[str, float]:
        """GiB by part; the engine's is what it takes of the card."""
        return {**self.estimate.parts, "vllm": self.estimate.on(self.card_gib) - self.estimate.gib}


def ask(job: Sized, machines: Sequence[Machine], gpus: int | None = None) -> Asked:
    """gpus: in all; by default those of the cheapest fleet that the job fits, or of one node with most GPU memory."""
    fits = fittings(job, machines, gpus)
    if fits:
        best, nodes = fits[0].machine, fits[0].nodes
    else:
        best, nodes = max(machines, key=lambda one: (one.gpu_memory_gib, one.gpus)), 1
    each = gpus or best.gpus * nodes
    return Asked(job, job.on(each, nodes), each, best.gpu_memory_gib, machines, fits, gpus is not None)


def of_types(machines: Sequence[Machine], names: Sequence[str]) -> Sequence[Machine]:
    """The machines of these types, all where none is named; BadInput where one is unknown or has no GPU."""
    known = {one.name: one for one in machines if one.gpus}
    for name in names:
        if name not in known:
            guess = nearest(name, known)
            do = f"Did you mean {guess}?" if guess else "fleet estimate JOB --json names all, in fits."
            raise BadInput(f"no type with GPUs is called {name}", where="--type", do=do)
    return [known[name] for name in dict.fromkeys(names)] or machines


@dataclass(frozen=True)
class PlanMemory:
    """What a planned job needs on its fleet's GPUs. card_gib: of one GPU, None where it is not known.

    asked: None where there is nothing to estimate, and findings say why if it is a training job on GPUs.
    """

    asked: Asked | None
    findings: tuple[Finding, ...]
    card_gib: float | None

    @property
    def cheapest(self) -> Fitting | None:
        return next(iter(self.asked.fits), None) if self.asked else None


def of_plan(plan: Plan, machines: Sequence[Machine]) -> PlanMemory:
    """The estimate of a planned job: of its step that needs most of a GPU, with what is to be said of all of them."""
    found = [_of_step(step, machines) for step in plan.steps]
    most = max(found, key=lambda one: sum(one.asked.parts.values()) if one.asked else 0.0)
    places = [place_of(number) for number in range(len(found))]
    said = [
        replace(one, where=at + one.where) for at, memory in zip(places, found, strict=True) for one in memory.findings
    ]
    return replace(most, findings=tuple(said))


def _of_step(plan: Plan, machines: Sequence[Machine]) -> PlanMemory:
    """Of one step, with the fleets that it would fit."""
    offer = replace(plan.offer, nodes=len(plan.ranks))
    gpus = offer.nodes * offer.gpus_per_node
    if plan.job.command not in TRAINING or not gpus:
        return PlanMemory(None, (), offer.gpu_memory_gib)
    try:
        job = sized(plan.job, plan.job_file.parent)
    except BadInput as error:
        return PlanMemory(
            None, (Finding("note", error.where or "args.model", error.what, error.do),), offer.gpu_memory_gib
        )
    card = offer.gpu_memory_gib or 0.0
    asked = Asked(job, job.on(gpus, offer.nodes), gpus, card, machines, fittings(job, machines), given=True)
    return PlanMemory(asked, tuple(findings(job, offer, machines)), offer.gpu_memory_gib)


def plan_line(memory: PlanMemory) -> str:
    """One line: what is needed a GPU, of what, and its largest parts; "" where nothing was estimated."""
    return _of_card(memory.asked, memory.card_gib) if memory.asked else ""


def _of_card(asked: Asked, card_gib: float | None) -> str:
    parts = {name: gib for name, gib in asked.parts.items() if gib >= 0.05}
    of = f" of {card_gib:.1f}" if card_gib else ""
    said = " · ".join(f"{name} {gib:.1f}" for name, gib in parts.items())
    assumed = "; rows assumed" if asked.estimate.setting.assumed else ""
    return f"about {sum(parts.values()):.1f}{of} GiB a GPU: {said}{assumed}"


def plan_json(memory: PlanMemory) -> dict[str, Any] | None:
    """gib_per_gpu and parts as `fleet estimate` has them; cheapest: the cheapest fleet that the job fits."""
    if not memory.asked:
        return None
    best = memory.cheapest
    cheapest = best and {"instance_type": best.machine.name, "nodes": best.nodes, "usd_per_hour": best.usd_per_hour}
    return {
        "gib_per_gpu": round(sum(memory.asked.parts.values()), 2),
        "parts": {name: round(gib, 2) for name, gib in memory.asked.parts.items()},
        "gpu_memory_gib": memory.card_gib,
        "cheapest": cheapest,
    }


def pick(asked: Asked, file: Path) -> Fitting:
    """The cheapest fleet; BadInput that says what would help where there is none."""
    if asked.fits:
        return asked.fits[0]
    gib = sum(asked.parts.values())
    found = cheaper_by(asked.job, asked.machines, None)
    raise BadInput(
        f"fits no type of the catalog: about {gib:.0f} GiB a GPU are needed on {asked.gpus}",
        where=str(file),
        do=f"With {shown(found[0])} it fits {found[1]}." if found else "Divide the model: DeepSpeed, TP, PP or EP.",
    )


def pick_lines(asked: Asked, picked: Fitting, file: Path) -> list[str]:
    job, machine = asked.job.job, picked.machine
    keys = f"swift-fleet:instanceType: {machine.name} · swift-fleet:nodes: {picked.nodes}"
    return [
        f"{job.trainer} {job.command}  {job.args['model']}  no fleet is named: the cheapest that it fits  {file}",
        "",
        f"fleet    {picked}, {picked.nodes * machine.gpus} x {machine.gpu}",
        f"memory   {_of_card(asked, machine.gpu_memory_gib)}",
        *(f"{line[:8].strip():8} {line[14:]}" for line in _cheaper(asked)),
        f"stack    {keys}",
        f"next     write that into a stack file, then fleet plan {file} -s STACK; others: fleet estimate {file}",
    ]


def pick_json(asked: Asked, picked: Fitting) -> dict[str, Any]:
    return {
        "instance_type": picked.machine.name,
        "nodes": picked.nodes,
        "gpus_per_node": picked.machine.gpus,
        "usd_per_hour": picked.usd_per_hour,
        "memory": as_json(asked),
    }


def as_json(asked: Asked) -> dict[str, Any]:
    fits = {one.machine.name for one in asked.fits}
    return {
        "gib_per_gpu": round(sum(asked.parts.values()), 2),
        "parts": {name: round(gib, 2) for name, gib in asked.parts.items()},
        "fleets": [
            {
                "instance_type": one.machine.name,
                "nodes": one.nodes,
                "gpus": one.nodes * one.machine.gpus,
                "gpu_memory_gib": one.machine.gpu_memory_gib,
                "gib_per_gpu": round(one.gib, 2),
                "usd_per_hour": one.usd_per_hour,
            }
            for one in asked.fits
        ],
        "fits": {machine.name: machine.name in fits for machine in asked.machines if machine.gpus},
    }


def lines(asked: Asked, file: Path) -> list[str]:
    job = asked.job.job
    total = sum(asked.parts.values())
    out = [f"{job.trainer} {job.command}  {job.args['model']}  on {asked.gpus} GPU{'s'[: asked.gpus > 1]}  {file}", ""]
    out += [
        f"{name:14}{gib:8.1f} GiB  {_why(name, asked)}".rstrip() for name, gib in asked.parts.items() if gib >= 0.05
    ]
    out += [f"{'a GPU':14}{total:8.1f} GiB  and {CONTEXT_GIB} beside PyTorch", ""]
    if not asked.fits:
        most = max(NODES)
        alone = all(one.gpus < WHOLE for one in asked.machines)
        scope = f"with {asked.gpus} GPUs" if asked.given else "on one node" if alone else f"up to {most} nodes"
        few = " or ".join(one.name for one in asked.machines) if len(asked.machines) <= SHOWN else ""
        return [*out, f"fits no {few or 'type of the catalog'} {scope}", *_cheaper(asked)]
    out += [
        f"fits          {_priced(one)}{'   cheapest' if one is asked.fits[0] else ''}" for one in asked.fits[:SHOWN]
    ]
    if len(asked.fits) > SHOWN:
        out.append(f"              and {len(asked.fits) - SHOWN} more types: --type TYPE, or --json")
    return [*out, *_cheaper(asked)]


def _cheaper(asked: Asked) -> list[str]:
    best = asked.fits[0] if asked.fits else None
    found = None if asked.given else cheaper_by(asked.job, asked.machines, best)
    return [f"cheaper       {found[1]} with {shown(found[0])}"] if found else []


def _priced(one: Fitting) -> str:
    machine = one.machine
    price = "no list price" if one.usd_per_hour is None else f"${one.usd_per_hour:8.4f} an hour"
    cards = f"{one.nodes * machine.gpus} x {machine.gpu} {machine.gpu_memory_gib:.0f} GiB"
    return f"{machine.name:18} x {one.nodes:<3} {cards:28} {one.gib:5.1f} GiB a GPU  {price}"


def _why(name: str, asked: Asked) -> str:
    """One line of what a part is here."""
    shape, setting = asked.job.shape, asked.estimate.setting
    said = {
        "weights": f"{shape.params / 1e9:.2f} B" + (f" in {setting.bits} bits" if setting.bits < 16 else ""),
        "optimizer": f"{asked.estimate.trainable / 1e9:.2f} B trained ({setting.tuner})",
        "activations": f"{setting.tokens} tokens a step and GPU" + (", rows assumed" if setting.assumed else ""),
        "buffers": "gathered weights, allocator, cuBLAS",
    }
    return said.get(name, "")
