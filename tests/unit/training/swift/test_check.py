"""What is said of single arguments: names, values, commands. The judge is tests/judge/test_arguments.py."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from training.findings import Finding
from training.swift import arguments, names
from training.swift.arguments import table
from training.swift.check import check

SFT = {"model": "Qwen/Qwen3-8B", "dataset": "train.jsonl", "max_length": 2048}
MEGATRON = {"model": "Qwen/Qwen3-8B", "dataset": "train.jsonl", "num_train_epochs": 1}


def found(command: str, args: dict[str, Any], **more: Any) -> list[Finding]:
    whole = MEGATRON if command.startswith("megatron") else SFT if command.split()[1] in ("sft", "pt", "rlhf") else {}
    return check(command, {**whole, **args}, **more)


def only(command: str, args: dict[str, Any]) -> Finding:
    (one,) = found(command, args)
    return one


@pytest.mark.parametrize("command", sorted(table().commands))
def test_every_command_of_the_cli_has_its_arguments(command: str) -> None:
    """CLI-1 to CLI-16."""
    counts = {
        "swift sft": 332, "swift pt": 332, "swift rlhf": 480, "swift infer": 153, "swift deploy": 164,
        "swift rollout": 170, "swift eval": 174, "swift export": 127, "swift merge-lora": 127, "swift sample": 120,
        "swift app": 171, "swift web-ui": 4, "megatron sft": 414, "megatron pt": 414, "megatron rlhf": 414,
        "megatron export": 417,
    }  # fmt: skip
    assert len(table().commands[command]) == counts[command]


def test_a_right_job_has_nothing_said_of_it() -> None:
    assert found("swift sft", {"tuner_type": "lora", "lora_rank": 8, "learning_rate": "1e-4"}) == []
    assert found("megatron sft", {"tensor_model_parallel_size": 2, "micro_batch_size": 1}) == []


@pytest.mark.parametrize(
    ("command", "args", "what", "fix"),
    [
        ("swift sft", {"lora_rnak": 8}, "swift sft has no argument lora_rnak", "Did you mean lora_rank?"),
        # NOTE-2, PARAM: names of earlier releases.
        ("swift sft", {"train_type": "lora"}, "swift sft has no argument train_type", "It is tuner_type now"),
        ("megatron sft", {"train_type": "lora"}, "megatron sft has no argument train_type", "It is tuner_type now"),
        ("megatron sft", {"save_interval": 5}, "megatron sft has no argument save_interval", "It is save_steps now"),
        ("swift sft", {"evaluation_strategy": "no"}, "no argument evaluation_strategy", "It is eval_strategy now"),
        # CLI-17: 4.6.0 has no --config; the file is the first word.
        ("swift sft", {"config": "a.yaml"}, "swift sft has no argument config", "A job's args are that file"),
        # MEG-11, and the other way.
        ("megatron sft", {"per_device_train_batch_size": 1}, "megatron sft has no argument", "has micro_batch_size"),
        ("megatron sft", {"gradient_accumulation_steps": 1}, "megatron sft has no argument", "has global_batch_size"),
        ("megatron sft", {"learning_rate": 1e-4}, "megatron sft has no argument", "swift's: megatron has lr"),
        ("swift sft", {"micro_batch_size": 1}, "swift sft has no argument", "swift has per_device_train_batch_size"),
        ("swift sft", {"lr": 1e-4}, "swift sft has no argument lr", "It is megatron's: swift has learning_rate"),
        # Another command's.
        ("swift sft", {"rlhf_type": "dpo"}, "swift sft has no argument rlhf_type", "swift rlhf has it"),
        ("swift sft", {"merge_lora": True}, "swift sft has no argument merge_lora", "swift export, with merge_lora"),
        ("swift sft", {"Lora_Rank": 8}, "swift sft has no argument Lora_Rank", "Did you mean lora_rank?"),
        ("swift sft", {"xyzzy": 8}, "swift sft has no argument xyzzy", "fleet args swift sft lists"),
        ("swift sft", {"lora": 8}, "swift sft has no argument lora", "Did you mean lora_"),
        ("swift sft", {"help": True}, "it would print help and end", "Take it out"),
        ("swift sft", {"no_check_model": True}, "takes no value", "check_model: false"),
    ],
)  # fmt: skip
def test_a_wrong_name_is_told_the_right_one(command: str, args: dict[str, Any], what: str, fix: str) -> None:
    one = only(command, args)
    assert (one.severity, one.where) == ("error", f"args.{next(iter(args))}")
    assert what in one.what
    assert fix in one.fix


@pytest.mark.parametrize(
    ("args", "what"),
    [
        ({"lora_rank": "eight"}, "lora_rank can't be 'eight': it is a whole number"),
        ({"lora_rank": 8.0}, "lora_rank can't be '8.0': it is a whole number"),
        ({"lora_rank": True}, "lora_rank can't be 'True': it is a whole number"),
        ({"lora_rank": [8, 16]}, "lora_rank takes one value, not 2"),
        ({"lora_rank": {"a": 1}}, "lora_rank can't be '{\"a\": 1}'"),
        ({"learning_rate": "1e-4x"}, "learning_rate can't be '1e-4x': it is a number"),
        ({"packing": "maybe"}, "packing can't be 'maybe': it is true or false"),
        ({"target_modules": []}, "target_modules has an empty list"),
        ({"torch_dtype": "bf16"}, "torch_dtype can't be 'bf16'"),
        ({"truncation_strategy": "middle"}, "truncation_strategy can't be 'middle'"),
        ({"system": "--be-nice"}, "system can't be '--be-nice': argparse takes it for an option"),
        ({"liger_kernel_config": {"rope": True}}, "liger_kernel_config can't be given"),
        ({"tuner_type": "dora"}, "tuner_type 'dora' is not among ms-swift's own"),
        ({"callbacks": ["graceful_exti"]}, "callbacks 'graceful_exti' is not among ms-swift's own"),
        ({"model_type": "qwen_3"}, "model_type 'qwen_3' is not among ms-swift's own"),
        ({"deepspeed": "zero4"}, "there is no deepspeed 'zero4', did you mean zero"),
        ({"ENV": "USE_HF=1"}, "ENV is a mapping"),
    ],
)
def test_a_wrong_value_is_told_what_is_allowed(args: dict[str, Any], what: str) -> None:
    one = only("swift sft", args)
    assert one.severity == "error"
    assert one.where == f"args.{next(iter(args))}"
    assert what in one.what
    assert one.fix or ":" in one.what


@pytest.mark.parametrize(
    "args",
    [
        {"lora_rank": "8"},
        {"lora-rank": 8},
        {"lora_rank": [8]},
        {"packing": "No"},
        {"learning_rate": 1},
        {"learning_rate": "1e-4"},
        {"system": "- a list, with a hyphen first"},
        {"seed": -1},
        {"target_modules": "q_proj"},
        {"target_modules": ["q_proj", "v_proj"]},
        {"lr_scheduler_kwargs": {"min_lr": 1e-6}},
        {"quant_method": "bnb", "quant_bits": 4},
        {"deepspeed": {"zero_optimization": {"stage": 2}}},
        {"deepspeed": "configs/ds.json"},
        {"callbacks": ["mine"], "external_plugins": ["plugin.py"]},
    ],
)
def test_what_ms_swift_takes_is_no_error(args: dict[str, Any]) -> None:
    assert [one for one in found("swift sft", args) if one.severity == "error"] == []


def test_a_beginning_that_is_enough_for_argparse_is_let_pass_with_a_word() -> None:
    one = only("swift sft", {"weight_d": 0.1})
    assert (one.severity, one.what) == ("warning", "an abbreviation of weight_decay")


def test_everything_is_found_at_once() -> None:
    said = check("swift sft", {"lora_rnak": 8, "train_type": "lora", "packing": True, "max_length": "long"})
    assert {one.where for one in said} == {
        "args.lora_rnak", "args.train_type", "args.attn_impl", "args.max_length", "args.model", "args.dataset",
    }  # fmt: skip


def test_unknown_names_are_warnings_where_the_job_asks_ms_swift_to_let_them_pass() -> None:
    assert only("swift sft", {"xyzzy": 1, "ignore_args_error": True}).severity == "warning"


def test_another_release_is_said_to_be_unchecked() -> None:
    (one,) = check("swift sft", {"anything": 1}, version="9.9.9")
    assert (one.severity, one.where) == ("note", "ms_swift")


def _targets() -> Iterator[tuple[str, str]]:
    for trainer, renamed in (("swift", names.RENAMED), ("megatron", names.MEGATRON_RENAMED)):
        yield from ((trainer, new) for new in renamed.values() if " " not in new)
    yield from (("megatron", new) for new in names.IN_MEGATRON.values() if " " not in new)
    yield from (("swift", new) for new in names.IN_SWIFT.values() if " " not in new)


@pytest.mark.parametrize(("trainer", "name"), sorted(set(_targets())))
def test_every_name_that_is_advised_exists(trainer: str, name: str) -> None:
    assert any(command.startswith(trainer) for command in table().having(name))


def test_the_table_is_that_of_the_nodes_environment() -> None:
    lock = (Path(__file__).parents[4] / "scripts" / "locks" / "base.txt").read_text().splitlines()
    made = json.loads(arguments.table_file(arguments.VERSION).read_text())
    for package in ("ms-swift", "transformers", "trl"):
        assert any(line.startswith(f"{package}=={made[package]}") for line in lock), package
