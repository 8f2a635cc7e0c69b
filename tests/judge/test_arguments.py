"""ms-swift is the judge: `fleet check` and its own parsers, beside each other, both ways. All cases in one process.

Which environment: that of the `local` run, or the python that SWIFT_PYTHON names, made from scripts/locks/base.txt.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from rule_cases import BASE, BROKEN, with_changes

from examples import EXAMPLES
from training.swift.arguments import Argument, table, table_file
from training.swift.check import check
from training.swift.given import Given, World
from training.swift.rules import RULES
from training.swift.rules.rule import findings

ONE = World(1, 1, 0)

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Case:
    """whole: whether what goes together is judged too."""

    command: str
    args: str
    whole: bool = False

    @staticmethod
    def of(command: str, args: dict[str, Any], whole: bool = False) -> Case:
        return Case(command, json.dumps(args), whole)


def good(argument: Argument) -> Any:
    """A value that the argument's type allows."""
    one = {"bool": True, "int": 3, "float": "1e-4", "str": "text", "choice": (*argument.choices, None)[0]}
    value = one[argument.type]
    return [value, value] if argument.many else value


def bad(argument: Argument) -> Any:
    """A value that it does not allow; every text takes any, but not two."""
    if argument.type == "str":
        return [] if argument.many else ["one", "two"]
    return {"bool": "maybe", "int": 1.5, "float": "much", "choice": "none-of-them"}.get(argument.type, {"a": 1})


def names_and_values() -> Iterator[Case]:
    for command, arguments in table().commands.items():
        takes = {one.name: one for one in arguments.values() if one.type in ("bool", "int", "float", "str", "choice")}
        yield Case.of(command, {name: good(one) for name, one in takes.items()})
        yield Case.of(command, {name.replace("_", "-"): good(one) for name, one in takes.items()})
        yield Case.of(command, {"lora_rnak": 8})
        yield Case.of(command, {"train_type": "lora"})
        yield Case.of(command, {"config": "a.yaml"})
        yield Case.of(command, {"help": True})
    seen = set()
    for command, arguments in table().commands.items():
        for one in arguments.values():
            if (key := str(one)) not in seen:
                seen.add(key)
                yield Case.of(command, {one.name: bad(one)})
                if one.negated:
                    yield Case.of(command, {f"no_{one.name}": True})
                for end in (1, 3):  # a beginning: enough where no other argument begins so
                    yield Case.of(command, {one.name[:-end]: good(one) if one.type in ("bool", "str") else "1"})


ODD = [
    {"lora_rank": "8"}, {"lora_rank": [8]}, {"lora_rank": [8, 9]}, {"lora_rank": True}, {"lora_rank": "1_000"},
    {"lora_rank": " 8 "}, {"learning_rate": 1}, {"learning_rate": "nan"}, {"learning_rate": "-1e-4"},
    {"learning_rate": -1}, {"learning_rate": -0.5}, {"seed": -1}, {"packing": "yes"}, {"packing": "T"},
    {"packing": 1}, {"packing": 2}, {"packing": "off"}, {"packing": ""}, {"system": ""}, {"system": "-"},
    {"system": "-x"}, {"system": "--be-nice"}, {"system": "- two words"}, {"system": "--two words"},
    {"system": "-5"}, {"system": "-.5"}, {"system": "-5."}, {"system": "-1e5"}, {"system": "-5x"}, {"system": {"a": 1}},
    {"system": ["a", "b"]}, {"system": "--seed=5"}, {"system": "\N{SNOWMAN} \"quoted\"\nline"},
    {"target_modules": []}, {"target_modules": "q_proj"}, {"target_modules": ["a", "-b"]}, {"target_modules": ["-1"]},
    {"lr_scheduler_kwargs": {"min_lr": 1e-6}}, {"quant_bits": 4}, {"quant_bits": "4"}, {"quant_bits": "float8"},
    {"quant_bits": 5}, {"torch_dtype": "bf16"}, {"torch_dtype": "None"}, {"truncation_strategy": "None"},
    {"optim": "ADAMW_TORCH"}, {"seed": 1.0}, {"seed": "1e3"}, {"seed": ""}, {"model": 7}, {"model": True},
    {"ENV": {"A_VARIABLE_OF_THE_JUDGE": 1}}, {"Lora_rank": 8}, {"lora_rank ": 8}, {"lora rank": 8}, {"": 1},
    {"-lora_rank": 8}, {"lora_rank=8": 1}, {"liger_kernel_config": {"rope": True}}, {"parallelism_config": "x"},
    {"generation_config": "x"}, {"debug": "underflow_overflow"}, {"debug": ""}, {"report_to": "none"},
    {"lora": 8}, {"weight_d": 0.1}, {"lora-r": 8}, {"lora_ra": 8}, {"no-check-model": "x"}, {"h": 1},
]  # fmt: skip


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
        "swift deploy": model, "swift sample": model | data, "swift export": model | {"push_to_hub": True},
        "swift infer": model | {"val_dataset": data["dataset"]}, "swift eval": model,
    }.get(command, {})  # fmt: skip


#: Rules that the argument classes do not tell of on this machine: said later, by the trainer or by what runs the model,
#: or with what is not installed on a CPU (deepspeed, bitsandbytes, megatron, vLLM, GPUs).
LATER = {
    "dataset-to-sample", "benchmarks", "evaluation-by-vllm", "adapters-to-merge", "something-to-export",
    "streaming-needs-max-steps",
    "streaming-and-cached", "streaming-and-group-by-length", "deepspeed-or-fsdp", "deepspeed-names",
    "deepspeed-and-device-map", "one-gpu-a-process", "processes-divide-gpus", "autotp-needs-deepspeed",
    "autotp-needs-full", "hpz-needs-deepspeed", "fsdp-saves-all", "fsdp-checkpoints-itself",
    "sequence-parallel-divides", "quant-bits", "bits-need-quant-method", "full-needs-whole-weights", "quantised-once",
    "longlora-is-llamas", "unsloth-is-lora", "vera-needs-names", "lora-options-in-full", "no-evaluation",
    "split-is-of-pretraining", "split-and-lazy", "max-length", "ppo-needs-a-reward-model", "ppo-lora-needs-deepspeed",
    "ppo-goes-by-epochs", "grpo-needs-a-reward",
    "vllm-and-device-map", "liger-grpo", "teacher-of-none", "teaching-itself-with-liger", "gkd-topk-and-liger",
    "kto-batch", "generation-batch", "generation-batch-of-evaluation", "infer-needs-data", "infer-stream", "vllm-gpus",
    "vllm-encodes-async", "export-mcore-merge", "distill-needs-a-client", "sample-output",
}  # fmt: skip


#: Rules of which only the breaking can be judged here: what mends it needs vLLM's packages, or more than one process.
HALF = {
    "server-needs-a-host", "async-needs-a-server", "async-and-turns", "one-teacher", "gkd-async", "gkd-topk",
    "sequence-parallel-rlhf", "model-or-adapters",
}  # fmt: skip


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


def rule_cases(folder: Path) -> Iterator[tuple[str, bool, Case]]:
    """(rule, whether it is broken, the command): each rule that ms-swift's argument classes tell of."""
    for name, (command, breaking, mending, _) in BROKEN.items():
        if name in LATER or command.startswith("megatron") or not tiny_base(command, folder):
            continue
        base = {key: tiny_base(command, folder).get(key, value) for key, value in BASE[command].items()}
        for broken, changes in ((True, (breaking,)), (False, (breaking, mending))):
            if not broken and name in HALF:
                continue
            args = with_changes(command, *changes)
            whole = tiny_base(command, folder) | {
                key: base.get(key, value) if value == BASE[command].get(key) else value for key, value in args.items()
            }
            whole = {key: value for key, value in whole.items() if key in args or key not in BASE[command]}
            if command == "swift export":  # the checkpoint of BASE is nowhere here
                whole = {key: value for key, value in whole.items() if key not in ("adapters", "merge_lora")}
            if whole.get("rlhf_type") == "grpo":
                whole.setdefault("per_device_train_batch_size", 8)
            if whole.get("model") == "a/b":
                whole["model"] = str(folder / "model")
            yield name, broken, Case.of(command, whole, whole=True)


@pytest.fixture(scope="session")
def swift_python(request: pytest.FixtureRequest) -> Path:
    named = os.environ.get("SWIFT_PYTHON")
    return Path(named) if named else request.getfixturevalue("local").python  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def judged(swift_python: Path, tiny: Path) -> Any:
    """Every case's verdict by ms-swift, and the table that it would make of itself."""
    cases = [*names_and_values(), *(Case.of("swift sft", args) for args in ODD), *documented()]
    cases += [*(case for _, _, case in rule_cases(tiny)), *batches(tiny)]
    asked = [{"command": one.command, "args": json.loads(one.args), "whole": one.whole} for one in cases]
    asked += [{"batch": one} for one in megatron_batches()]
    done = subprocess.run(
        [swift_python, HERE / "judged.py"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        env={**os.environ, "USE_HF": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""},
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout)
    verdicts = said["verdicts"]
    return {
        "verdicts": dict(zip(cases, verdicts, strict=False)),
        "batches": verdicts[len(cases) :],
        "table": said["table"],
    }


def ours(case: Case) -> list[str]:
    """The errors that `fleet check` has of single arguments, or of the whole."""
    found = check(case.command, json.loads(case.args), world=ONE if case.whole else None)
    of_rules = {(f"args.{rule.where}", rule.fix) for rule in RULES}
    registered = "is not among ms-swift's own"
    return [
        f"{one.where}: {one.what}"
        for one in found
        if one.severity == "error"
        and (case.whole or ((one.where, one.fix) not in of_rules and registered not in one.what))
    ]


def disagreements(judged: Any, cases: list[Case]) -> list[str]:
    out = []
    for case in cases:
        verdict, said = judged["verdicts"][case], ours(case)
        if bool(verdict) != bool(said):
            out.append(f"{case.command} {case.args[:200]}\n  ms-swift: {verdict}\n  fleet: {said}")
    return out


def test_the_table_that_ships_is_what_ms_swift_says_of_itself(judged: Any) -> None:
    assert judged["table"] == table_file("4.6.0").read_text(encoding="utf-8")


def test_every_argument_of_every_command_is_judged_as_ms_swift_judges_it(judged: Any) -> None:
    cases = list(names_and_values())
    assert len(cases) > 3000
    assert disagreements(judged, cases) == []


@pytest.mark.parametrize("args", ODD, ids=str)
def test_an_odd_value_is_judged_as_ms_swift_judges_it(judged: Any, args: dict[str, Any]) -> None:
    assert disagreements(judged, [Case.of("swift sft", args)]) == []


def test_what_contradicts_is_what_ms_swift_refuses(judged: Any, tiny: Path) -> None:
    cases = list(rule_cases(tiny))
    assert len({name for name, _, _ in cases}) > 30
    wrong = {name: said for name, _, case in cases if (said := disagreements(judged, [case]))}
    assert wrong == {}
    verdicts = {(name, broken): judged["verdicts"][case] for name, broken, case in cases}
    assert {key: said for key, said in verdicts.items() if bool(said) != key[1]} == {}


def test_grpos_batches_are_parted_as_ms_swift_parts_them(judged: Any, tiny: Path) -> None:
    cases = list(batches(tiny))
    assert {bool(judged["verdicts"][case]) for case in cases} == {True, False}
    assert disagreements(judged, cases) == []


def test_megatrons_generation_batches_are_parted_as_ms_swift_parts_them(judged: Any) -> None:
    arguments = table().commands["megatron rlhf"]
    (rule,) = [one for one in RULES if one.name == "megatron-generation-batch"]
    wrong = []
    for sizes, verdict in zip(megatron_batches(), judged["batches"], strict=True):
        values = {name: value for name, value in sizes.items() if name != "world"} | {"rlhf_type": "grpo"}
        said = findings([rule], Given("megatron rlhf", arguments, values, world=World(1, sizes["world"], 8)))
        wrong += [(sizes, verdict, said)] if bool(verdict) != bool(said) else []
    assert wrong == []
    assert {bool(one) for one in judged["batches"]} == {True, False}


# Commands of ms-swift's own documentation and examples ---------------------------------------------------------------


def documented() -> list[Case]:
    return [Case.of(command, args) for command, args, _ in EXAMPLES]


#: What is said of the environments that fleet makes, whatever the command.
OF_OUR_NODES = "no profile has"


def test_the_documentations_own_commands_raise_no_alarm(judged: Any) -> None:
    for command, args, world in EXAMPLES:
        assert judged["verdicts"][Case.of(command, args)] is None, (command, args)
        found = check(command, args, world=world, version="4.6.0")
        alarms = [one for one in found if one.severity != "note" and not one.what.startswith(OF_OUR_NODES)]
        assert alarms == [], (command, args)
