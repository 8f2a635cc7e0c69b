"""What ms-swift is asked about rules: the commands of tests/rule_cases.py as its argument classes take them here."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rule_cases import BASE, BROKEN, NO_MENDING, with_changes

from training.swift.given import World

ONE = World(1, 1, 0)


@dataclass(frozen=True)
class Case:
    """whole: whether what goes together is judged too, on rank 0 of `world`; look: instead, what an argument became."""

    command: str
    args: str
    whole: bool = False
    world: World = ONE
    look: str = ""

    @staticmethod
    def of(command: str, args: dict[str, Any], whole: bool = False, world: World = ONE, look: str = "") -> Case:
        return Case(command, json.dumps(args), whole, world, look)

    def asked(self) -> dict[str, Any]:
        one = {"command": self.command, "args": json.loads(self.args), "whole": self.whole, "look": self.look}
        return one | ({"world": astuple(self.world)} if self.whole else {})


@cache
def tiny_base(command: str, folder: Path) -> dict[str, Any]:
    """What a command needs to be accepted whole, with the tests' model and data."""
    model = {"model": str(folder / "model"), "model_type": "qwen2", "template": "qwen2_5"}
    data = {"dataset": [str(folder / "docstrings.jsonl")], "max_length": 256}
    train = (
        model | data | {"check_model": False, "use_cpu": True, "torch_dtype": "float32", "bf16": False, "fp16": False}
    )
    return {
        "swift sft": train, "swift pt": train, "swift rlhf": train,
        "swift deploy": model, "swift rollout": model, "swift sample": model | data,
        "swift export": model | {"push_to_hub": True},
        "swift infer": model | {"val_dataset": data["dataset"]}, "swift eval": model,
    }.get(command, {})  # fmt: skip


_TRAINER = "by what loads the data or the model, or by the trainer"
_MISSING = "where the profile that has its package is installed"
_NAMES = "by the weights, which this machine has only by name"
#: rule -> what a run of the command that breaks it dies of; "" where it runs, to another end.
RUN = {
    "streaming-needs-max-steps": "max_steps has to be specified",
    "split-is-of-pretraining": "currently only supported for pre-training",
    "split-and-lazy": "does not support lazy_tokenize",
    "kto-batch": "Batch size is 1 (too small)",
    "ppo-needs-a-reward-model": "'NoneType' object has no attribute",
    "ppo-lora-needs-deepspeed": "'DistributedDataParallel' object has no attribute 'policy'",
    "ppo-goes-by-epochs": "",
}

#: rule -> where it is told, if neither by argument classes in the environment of `local`, which has no DeepSpeed,
#: Liger, vLLM or EvalScope, nor in a short run there.
_TRAINER = "by the trainer, or by what it leaves"
_MISSING = "where the profile that has its package is installed"
_NAMES = "by the weights, which this machine has only by name"
LATER = {
    **dict.fromkeys(RUN, "by a run: RUN"),
    **dict.fromkeys((
        "dataset-to-sample", "adapters-to-merge", "something-to-export", "streaming-and-cached",
        "streaming-and-group-by-length", "sequence-parallel-divides", "vera-needs-names", "lora-options-in-full",
        "grpo-needs-a-reward", "distill-needs-a-client",
    ), _TRAINER),
    **dict.fromkeys((
        "deepspeed-or-fsdp", "deepspeed-names", "deepspeed-and-device-map", "autotp-needs-deepspeed",
        "autotp-needs-full", "hpz-needs-deepspeed", "liger-grpo", "teaching-itself-with-liger", "gkd-topk-and-liger",
        "benchmarks", "evaluation-by-vllm",
    ), _MISSING),
    **dict.fromkeys((
        "full-needs-whole-weights", "quantised-once", "longlora-is-llamas", "unsloth-is-lora",
    ), _NAMES),
    "teacher-of-none": "in a line of the log alone",
}  # fmt: skip


#: Rules of which only the breaking can be judged here: what mends it needs vLLM's packages, or a model of the hub.
HALF = {"server-needs-a-host", "async-needs-a-server", "async-and-turns", "gkd-async", "model-or-adapters"}

#: rule -> an argument, and what it is in ms-swift's hands where the rule is broken, and where not: what is not refused.
SILENT = {
    "fsdp-checkpoints-itself": ("gradient_checkpointing", "False", "False"),
    "bits-need-quant-method": ("get_quantization_config", "NoneType", "BitsAndBytesConfig"),
    "no-evaluation": ("eval_strategy", "no", "steps"),
    "max-length": ("max_length", "512", "256"),
    "export-mcore-merge": ("merge_lora", "False", "False"),
}


def rule_cases(folder: Path) -> Iterator[tuple[str, bool, Case]]:
    """(rule, whether it is broken, the command): each rule that ms-swift's argument classes tell of."""
    for name in BROKEN:
        if name in LATER or name in SILENT:
            continue
        for broken, case in cases_of(name, folder):
            if broken or name not in HALF:
                yield name, broken, case


def silent_cases(folder: Path) -> Iterator[tuple[str, bool, Case]]:
    for name, (look, *_) in SILENT.items():
        for broken, case in cases_of(name, folder):
            yield name, broken, Case.of(case.command, json.loads(case.args), whole=True, world=case.world, look=look)


def cases_of(name: str, folder: Path) -> Iterator[tuple[bool, Case]]:
    """The command that breaks a rule and the one that does not, with the tests' model; none of megatron."""
    command, breaking, mending, world = BROKEN[name]
    here = tiny_base(command, folder)
    if not here:
        return
    base = {key: here.get(key, value) for key, value in BASE[command].items()}
    for broken, changes in ((True, (breaking,)), (False, (breaking, mending))):
        args = with_changes(command, *changes)
        whole = here | {
            key: base.get(key, value) if value == BASE[command].get(key) else value for key, value in args.items()
        }
        whole = {key: value for key, value in whole.items() if key in args or key not in BASE[command]}
        if command == "swift export":  # the checkpoint of BASE is nowhere here
            whole = {key: value for key, value in whole.items() if key not in ("adapters", "merge_lora")} | breaking
            whole |= {} if broken else mending
            whole = {key: value for key, value in whole.items() if value is not None}
        if whole.get("rlhf_type") == "grpo":
            whole.setdefault("per_device_train_batch_size", 8)
        if whole.get("model") == "a/b":
            whole["model"] = str(folder / "model")
        of = world if broken else NO_MENDING.get(name, world)
        yield broken, Case.of(command, whole, whole=True, world=of or ONE)


def batches(folder: Path) -> Iterator[Case]:
    """How GRPO parts its generation batch, on one process."""
    sizes = itertools.product((1, 2, 4, 8), (None, 2, 8), (None, 4), (None, 16), (2, 8))
    names = ("per_device_train_batch_size", "gradient_accumulation_steps", "steps_per_generation")
    for values in sizes:
        given = zip((*names, "generation_batch_size", "num_generations"), values, strict=True)
        changes = {name: value for name, value in given if value is not None}
        args = tiny_base("swift rlhf", folder) | {"rlhf_type": "grpo", "reward_funcs": ["accuracy"]} | changes
        yield Case.of("swift rlhf", args, whole=True)


def megatron_batches() -> list[dict[str, int]]:
    names = ("micro_batch_size", "global_batch_size", "num_generations", "tensor_model_parallel_size",
             "steps_per_generation", "generation_batch_size")  # fmt: skip
    sizes = itertools.product((1, 2), (8, 16, 48, 64), (2, 8), (1, 2), (None, 4), (None, 64))
    return [{k: v for k, v in zip(names, one, strict=True) if v is not None} | {"world": 8} for one in sizes]
