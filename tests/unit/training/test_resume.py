"""fleet run --resume: from which checkpoint, by which arguments; what can't be gone on from is refused, and why."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from infra.errors import BadInput
from training.checked import check_file
from training.job import Job
from training.launch import args_yaml
from training.plan import Offer, Plan
from training.record import Request
from training.resume import newest, resumed
from training.retrying import next_attempt
from training.ship import items

ADAPTER = ["adapter_config.json", "adapter_model.safetensors", "args.json"]
STATES = ["optimizer.pt", "scheduler.pt", "rng_state_0.pth", "trainer_state.json"]
SHARDS = ["iter_0000020/__0_0.distcp", "iter_0000020/.metadata", "iter_0000020/common.pt"]
MEGATRON = ["args.json", "latest_checkpointed_iteration.txt", "model.safetensors"]


def left(folder: Path, step: int | str, files: list[str], written: dict[str, object] | None = None) -> Path:
    """A checkpoint as a run left it in this machine's folder of it."""
    checkpoint = folder / "output" / f"checkpoint-{step}"
    for name in files:
        file = checkpoint / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(written or {}) if name == "args.json" else name)
    return checkpoint


def plan(trainer: str, command: str = "sft", **args: object) -> Plan:
    given = {"model": "a/b", "output_dir": "{base}/runs/{run}/output", **args}
    job = Job(trainer=trainer, command=command, args=args)  # type: ignore[arg-type]
    return Plan(job, Path("job.yaml"), Offer("p5", 2, 8), given, 8)


@pytest.mark.parametrize(
    ("trainer", "args", "files", "expected"),
    [
        ("swift", {}, [*ADAPTER, *STATES], {"resume_from_checkpoint": ...}),
        ("swift", {"deepspeed": "zero3"}, [*ADAPTER, "trainer_state.json", "global_step20/bf16_optim_states.pt"],
         {"resume_from_checkpoint": ...}),
        ("swift", {"fsdp": "fsdp2"}, ["trainer_state.json", "optimizer_0/.metadata"], {"resume_from_checkpoint": ...}),
        ("megatron", {}, [*MEGATRON, *SHARDS], {"mcore_model": ..., "finetune": False}),
        ("megatron", {"tuner_type": "full", "finetune": True}, [*MEGATRON, *SHARDS],
         {"mcore_model": ..., "finetune": False}),
        ("megatron", {"tuner_type": "lora"}, [*MEGATRON, *SHARDS], {"mcore_adapter": ..., "finetune": False}),
    ],
)  # fmt: skip
def test_a_run_goes_on_from_the_newest_whole_checkpoint_by_its_trainers_own_arguments(
    tmp_path: Path, trainer: str, args: dict[str, object], files: list[str], expected: dict[str, object]
) -> None:
    left(tmp_path, 9, files)
    whole = left(tmp_path, 20, files)
    left(tmp_path, 30, [*files, "model.bin.part"])
    left(tmp_path, "20-merged", ["model.safetensors"])
    before = plan(trainer, **args)
    after = resumed(before, "run-7f3a", tmp_path)
    (sent,) = after.shipments
    assert sent.local == whole and {one.there for one in items(sent)} == {f"{sent.there}/{file}" for file in files}
    there = {name: f"{{base}}/{sent.there}" if value is ... else value for name, value in expected.items()}
    assert after.args == {**before.args, **there}
    assert f"/shared/{sent.there}" in args_yaml(after, "/shared", "/home/u", "run-1")


@pytest.mark.parametrize(
    ("trainer", "files", "written", "said"),
    [
        ("swift", ADAPTER, {}, "checkpoint-20: weights alone, without the optimizer (save_only_model)"),
        ("megatron", [*MEGATRON, "iter_0000020/common.pt"], {}, "without the optimizer (no_save_optim)"),
        ("megatron", [*MEGATRON, *SHARDS], {"no_save_optim": True}, "without the optimizer (no_save_optim)"),
        ("megatron", ["args.json", *SHARDS], {}, "checkpoint-20: it was not written to its end"),
    ],
)
def test_a_checkpoint_without_an_optimizer_or_an_end_is_refused(
    tmp_path: Path, trainer: str, files: list[str], written: dict[str, object], said: str
) -> None:
    left(tmp_path, 20, files, written)
    with pytest.raises(BadInput) as refused:
        newest(trainer, "run-7f3a", tmp_path)
    assert said in refused.value.what and "model:" in refused.value.do


def test_a_run_that_left_nothing_and_a_job_that_trains_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="run-7f3a left no checkpoint here"):
        resumed(plan("swift"), "run-7f3a", tmp_path)
    with pytest.raises(BadInput, match="megatron export can't be resumed"):
        resumed(plan("megatron", "export"), "run-7f3a", tmp_path)


SFT = {"model": "Qwen/Qwen3-8B", "dataset": "swift/self-cognition#500", "max_length": 2048}
MCORE = {**SFT, "num_train_epochs": 1}
MERGE = {"command": "merge-lora", "args": {"adapters": "{train.best_checkpoint}"}}


@pytest.mark.parametrize(
    ("job", "where"),
    [
        ({"command": "sft", "args": SFT}, None),
        ({"trainer": "megatron", "command": "sft", "args": MCORE}, None),
        ({"trainer": "megatron", "command": "sft", "args": {**MCORE, "no_save_optim": True}}, "args.no_save_optim"),
        ({"command": "sft", "args": {**SFT, "save_only_model": True}}, "args.save_only_model"),
        ({"command": "sft", "args": {**SFT, "save_strategy": "no"}}, "args.save_strategy"),
        ({"command": "deploy", "args": {"model": "Qwen/Qwen3-8B"}}, "retries"),
        ({"command": "sft", "args": SFT, "then": [MERGE]}, "retries"),
    ],
)
def test_retries_of_what_saves_nothing_to_go_on_from_are_refused(
    tmp_path: Path, job: dict[str, object], where: str | None
) -> None:
    file = tmp_path / "job.yaml"
    for retries, expected in ((3, [where] if where else []), (0, [])):
        file.write_text(json.dumps({**job, "retries": retries}))
        assert [one.where for one in check_file(file).findings if one.severity == "error"] == expected


def test_a_run_is_tried_again_while_it_saves_something_and_retries_are_left(tmp_path: Path) -> None:
    job = Job(command="sft", retries=2)
    made = replace(plan("swift"), job=job)
    first = Request("run-1", "/job.yaml", "stack", "dev", skip=("clock",))
    assert next_attempt(first, made, tmp_path) is None
    left(tmp_path, 20, [*ADAPTER, *STATES])
    second = next_attempt(first, made, tmp_path)
    assert second and second.run_id != "run-1"
    assert replace(second, run_id="run-1") == replace(first, resume="run-1", attempt=1)
    third = next_attempt(second, made, tmp_path)
    assert third and third.attempt == 2
    assert next_attempt(third, made, tmp_path) is None
    assert next_attempt(first, plan("swift"), tmp_path) is None and next_attempt(first, None, tmp_path) is None
