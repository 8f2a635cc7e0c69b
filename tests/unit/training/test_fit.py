"""Where a job fits, what is cheapest, and what is said and changed where it doesn't fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from infra.errors import BadInput
from training.cli.estimate import estimate
from training.cli.stages import plan
from training.findings import Finding
from training.fit import Machine, Sized, findings, fittings, least_change, sized
from training.job import Job
from training.plan import Offer

SEVEN = "Qwen/Qwen2.5-7B-Instruct"
DATA = "AI-ModelScope/alpaca-gpt4-data-en#500"
SMALL = Machine("small", "A", 1, 22.4, 16, 1.0)
EIGHT = Machine("eight", "A", 8, 22.4, 768, 7.0)
LARGE = Machine("large", "B", 8, 79.2, 1152, 30.0)
RARE = Machine("rare", "C", 8, 141.0, 2048, None)
ALL = (SMALL, EIGHT, LARGE, RARE)


def of(trainer: Any = "swift", command: str = "sft", **args: Any) -> Sized:
    given = {"model": SEVEN, "dataset": DATA, "max_length": 2048, **args}
    return sized(Job(trainer=trainer, command=command, args=given), Path())


def offer(machine: Machine, nodes: int = 1) -> Offer:
    return Offer(machine.name, nodes, machine.gpus, machine.gpu_memory_gib)


def said(job: Sized, machine: Machine) -> Finding | None:
    return next(iter(findings(job, offer(machine), ALL)), None)


@pytest.mark.parametrize(
    ("args", "fits"),
    [
        ({}, ["small x 1", "eight x 1", "large x 1", "rare x 1"]),
        ({"tuner_type": "full"}, ["large x 1", "rare x 1"]),
        ({"tuner_type": "full", "deepspeed": "zero3"}, ["eight x 2", "large x 1", "rare x 1"]),
        ({"tuner_type": "full", "model": "Qwen/Qwen2.5-72B-Instruct", "deepspeed": "zero3"}, ["large x 4", "rare x 2"]),
        # Offloaded states need the host's memory: 112 GiB of them are more than the small one has.
        ({"tuner_type": "full", "deepspeed": "zero2_offload"}, ["eight x 1", "large x 1", "rare x 1"]),
    ],
)
def test_fleets_that_a_job_fits_are_listed_cheapest_first_with_the_fewest_nodes(
    args: dict[str, Any], fits: list[str]
) -> None:
    assert [f"{one.machine.name} x {one.nodes}" for one in fittings(of(**args), ALL)] == fits


def test_megatron_is_laid_only_over_gpus_that_its_sizes_divide() -> None:
    job = of("megatron", tensor_model_parallel_size=4, tuner_type="lora")
    assert [one.machine.name for one in fittings(job, ALL)] == ["eight", "large", "rare"]
    assert fittings(job, ALL, gpus=6) == []


def test_a_job_that_fits_with_room_is_not_talked_about() -> None:
    assert said(of(), LARGE) is None
    assert findings(of(tuner_type="full"), Offer("own", 1, 1, None)) == []


@pytest.mark.parametrize(
    ("args", "severity", "fix"),
    [
        ({"packing": True}, "warning", "use_liger_kernel: true"),
        ({"tuner_type": "full"}, "error", "tuner_type: lora"),
        ({"model": "Qwen/Qwen2.5-14B-Instruct"}, "error", "quant_method: bnb"),
        ({"dataset": "me/unheard-of", "per_device_train_batch_size": 16}, "warning", "per_device_train_batch_size: 1"),
    ],
)
def test_what_does_not_fit_is_an_error_only_beyond_doubt_and_names_the_change(
    args: dict[str, Any], severity: str, fix: str
) -> None:
    found = said(of(**args), SMALL)
    assert found and (found.severity, fix in found.fix) == (severity, True), found


def test_the_fix_also_names_the_cheapest_fleet_and_a_cheaper_way_to_divide_the_model() -> None:
    found = said(of(tuner_type="full"), SMALL)
    assert found and "take large x 1 ($30.00 an hour)" in found.fix
    assert "deepspeed: zero3 with eight x 2 ($14.00 an hour)" in found.fix


@pytest.mark.parametrize(
    ("job", "machine"),
    [
        (of(tuner_type="full"), EIGHT),
        (of(tuner_type="full", model="Qwen/Qwen2.5-32B"), LARGE),
        (of(packing=True, max_length=32768, tuner_type="full", deepspeed="zero3"), LARGE),
        (of("megatron", packing=True, max_length=8192), EIGHT),
        (of("megatron", model="Qwen/Qwen3-30B-A3B", packing=True), LARGE),
    ],
)
def test_the_change_that_is_named_makes_it_fit(job: Sized, machine: Machine) -> None:
    assert not job.on(machine.gpus).fits(machine.gpu_memory_gib)
    changes = least_change(job, offer(machine))
    assert changes and job.changed(changes).on(machine.gpus).fits(machine.gpu_memory_gib)


@pytest.mark.parametrize(
    ("job", "what"),
    [
        (Job(command="infer", args={"model": SEVEN}), "only training is estimated"),
        (Job(command="sft"), "no model is named"),
        (Job(command="rlhf", args={"model": SEVEN, "teacher_model": "me/unheard-of"}), "me/unheard-of is not known"),
    ],
)
def test_what_can_not_be_estimated_says_why(job: Job, what: str) -> None:
    with pytest.raises(BadInput, match=what):
        sized(job, Path())


def run(tmp_path: Path, *options: str) -> str:
    (tmp_path / "job.yaml").write_text(f"command: sft\nargs: {{model: {SEVEN}, dataset: '{DATA}'}}\n")
    done = CliRunner().invoke(estimate, [str(tmp_path / "job.yaml"), *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_json_of_an_estimate_has_the_keys_that_programs_rely_on(tmp_path: Path) -> None:
    answer = json.loads(run(tmp_path, "--gpus", "1", "--json"))
    assert set(answer) == {"gib_per_gpu", "parts", "fits", "fleets"}
    assert {one["instance_type"] for one in answer["fleets"]} == {name for name, fits in answer["fits"].items() if fits}
    assert answer["gib_per_gpu"] == pytest.approx(sum(answer["parts"].values()), abs=0.1)
    assert answer["fits"]["g6.xlarge"] is True and "m7i.xlarge" not in answer["fits"]


def test_an_estimate_of_named_types_says_whether_how_many_and_at_what_price(tmp_path: Path) -> None:
    answer = json.loads(run(tmp_path, "--type", "p5.48xlarge", "--type", "g6.xlarge", "--json"))
    assert answer["fits"] == {"p5.48xlarge": True, "g6.xlarge": True}
    small, large = answer["fleets"]
    assert (large["instance_type"], large["nodes"], large["gpus"], large["gpu_memory_gib"]) == ("p5.48xlarge", 1, 8, 80)
    assert small["instance_type"] == "g6.xlarge" and small["usd_per_hour"] < large["usd_per_hour"]
    with pytest.raises(BadInput, match="Did you mean p5.48xlarge"):
        run(tmp_path, "--type", "p5.48xlrage")


def test_the_table_of_an_estimate_names_its_parts_and_the_cheapest_type(tmp_path: Path) -> None:
    text = run(tmp_path)
    assert "weights           14.3 GiB  7.62 B" in text
    assert [line.split()[1] for line in text.splitlines() if line.endswith("cheapest")] == ["g6.xlarge"]


def test_a_plan_that_names_no_fleet_picks_the_cheapest_and_says_how_to_write_it(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(f"command: sft\nargs: {{model: {SEVEN}, dataset: '{DATA}'}}\n")
    text = CliRunner().invoke(plan, [str(file)], catch_exceptions=False).output
    assert "swift-fleet:instanceType: g6.xlarge · swift-fleet:nodes: 1" in text
    answer = json.loads(CliRunner().invoke(plan, [str(file), "--json"], catch_exceptions=False).output)
    assert (answer["instance_type"], answer["nodes"], answer["memory"]["fits"]["g6.xlarge"]) == ("g6.xlarge", 1, True)


def test_a_job_that_fits_nothing_is_refused_with_what_would_help(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("command: sft\nargs: {model: Qwen/Qwen2.5-72B, tuner_type: full}\n")
    with pytest.raises(BadInput, match="fits no type.*With deepspeed: zero3 it fits"):
        CliRunner().invoke(plan, [str(file)], catch_exceptions=False)
