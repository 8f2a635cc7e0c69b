"""Answers to the questions of `fleet new` -> a recipe and what to change in it. Pure."""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import Literal

from infra.errors import BadInput
from training.plan import Offer
from training.recipe import Recipe, named
from training.swift.shapes import shape_of

Backend = Literal["swift", "megatron"]
#: What is trained whole on so many GPUs is Megatron's, if it has the task.
MANY = 8
#: swift's recipe -> megatron's, of a dense model.
MEGATRON = {
    "sft-lora": "megatron-lora", "sft-full": "megatron-sft", "pt": "megatron-pt", "dpo": "megatron-dpo",
    "kto": "megatron-kto", "rm": "megatron-rm", "gkd": "megatron-gkd", "grpo-colocate": "megatron-grpo",
}  # fmt: skip
#: The same of a mixture of experts.
EXPERTS = {**MEGATRON, "sft-lora": "megatron-moe", "sft-full": "megatron-moe-full"}
#: Where the rows of a command go; the others take none, or names of benchmarks.
DATA = {"sft": "dataset", "pt": "dataset", "rlhf": "dataset", "sample": "dataset", "infer": "val_dataset"}


@dataclass(frozen=True)
class Answers:
    """model, data: empty for the recipe's own. data: paths, from the folder that the command runs in, or hub ids."""

    task: str
    model: str
    data: tuple[str, ...]
    use_hf: bool
    backend: Backend


def proposed(task: str, model: str, offer: Offer) -> tuple[Backend, str]:
    """The backend for a task on a fleet, and why.

    Megatron for a mixture of experts, and for a dense model trained whole on many GPUs; ms-swift for all else, QLoRA
    included, which Megatron has not.
    """
    if task not in MEGATRON:
        return "swift", "megatron has no such task"
    gpus = offer.nodes * offer.gpus_per_node
    if not gpus:
        return "swift", "megatron needs GPUs"
    if has_experts(model):
        return "megatron", "a mixture of experts"
    whole = named(task).job.args.get("tuner_type") == "full"
    if whole and gpus >= MANY:
        return "megatron", f"a dense model trained whole on {gpus} GPUs"
    return "swift", f"{'trained whole' if whole else 'LoRA'} on {gpus} GPUs"


def has_experts(model: str) -> bool:
    """Whether a model is known to be a mixture of experts; one whose sizes nobody knows is taken for dense."""
    try:
        return shape_of(model).experts > 0
    except BadInput:
        return False


def chosen(answers: Answers, offer: Offer, folder: Path) -> tuple[Recipe, list[str]]:
    """The recipe, and its changes as `--set` has them. folder: the job file's."""
    recipe = named(answers.task)
    if answers.backend == "megatron" and recipe.job.trainer == "swift":
        experts = has_experts(answers.model or str(recipe.job.args.get("model", "")))
        other = (EXPERTS if experts else MEGATRON).get(answers.task)
        if not other:
            do = f"Take swift. Megatron has {', '.join(MEGATRON)}."
            raise BadInput(f"megatron has no recipe for {answers.task}", do=do)
        recipe = named(other)
    args = recipe.job.args
    changes = changes_of(recipe, answers.model, answers.data, answers.use_hf, folder)
    if args.get("expert_model_parallel_size") and offer.gpus_per_node:
        stages = int(args.get("pipeline_model_parallel_size", 1))
        changes.append(f"args.expert_model_parallel_size={gcd(offer.nodes * offer.gpus_per_node // stages, 8)}")
    return recipe, changes


def changes_of(recipe: Recipe, model: str, data: tuple[str, ...], use_hf: bool, folder: Path) -> list[str]:
    """Another model, rows and hub for a recipe, as `--set` has them; rows of a command that takes none are left out."""
    changes = [f"args.model={model}"] if model and model != recipe.job.args.get("model") else []
    name = DATA.get(recipe.job.command)
    if data and name:
        rows = [_from(folder, one) for one in data]
        changes.append(f"args.{name}={rows[0] if len(rows) == 1 else rows}")
    return [*changes, "args.use_hf=true"] if use_hf else changes


def _from(folder: Path, data: str) -> str:
    """A path as the job file has it: from its own folder."""
    path, mark, rows = data.partition("#")
    if Path(path).is_absolute() or not Path(path).exists():
        return data
    return f"{os.path.relpath(path, folder)}{mark}{rows}"
