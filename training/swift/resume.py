"""Which checkpoint a run can go on from, and the arguments that do so. Pure; files as ms-swift 4.6.0 leaves them.

swift: beside the weights `trainer_state.json`, and the optimizer in `optimizer.pt`, in DeepSpeed's `global_stepN/` or
in FSDP's `optimizer_0/`. Megatron: `latest_checkpointed_iteration.txt`, and `iter_NNNNNNN/` with its own shards
(swift/megatron/utils/megatron_lm_utils.py).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from training.swift.setting import truth

#: Of Megatron's shards; Megatron-FSDP writes the same.
_SHARD = re.compile(r"iter_(\d{7})/.*\.distcp")
_STATES = re.compile(r"optimizer\.pt|global_step\d+/.+|optimizer_\d+/.+")
_STEP = re.compile(r"checkpoint-(\d+)")


def step_of(name: str) -> int | None:
    """The step of a checkpoint's folder, `checkpoint-700`; None of any other (`checkpoint-700-merged`)."""
    found = _STEP.fullmatch(name)
    return int(found[1]) if found else None


def lacks(trainer: str, files: Collection[str], written: Mapping[str, Any]) -> str:
    """Why a run can't go on from a checkpoint, or "". files: its files by their paths in it. written: its args.json."""
    if any(file.endswith(".part") for file in files):
        return "not all of it is here"
    if trainer == "megatron":
        if "latest_checkpointed_iteration.txt" not in files:
            return "it was not written to its end"
        if written.get("no_save_optim") or not any(_SHARD.fullmatch(file) for file in files):
            return "weights alone, without the optimizer (no_save_optim)"
        return ""
    if "trainer_state.json" in files and any(_STATES.fullmatch(file) for file in files):
        return ""
    return "weights alone, without the optimizer (save_only_model)"


def unresumable(trainer: str, command: str, args: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """Why no checkpoint of a job could be gone on from, before there is one: where, what, and what to write instead."""
    if trainer == "torchrun" or command not in ("sft", "pt", "rlhf"):
        return "retries", f"{trainer} {command} leaves no checkpoint that it could go on from", "Take retries out"
    without = "no_save_optim" if trainer == "megatron" else "save_only_model"
    if truth(args, without):
        what = "its checkpoints are without the optimizer: no retry could go on from one"
        return f"args.{without}", what, f"{without}: false, or take retries out"
    if args.get("save_strategy") == "no":
        return "args.save_strategy", "nothing is saved that a retry could go on from", "save_strategy: steps"
    return None


def resuming(trainer: str, args: Mapping[str, Any], checkpoint: str) -> dict[str, Any]:
    """The arguments with which a job goes on from a checkpoint: its step, optimizer, random states, place in the data.

    Megatron's `finetune` is true by default and begins at iteration 0; LoRA's weights are beside the model's.
    """
    if trainer != "megatron":
        return {**args, "resume_from_checkpoint": checkpoint}
    whole = str(args.get("tuner_type", "full")) == "full" and not args.get("adapters")
    return {**args, "mcore_model" if whole else "mcore_adapter": checkpoint, "finetune": False}
