"""Each rule by a command that breaks it, and by commands like it that do not."""

from __future__ import annotations

from typing import Any

import pytest
from rule_cases import BASE, BROKEN, EIGHT, NO_MENDING, with_changes

from training.job import Job
from training.swift.arguments import parsed, table
from training.swift.check import check
from training.swift.given import Given, World
from training.swift.rules import RULES
from training.swift.rules.rule import Rule, findings


def broken_by(rule: Rule, command: str, args: dict[str, Any], world: World | None) -> bool:
    arguments = table().commands[command]
    values = {name: parsed(arguments[name], value) for name, value in args.items()}
    return bool(findings([rule], Given(command, arguments, values, world=world)))


def test_every_rule_is_shown_and_named_once() -> None:
    assert sorted(BROKEN) == sorted(rule.name for rule in RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_holds_where_it_should_and_not_elsewhere(rule: Rule) -> None:
    command, breaking, mending, world = BROKEN[rule.name]
    assert broken_by(rule, command, with_changes(command, breaking), world)
    mended = NO_MENDING.get(rule.name, world)
    assert not broken_by(rule, command, with_changes(command, breaking, mending), mended)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_names_an_argument_of_each_of_its_commands(rule: Rule) -> None:
    for command in rule.on:
        assert rule.where in table().commands[command] or rule.where in Job.model_fields
    assert rule.fix
    assert rule.source
    assert not rule.what.endswith(".")


@pytest.mark.parametrize("command", BASE)
def test_a_plain_command_breaks_no_rule(command: str) -> None:
    assert check(command, BASE[command], world=EIGHT) == []


def test_what_needs_the_number_of_processes_is_left_out_where_no_fleet_is_named() -> None:
    args = with_changes("megatron sft", {"tensor_model_parallel_size": 3})
    assert check("megatron sft", args) == []
    assert [one.where for one in check("megatron sft", args, world=EIGHT)] == [
        "args.tensor_model_parallel_size",
    ]


def test_what_can_not_be_read_brings_no_second_finding() -> None:
    args = with_changes("swift sft", {"packing": "maybe"})
    assert [one.where for one in check("swift sft", args)] == ["args.packing"]


def test_a_job_sees_the_gpus_that_its_environment_leaves() -> None:
    args = with_changes("swift sft", {"deepspeed": "zero2"})
    assert check("swift sft", args, world=World(1, 1, 8))
    assert check("swift sft", args, world=World(1, 1, 8), env={"CUDA_VISIBLE_DEVICES": "3"}) == []
    assert check("swift sft", args, world=World(1, 1, 8), env={"SWIFT_SINGLE_DEVICE_MODE": "1"}) == []
