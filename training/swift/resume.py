"""Which checkpoint a run can go on from, and the arguments that do so. Pure; files as ms-swift 4.6.0 leaves them.

swift: beside the weights `trainer_state.json`, and the optimizer in `optimizer.pt`, in DeepSpeed's `global_stepN/` or
in FSDP's `optimizer_0/`. Megatron: `latest_checkpointed_iteration.txt`, and `iter_NNNNNNN/` with its own shards
(swift/megatron/utils/megatron_lm_utils.py).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

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


def resuming(trainer: str, args: Mapping[str, Any], checkpoint: str) -> dict[str, Any]:
    """The arguments with which a job goes on from a checkpoint: its step, optimizer, random states, place in the data.

    Megatron's `finetune` is true by default and begins at iteration 0; LoRA's weights are beside the model's.
    """
    if trainer != "megatron":
        return {**args, "resume_from_checkpoint": checkpoint}
    whole = str(args.get("tuner_type", "full")) == "full" and not args.get("adapters")
    return {**args, "mcore_model" if whole else "mcore_adapter": checkpoint, "finetune": False}
