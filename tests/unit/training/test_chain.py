from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra.errors import BadInput
from training.chain import Shape, check, served_until
from training.job import Job, load_job
from training.plan import Offer, make_plan
from training.references import filled_in, with_examples

TRAIN = {"command": "sft"}
MERGE = {"command": "export", "args": {"adapters": "{train.best_checkpoint}", "merge_lora": True}}
DEPLOY = {"command": "deploy", "args": {"model": "{merge.output}"}}
EVAL = {"command": "eval", "args": {"eval_url": "{deploy.url}/v1"}}
ROLLOUT = {"command": "rollout", "ranks": [0]}
GRPO = {"command": "rlhf", "ranks": [1], "args": {"vllm_server_host": "{rollout.host}"}}
TWO = Shape(2, 8, shared=False)


def job(first: dict[str, Any], *then: dict[str, Any]) -> Job:
    return Job.model_validate({**first, "then": list(then)})


@pytest.mark.parametrize(
    ("first", "then", "shape"),
    [
        (TRAIN, [], TWO),
        ({**TRAIN, "args": {"system": "{user.name}"}}, [], TWO),
        (TRAIN, [MERGE, DEPLOY], TWO),
        (TRAIN, [MERGE, DEPLOY, EVAL], None),
        (ROLLOUT, [GRPO], TWO),
        (TRAIN, [{"command": "infer", "args": {"adapters": "{train.last_checkpoint}"}}], replace(TWO, shared=True)),
        (
            {**ROLLOUT, "env": {"CUDA_VISIBLE_DEVICES": "7"}},
            [{**GRPO, "ranks": [0], "env": {"CUDA_VISIBLE_DEVICES": "0,1"}}],
            TWO,
        ),
    ],
)
def test_steps_that_go_together_have_no_finding(first: dict, then: list[dict], shape: Shape | None) -> None:
    assert check(job(first, *then), shape) == []


@pytest.mark.parametrize(
    ("first", "then", "where", "said"),
    [
        (TRAIN, [TRAIN], "then.0.name", "two steps are called train"),
        (TRAIN, [{**MERGE, "name": "collect"}], "then.0.name", "collect is a stage of every run"),
        (TRAIN, [{**MERGE, "args": {"model": "{trian.output}"}}], "then.0.args.model", "no step is called trian"),
        (TRAIN, [{**MERGE, "args": {"model": "{train.best}"}}], "then.0.args.model", "train has no best"),
        (
            TRAIN,
            [{"command": "export", "args": {"model": "{export.output}"}}],
            "then.0.args.model",
            "export does not come before",
        ),
        (TRAIN, [{**EVAL, "env": {"X": "{deploy.url}"}, "args": {}}, DEPLOY], "then.0.env.X", "deploy does not come"),
        (TRAIN, [MERGE, DEPLOY, {"command": "eval"}], "then.1.command", "no later step names what deploy serves"),
        (TRAIN, [{**MERGE, "ranks": [0, 1]}], "then.0.ranks", "export runs on one node"),
        (TRAIN, [{**MERGE, "ranks": [2]}], "then.0.ranks", "the fleet has no rank 2"),
        (TRAIN, [{**MERGE, "ranks": [1]}], "then.0.ranks", "{train.best_checkpoint} is on node 0 alone"),
        (ROLLOUT, [{**GRPO, "ranks": [0, 1]}], "then.0.ranks", "rollout holds the GPUs of rank 0 meanwhile"),
        ({**ROLLOUT, "args": {"host": "127.0.0.1"}}, [GRPO], "args.host", "127.0.0.1 is out of reach for train"),
        ({"command": "deploy", "args": {"log_level": "error"}}, [], "args.log_level", "at error nobody can tell"),
    ],
)
def test_what_does_not_go_together_is_said_where_it_stands(
    first: dict, then: list[dict], where: str, said: str
) -> None:
    found = check(job(first, *then), TWO)
    assert [one.where for one in found if said in one.what] == [where], found


@pytest.mark.parametrize(("asked", "where"), [({"ranks": [1, 0]}, "ranks"), ({"nproc_per_node": 2}, "nproc_per_node")])
def test_several_processes_that_infer_without_gpus_are_refused(asked: dict[str, Any], where: str) -> None:
    infer = job({"command": "infer", "args": {"model": "/m"}, **asked})
    (found,) = check(infer, replace(TWO, gpus=0))
    assert (found.severity, found.where) == ("error", where)
    assert check(infer, TWO) == []


def test_a_server_serves_until_the_last_step_that_names_it_is_over() -> None:
    steps = job(TRAIN, MERGE, DEPLOY, EVAL, {"command": "sample"}).steps
    assert [served_until(steps, number) for number in range(5)] == [1, 2, 3, None, None]


def test_a_reference_is_replaced_in_its_own_kind_and_one_alone_may_be_several() -> None:
    known = {("a", "host"): ["10.0.0.4", "10.0.0.5"], ("a", "port"): 8000, ("t", "output"): "/x"}
    given = {
        "h": "{a.host}",
        "hs": ["{a.host}", "c"],
        "p": "{a.port}",
        "u": "x={t.output}/y {b.c}",
        "n": 1,
        "d": {"k": "{t.output}"},
    }
    assert filled_in(given, lambda name, key: known.get((name, key))) == {
        "h": ["10.0.0.4", "10.0.0.5"], "hs": ["10.0.0.4", "10.0.0.5", "c"], "p": 8000, "u": "x=/x/y {b.c}", "n": 1,
        "d": {"k": "/x"},
    }  # fmt: skip


def test_arguments_are_checked_with_values_of_the_kind_that_will_come() -> None:
    steps = job(ROLLOUT, GRPO).steps
    assert with_examples(steps, {"vllm_server_port": "{rollout.port}"}) == {"vllm_server_port": 8000}


def test_each_step_is_planned_with_its_own_ranks_and_place(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}\n")
    infer = {
        "command": "infer",
        "args": {"adapters": "{train.best_checkpoint}", "val_dataset": "a.jsonl"},
        "ranks": [1, 2],
    }
    made = make_plan(
        job({**TRAIN, "args": {"dataset": "a.jsonl", "model": "/m"}}, MERGE, infer, {**DEPLOY, "ranks": [1, 2]}),
        tmp_path / "job.yaml",
        Offer("x", 3, 1),
    )
    assert [(one.name, one.ranks, one.nnodes) for one in made.steps] == [
        ("train", (0, 1, 2), 3), ("merge", (0,), 1), ("infer", (1, 2), 2), ("deploy", (1, 2), 1),
    ]  # fmt: skip
    assert made.steps[2].rank_environment(2, "a", 1)["NODE_RANK"] == "1"
    assert [one.output for one in made.steps] == [*["{base}/runs/{run}/output"] * 3, ""]
    assert made.steps[2].args["result_path"] == "{base}/runs/{run}/output/infer.jsonl"
    assert len(made.shipments) == 1 and made.on_nodes == ("/m",)
    assert made.stays


def test_a_wrong_key_of_a_step_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("command: sft\nthen:\n  - command: export\n    bugdet: 3\n  - command: deplyo\n")
    with pytest.raises(BadInput) as caught:
        load_job(file)
    first, second = str(caught.value).replace(f"{tmp_path}/", "").splitlines()
    assert first.startswith("job.yaml:4  then.0.bugdet  unknown key.")
    assert second.startswith("job.yaml:5  then.1.command  command 'deplyo' is unknown to swift: did you mean deploy?")
