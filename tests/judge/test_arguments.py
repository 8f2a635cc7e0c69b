"""ms-swift is the judge: `fleet check` and its own parsers, beside each other, both ways. All cases in one process.

Which environment: that of the `local` run, or the python that SWIFT_PYTHON names, made from scripts/locks/base.txt.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rules_asked import SILENT, Case, batches, megatron_batches, rule_cases, silent_cases

from examples import EXAMPLES
from training.swift.arguments import Argument, table, table_file
from training.swift.check import check
from training.swift.given import Given, World
from training.swift.rules import RULES
from training.swift.rules.rule import findings

HERE = Path(__file__).parent


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


@pytest.fixture(scope="session")
def swift_python(request: pytest.FixtureRequest) -> Path:
    named = os.environ.get("SWIFT_PYTHON")
    return Path(named) if named else request.getfixturevalue("local").python  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def judged(swift_python: Path, tiny: Path) -> Any:
    """Every case's verdict by ms-swift, and the table that it would make of itself."""
    cases = [*names_and_values(), *(Case.of("swift sft", args) for args in ODD), *documented()]
    cases += [*(case for _, _, case in rule_cases(tiny)), *batches(tiny)]
    cases += [case for _, _, case in silent_cases(tiny)]
    asked = [one.asked() for one in cases]
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
    found = check(case.command, json.loads(case.args), world=case.world if case.whole else None)
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


def test_what_ms_swift_passes_over_is_warned_of(judged: Any, tiny: Path) -> None:
    """What it does with an argument that it does not refuse."""
    looked = {(name, broken): (judged["verdicts"][case], case) for name, broken, case in silent_cases(tiny)}
    expected = {(name, broken): seen[not broken] for name, (_, *seen) in SILENT.items() for broken in (True, False)}
    assert {key: seen for key, (seen, _) in looked.items()} == expected
    for (name, broken), (_, case) in looked.items():
        found = check(case.command, json.loads(case.args), world=case.world)
        [rule] = [one for one in RULES if one.name == name]
        assert any(one.fix == rule.fix for one in found) == broken, name


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
