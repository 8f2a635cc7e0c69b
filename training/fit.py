"""Whether a job fits a fleet's GPUs, the cheapest fleet that it fits, and what to change where it doesn't.

The estimate itself, and what it is worth: `training/swift/memory.py`, docs/memory.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from infra.errors import BadInput
from training.findings import Finding, Severity
from training.job import Job
from training.plan import Offer
from training.swift.environment import environment
from training.swift.memory import CONTEXT_GIB, Estimate, estimate
from training.swift.setting import number, truth
from training.swift.shape import Shape
from training.swift.shapes import shape_of

TRAINING = ("sft", "pt", "rlhf")
OTHER_MODELS = ("ref_model", "teacher_model", "reward_model")
#: Node counts that are tried, fewest first; more than one only of types with so many GPUs: the smaller ones have no
#: network between nodes that a divided model could be trained over.
NODES = (1, 2, 4, 8, 16)
WHOLE = 8
#: Part of a host's memory that offloaded states may take: the rest is the system's, the loader's and the data's.
HOST = 0.8
#: Above this part of the card a step that is a little larger than the rest ends the run.
TIGHT = 0.9
#: The worst error on published figures is 26 %: what is this far over the card does not fit, whatever the error.
SURELY = 1.35


@dataclass(frozen=True)
class Machine:
    """An instance type as a place to train on. gpu_memory_gib: of one GPU; memory_gib: of the host.

    usd_per_hour: On-Demand, None where no price is known.
    """

    name: str
    gpu: str
    gpus: int
    gpu_memory_gib: float
    memory_gib: float
    usd_per_hour: float | None = None


@dataclass(frozen=True)
class Fitting:
    """A fleet that a job fits. gib: what it needs on each GPU."""

    machine: Machine
    nodes: int
    gib: float

    @property
    def usd_per_hour(self) -> float | None:
        price = self.machine.usd_per_hour
        return None if price is None else price * self.nodes

    def __str__(self) -> str:
        price = "no list price" if self.usd_per_hour is None else f"${self.usd_per_hour:.2f} an hour"
        return f"{self.machine.name} x {self.nodes} ({price})"


@dataclass(frozen=True)
class Sized:
    """A training job with the shapes of the models that it loads."""

    job: Job
    shape: Shape
    others: Mapping[str, Shape] = field(default_factory=dict)
    folder: Path = Path()

    def on(self, gpus: int, nodes: int = 1) -> Estimate:
        """On `gpus` GPUs in all, of so many nodes."""
        ranks = nodes * self.job.nproc_per_node if self.job.nproc_per_node else gpus
        if self.job.trainer == "megatron":
            gpus = ranks
        return estimate(
            f"{self.job.trainer} {self.job.command}",
            self.job.args,
            self.shape,
            gpus,
            ranks=min(ranks, gpus),
            env=environment(self.job.trainer, self.job.env),
            others=self.others,
            folder=self.folder,
        )

    def divides(self, gpus: int) -> bool:
        """Whether megatron can lay the model over so many GPUs."""
        if self.job.trainer != "megatron":
            return gpus % number(self.job.args, "sequence_parallel_size", 1) == 0
        sizes = {name: number(self.job.args, f"{name}_parallel_size", 1) for name in PARALLEL}
        dense = sizes["tensor_model"] * sizes["pipeline_model"] * sizes["context"]
        sparse = sizes["expert_model"] * sizes["expert_tensor"] * sizes["pipeline_model"]
        return gpus % dense == 0 and gpus % sparse == 0

    def changed(self, changes: Mapping[str, Any]) -> Sized:
        return replace(self, job=self.job.model_copy(update={"args": {**self.job.args, **changes}}))


PARALLEL = ("tensor_model", "pipeline_model", "context", "expert_model", "expert_tensor")


def sized(job: Job, folder: Path) -> Sized:
    """The first step of a job that trains, with its models' shapes.

    Raises BadInput, with what to do, where a shape is not known or nothing is trained.
    folder: of the job file, which paths in it start from.
    """
    job = next((step for step in job.steps if step.command in TRAINING), job)
    if job.command not in TRAINING:
        raise BadInput(f"only training is estimated: {', '.join(TRAINING)}", where=f"{job.trainer} {job.command}")
    model = job.args.get("model")
    if not model:
        raise BadInput("no model is named: its memory can't be estimated", where="args.model", do="Name one.")
    others = {name: str(job.args[name]) for name in OTHER_MODELS if job.args.get(name)}
    return Sized(
        job, shape_of(str(model), folder), {name: shape_of(one, folder) for name, one in others.items()}, folder
    )


def fittings(job: Sized, machines: Iterable[Machine], gpus: int | None = None) -> list[Fitting]:
    """The fleets that the job fits, cheapest first: of each type the fewest nodes, or as many as `gpus` GPUs take."""
    found = [one for machine in machines if machine.gpus for one in _smallest(job, machine, gpus)]
    return sorted(found, key=lambda one: (one.usd_per_hour is None, one.usd_per_hour or 0.0, one.machine.name))


def _smallest(job: Sized, machine: Machine, gpus: int | None) -> Iterator[Fitting]:
    choices = [(nodes, nodes * machine.gpus) for nodes in NODES if nodes == 1 or machine.gpus >= WHOLE]
    if gpus:
        nodes = -(-gpus // machine.gpus)
        choices = [(nodes, gpus)]
    for nodes, each in choices:
        if not job.divides(each):
            continue
        need = job.on(each, nodes)
        if need.fits(machine.gpu_memory_gib) and need.host_gib <= HOST * nodes * machine.memory_gib:
            yield Fitting(machine, nodes, need.on(machine.gpu_memory_gib))
            return


def findings(job: Sized, offer: Offer, machines: Iterable[Machine] = ()) -> list[Finding]:
    """What there is to say of the job on this fleet: nothing where it fits with room.

    An error only where no error of the estimate could make it fit; where the lengths of rows are unknown, only if it
    doesn't fit with the shortest.
    """
    card, gpus = offer.gpu_memory_gib, offer.nodes * offer.gpus_per_node
    if not card or not gpus:
        return []
    need = job.on(gpus, offer.nodes)
    gib = need.on(card) + CONTEXT_GIB
    if gib <= TIGHT * card:
        return []
    if gib <= card:
        return [
            Finding("warning", "args", f"{gib:.0f} of a GPU's {card:.0f} GiB are needed: tight", _fix(job, offer, ()))
        ]
    shortest = need.states + CONTEXT_GIB if need.setting.assumed else gib
    severity: Severity = "error" if shortest > SURELY * card else "warning"
    what = f"needs about {gib:.0f} GiB a GPU, and a GPU of {offer.instance_type} has {card:.0f}"
    if need.setting.assumed:
        what += "; the lengths of its rows are not known, max_length was taken"
    return [Finding(severity, "args", what, _fix(job, offer, machines))]


def _fix(job: Sized, offer: Offer, machines: Iterable[Machine]) -> str:
    """The least change of arguments that makes it fit, and the cheapest fleet that it fits as it is."""
    said = []
    if changes := least_change(job, offer):
        said.append(f"set {shown(changes)}")
    cheapest = next(iter(fittings(job, machines)), None)
    if cheapest:
        said.append(f"{'or ' if said else ''}take {cheapest}, the cheapest that it fits as it is")
    if cheaper := cheaper_by(job, machines, cheapest):
        said.append(f"or {shown(cheaper[0])} with {cheaper[1]}")
    return ", ".join(said)


def cheaper_by(
    job: Sized, machines: Iterable[Machine], cheapest: Fitting | None
) -> tuple[dict[str, Any], Fitting] | None:
    """Arguments that divide the model instead of copying it, and the cheapest fleet then, if that saves a fifth."""
    if job.job.trainer == "megatron" or job.job.args.get("fsdp") or "zero3" in str(job.job.args.get("deepspeed", "")):
        return None
    changes = {"deepspeed": "zero3"}
    found = next(iter(fittings(job.changed(changes), machines)), None)
    if not found or found.usd_per_hour is None or found.nodes * found.machine.gpus == 1:
        return None
    if cheapest and cheapest.usd_per_hour is not None and found.usd_per_hour > 0.8 * cheapest.usd_per_hour:
        return None
    return changes, found


def shown(changes: Mapping[str, Any]) -> str:
    """Arguments as a job file has them, on one line."""
    return ", ".join(f"{name}: {str(one).lower() if isinstance(one, bool) else one}" for name, one in changes.items())


def least_change(job: Sized, offer: Offer) -> dict[str, Any]:
    """The first single change that makes the job fit, else the first of them together; nothing where none does."""
    card, gpus = offer.gpu_memory_gib or 0.0, offer.nodes * offer.gpus_per_node
    ladder = list(_changes(job, offer))
    together: dict[str, Any] = {}
    growing = [together := {**together, **one} for one in ladder]
    for changes in [*ladder, *growing]:
        tried = job.changed(changes)
        if tried.divides(gpus) and tried.on(gpus, offer.nodes).fits(card):
            return changes
    return {}


def _changes(job: Sized, offer: Offer) -> Iterator[dict[str, Any]]:
    """Changes that need less memory, those that change the result least first."""
    args, megatron = job.job.args, job.job.trainer == "megatron"
    full = str(args.get("tuner_type", "full" if megatron else "lora")) == "full"
    length = number(args, "max_length")
    if megatron:
        yield from _megatron_changes(job, offer)
    else:
        yield from _swift_changes(job, offer, full)
    if full:
        yield {"tuner_type": "lora"}
    if not megatron and job.shape.bits == 16 and not args.get("quant_method"):
        yield {"tuner_type": "lora", "quant_method": "bnb", "quant_bits": 4}
    if length > 1024:
        yield {"max_length": length // 2}


def _swift_changes(job: Sized, offer: Offer, full: bool) -> Iterator[dict[str, Any]]:
    args = job.job.args
    ranks = offer.nodes * (job.job.nproc_per_node or offer.gpus_per_node)
    if not truth(args, "gradient_checkpointing", default=True) and not args.get("fsdp"):
        yield {"gradient_checkpointing": True}
    if not truth(args, "use_liger_kernel") and args.get("rlhf_type") != "ppo":
        yield {"use_liger_kernel": True}
    batch = number(args, "per_device_train_batch_size", 1)
    if batch > 1:
        steps = number(args, "gradient_accumulation_steps", 1) * batch
        yield {"per_device_train_batch_size": 1, "gradient_accumulation_steps": steps}
    stage = str(args.get("deepspeed", ""))
    if ranks > 1 and not args.get("fsdp"):
        if full and not stage:
            yield {"deepspeed": "zero2"}
        if "zero3" not in stage:
            yield {"deepspeed": "zero3"}
        if stage != "zero3_offload":
            yield {"deepspeed": "zero3_offload"}


def _megatron_changes(job: Sized, offer: Offer) -> Iterator[dict[str, Any]]:
    args = job.job.args
    if str(args.get("recompute_granularity", "selective")) != "full":
        yield {"recompute_granularity": "full", "recompute_method": "uniform", "recompute_num_layers": 1}
    if number(args, "micro_batch_size", 1) > 1:
        yield {"micro_batch_size": 1}
    size = number(args, "expert_model_parallel_size", 1)
    if job.shape.experts and size * 2 <= offer.gpus_per_node:
        yield {"expert_model_parallel_size": size * 2}
    tensor = number(args, "tensor_model_parallel_size", 1)
    while (tensor := tensor * 2) <= offer.gpus_per_node:
        yield {"tensor_model_parallel_size": tensor, "sequence_parallel": True}
    if not truth(args, "optimizer_cpu_offload"):
        yield {"optimizer_cpu_offload": True, "use_precision_aware_optimizer": True}
