from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import BadInput
from training.job import Job
from training.plan import Offer, Plan, ends_at, make_plan

TWO = Offer("g6.12xlarge", 2, 4, 22.4, 9.2, "list", timedelta(hours=4), timedelta(hours=4))


def plan(folder: Path, offer: Offer = TWO, lines: dict[str, int] | None = None, **args: Any) -> Plan:
    return make_plan(Job(command="sft", args=args), folder / "job.yaml", offer, lines=lines)


def refusal(folder: Path, **args: Any) -> str:
    with pytest.raises(BadInput) as caught:
        plan(folder, lines={f"args.{name}": number for number, name in enumerate(args, 3)}, **args)
    return str(caught.value).replace(f"{folder}/", "")


@pytest.mark.parametrize(
    "value",
    ["swift/self-cognition", "AI-ModelScope/alpaca-gpt4-data-zh#500", "HF::owner/name:sub#10", "swift/x:default"],
)
def test_the_id_of_a_data_set_on_the_hub_is_left_as_it_is(tmp_path: Path, value: str) -> None:
    made = plan(tmp_path, dataset=value)
    assert (made.args["dataset"], made.shipments, made.on_nodes) == (value, (), ())


def test_the_id_of_a_model_on_the_hub_is_left_as_it_is(tmp_path: Path) -> None:
    assert plan(tmp_path, model="Qwen/Qwen2.5-7B-Instruct").args["model"] == "Qwen/Qwen2.5-7B-Instruct"


def test_a_file_that_is_here_is_sent_and_keeps_its_count(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("{}\n")
    made = plan(tmp_path, dataset=["train.jsonl#500", "swift/self-cognition#10"])
    (one,) = made.shipments
    assert (one.arg, one.local, one.size) == ("dataset", tmp_path / "train.jsonl", 3)
    assert made.args["dataset"] == [f"{{base}}/{one.there}#500", "swift/self-cognition#10"]
    assert one.there.startswith("data/") and one.there.endswith("/train.jsonl")


def test_a_hash_in_a_model_folders_name_is_no_count(tmp_path: Path) -> None:
    (tmp_path / "model#2").mkdir()
    (tmp_path / "model#2" / "config.json").write_text("{}")
    (one,) = plan(tmp_path, model="model#2").shipments
    assert one.local == tmp_path / "model#2"


def test_a_path_of_the_nodes_own_is_left_and_looked_for_later(tmp_path: Path) -> None:
    made = plan(tmp_path, dataset=["/data/train.jsonl#5", "~/more.jsonl"], model="/models/qwen")
    assert made.args["dataset"] == ["/data/train.jsonl#5", "~/more.jsonl"]
    assert made.on_nodes == ("/data/train.jsonl", "~/more.jsonl", "/models/qwen")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (
            {"dataset": "trian.jsonl"},
            "job.yaml:3  args.dataset  trian.jsonl does not exist here. Looked for trian.jsonl",
        ),
        ({"dataset": "./data"}, "job.yaml:3  args.dataset  ./data does not exist here. Looked for data."),
        ({"dataset": "x.csv#9"}, "job.yaml:3  args.dataset  x.csv does not exist here."),
        ({"model": "Qwen2.5-7B"}, "job.yaml:3  args.model  Qwen2.5-7B is neither a folder here nor a hub id."),
        ({"adapters": "a/b/c"}, "job.yaml:3  args.adapters  a/b/c is neither a folder here nor a hub id."),
    ],
)
def test_what_is_missing_is_named_with_its_line(tmp_path: Path, args: dict[str, Any], said: str) -> None:
    assert refusal(tmp_path, **args).startswith(said)


def test_everything_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    said = refusal(tmp_path, model="nope", dataset=["a.jsonl", "b.jsonl"]).splitlines()
    assert [line.split("  ")[:2] for line in said] == [
        ["job.yaml:3", "args.model"],
        ["job.yaml:4", "args.dataset"],
        ["job.yaml:4", "args.dataset"],
    ]


def test_changed_data_goes_to_another_place_and_the_same_to_the_same(tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl"
    file.write_text("{}\n")
    first, again = (plan(tmp_path, dataset="train.jsonl").shipments[0].there for _ in range(2))
    os.utime(file, ns=(1, 1))
    assert first == again != plan(tmp_path, dataset="train.jsonl").shipments[0].there


@pytest.mark.parametrize(
    ("given", "there"),
    [
        (None, "{base}/runs/{run}/output"),
        ("output", "{base}/runs/{run}/output"),
        ("./out/x", "{base}/runs/{run}/out/x"),
        ("/mnt/out", "/mnt/out"),
        ("~/out", "~/out"),
    ],
)
def test_output_goes_to_the_run_unless_it_has_a_place_of_its_own(tmp_path: Path, given: str | None, there: str) -> None:
    args = {} if given is None else {"output_dir": given}
    assert plan(tmp_path, **args).args["output_dir"] == there


@pytest.mark.parametrize(
    ("command", "args", "result", "fetched"),
    [
        ("infer", {}, "{base}/runs/{run}/output/infer.jsonl", "{base}/runs/{run}/output"),
        ("infer", {"result_path": "out/a.jsonl"}, "{base}/runs/{run}/out/a.jsonl", "{base}/runs/{run}/out"),
        ("infer", {"result_path": "a.jsonl"}, "{base}/runs/{run}/output/a.jsonl", "{base}/runs/{run}/output"),
        ("infer", {"result_path": "~/a.jsonl"}, "~/a.jsonl", ""),
        ("eval", {"eval_output_dir": "out"}, "{base}/runs/{run}/out", "{base}/runs/{run}/out"),
        ("eval", {"eval_output_dir": "/mnt/out"}, "/mnt/out", ""),
    ],
)
def test_answers_and_reports_are_fetched_from_the_run(
    tmp_path: Path, command: str, args: dict[str, Any], result: str, fetched: str
) -> None:
    job = Job.model_validate({"command": command, "args": args})
    made = make_plan(job, tmp_path / "job.yaml", Offer("x", 1, 1))
    assert (list(made.args.values()), made.output) == ([result], fetched)


def test_a_rank_is_made_by_exactly_five_variables(tmp_path: Path) -> None:
    assert plan(tmp_path).rank_environment(1, "10.77.0.4", 29500) == {
        "NNODES": "2",
        "NODE_RANK": "1",
        "MASTER_ADDR": "10.77.0.4",
        "MASTER_PORT": "29500",
        "NPROC_PER_NODE": "4",
    }


def test_the_command_line_can_be_typed_on_the_node(tmp_path: Path) -> None:
    assert plan(tmp_path).command_line(1, "10.77.0.4") == (
        "NNODES=2 NODE_RANK=1 MASTER_ADDR=10.77.0.4 MASTER_PORT=29500 NPROC_PER_NODE=4 "
        "~/swift-env/bin/swift sft args.yaml"
    )


@pytest.mark.parametrize(
    ("command", "gpus", "asked", "each", "world"),
    [
        ("sft", 4, None, 4, 8),
        ("sft", 0, None, 1, 2),
        ("sft", 0, 3, 3, 6),
        ("sft", 4, 2, 2, 4),
        ("deploy", 4, None, 4, 1),
    ],
)
def test_processes_a_node_are_its_gpus_unless_asked(
    tmp_path: Path, command: str, gpus: int, asked: int | None, each: int, world: int
) -> None:
    made = make_plan(Job(command=command, nproc_per_node=asked), tmp_path / "job.yaml", Offer("x", 2, gpus))
    assert (made.nproc_per_node, made.world_size) == (each, world)


def test_more_processes_than_gpus_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"job.yaml:7  nproc_per_node 8 is more than the 4 GPUs of a node"):
        make_plan(Job(command="sft", nproc_per_node=8), tmp_path / "job.yaml", TWO, lines={"nproc_per_node": 7})


def test_what_it_costs_at_most_goes_by_the_last_of_its_ends_and_is_unknown_without_it() -> None:
    assert TWO.most_usd == pytest.approx(36.8)
    assert Offer("x", 1, 0, usd_per_hour=1).most_usd is None
    assert Offer("x", 1, 0, ends_after=timedelta(hours=1)).most_usd is None


def test_the_end_is_a_lifetime_from_now_where_there_is_one() -> None:
    at = datetime(2026, 11, 24, 5, tzinfo=UTC)
    assert ends_at(TWO, at) == at + timedelta(hours=4)
    assert ends_at(Offer("x", 1, 0), at) is None


@given(st.dictionaries(st.from_regex(r"x_[a-z]{1,8}", fullmatch=True), st.integers() | st.text() | st.lists(st.text())))
def test_arguments_that_name_no_file_are_never_touched(args: dict[str, Any]) -> None:
    made = plan(Path("/nowhere"), **args)
    assert {name: made.args[name] for name in args} == args
    assert set(made.args) == {*args, "output_dir"}
