"""Megatron's jobs: the nodes' check by its own script, the variables of its ranks."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from infra.errors import CloudRefused, FleetError
from training.checked import check_file
from training.checks import CHECKS
from training.connection import Result
from training.following import Probe, Rank, resumed, took
from training.inventory import Inventory, Node
from training.job import Job
from training.launch import command_sh
from training.megatron import environments, judged, script
from training.plan import Offer, Plan
from training.preflight import one_folder
from training.remote import Machines
from training.run import Run, now
from training.verdict import decide
from training.watch import outcome

ROWS = [
    {"name": "megatron-core", "state": "ok", "found": "0.18.0", "needed": ">=0.16", "hint": "x"},
    {"name": "mcore-bridge", "state": "ok", "found": "1.6.5", "needed": ">=1.6.3", "hint": "x"},
    {"name": "transformer-engine", "state": "ok", "found": "2.16.0", "needed": ">=2.3", "hint": "x"},
    {"name": "flash-attn", "state": "ok", "found": "2.8.3", "needed": "any", "hint": "x"},
    {"name": "apex", "state": "warn", "found": "none", "needed": "optional", "hint": "x"},
]


def plan(nodes: int = 2, trainer: str = "megatron", env: dict[str, str] | None = None, **args: object) -> Plan:
    job = Job(trainer=trainer, command="sft", args=args, env=env or {})  # type: ignore[arg-type]
    return Plan(job, Path("job.yaml"), Offer("p5", nodes, 8), dict(args), 8)


def told(rows: list[dict[str, str]]) -> Result:
    return Result(0, json.dumps({"ok": True, "python": "x", "checks": rows}), "")


def test_a_node_that_has_all_says_its_versions_and_what_could_be_better() -> None:
    (one,) = judged(told(ROWS))
    assert one.ok and one.name == "megatron" and "megatron" in CHECKS
    assert one.found == (
        "megatron-core 0.18.0 · mcore-bridge 1.6.5 · transformer-engine 2.16.0 · flash-attn 2.8.3 · "
        "apex none (better: optional)"
    )


def test_each_thing_that_a_node_lacks_is_a_check_with_its_own_hint() -> None:
    lacks = [{**ROWS[0], "state": "fail", "found": "none", "hint": "uv pip install it"}, ROWS[1]]
    (one,) = judged(told(lacks))
    assert (one.ok, one.found, one.needed, one.do) == (False, "megatron-core none", ">=0.16", "uv pip install it")


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (CloudRefused("no answer in 240 s"), "no answer in 240 s"),
        (Result(127, "", "bash: python3: command not found\n"), "check_megatron_env.py said: bash: python3: command"),
    ],
)
def test_a_node_that_cannot_be_asked_is_no_node_that_has_all(answer: Result | FleetError, found: str) -> None:
    (one,) = judged(answer)
    assert not one.ok and one.found.startswith(found)


def test_the_script_runs_on_a_node_as_it_is_sent_and_finds_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    node = Node(0, "local", "", "127.0.0.1")
    with Machines(Inventory("local", "local", (node,))) as machines:
        assert [one.found for one in environments(machines, plan(1), [0], "")[0]] == ["no environment yet"]
        (tmp_path / "swift-env-megatron/bin").mkdir(parents=True)
        (tmp_path / "swift-env-megatron/bin/python").symlink_to(sys.executable)
        made = environments(machines, plan(1, model="Qwen/Qwen3-8B"), [0], "")
    assert {one.name for one in made[0]} == {"megatron"} and not any(one.ok for one in made[0])
    assert any(one.found == "megatron-core none" and "uv pip install" in one.do for one in made[0])


def test_what_the_job_will_do_decides_what_is_asked() -> None:
    text = script(plan(2, attention_backend="fused", fp8_format="e4m3", fp8_recipe="blockwise"), "~/shared")
    assert "--nodes 2" in text and "--attention fused --fp8 blockwise" in text
    assert 'export MODELSCOPE_CACHE="$HOME"/shared/modelscope' in text
    assert "--attention flash" in script(plan(), "")


RUN = Run(
    id="run-7f3a", inventory=Inventory("stack", "dev", (), "~/shared"), base=("/shared",) * 2, output_dir="/o",
    master_addr="10.0.0.4", master_port=29500, started_at=now(), nnodes=2, nproc_per_node=8, world_size=16,
    trainer="megatron", command="sft", ranks=(0, 1),
)  # fmt: skip


def exported(one: Plan, run: Run = RUN) -> dict[str, str]:
    last = one.nnodes - 1
    lines = command_sh(one, run, last, "/home/u").splitlines()
    pairs = [line.removeprefix("export ").partition("=") for line in lines if line.startswith("export ")]
    return {name: value for name, _, value in pairs if name not in one.rank_environment(last, "", 0)}


def test_megatrons_ranks_have_their_variables_and_the_jobs_own_win() -> None:
    """MEG-12, and the shared cache without which ranks of several nodes hang."""
    needed = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True", "CUDA_DEVICE_MAX_CONNECTIONS": "1"}
    assert exported(plan()) == {**needed, "MODELSCOPE_CACHE": "/shared/modelscope"}
    assert exported(plan(1)) == needed
    own = {"CUDA_DEVICE_MAX_CONNECTIONS": "32", "MODELSCOPE_CACHE": "/data/hub"}
    assert exported(plan(env=own)) == {**needed, **own}
    assert exported(plan(trainer="swift", env={"A": "1"})) == {"A": "1"}


@pytest.mark.parametrize(
    ("trainer", "nodes", "output", "shared", "folders"),
    [
        ("megatron", 2, "{base}/runs/{run}/output", "~/shared", ["~/shared"]),
        ("megatron", 2, "~/shared/out", "~/shared", ["~/shared"]),
        ("megatron", 2, "/data/out/", "~/shared", ["~/shared", "/data"]),
        ("megatron", 2, "~/out", "", ["~"]),
        ("megatron", 2, "/out", "", ["/"]),
        ("megatron", 1, "/data/out", "", []),
        ("swift", 2, "/data/out", "", []),
    ],
)
def test_preflight_looks_whether_an_output_outside_the_shared_folder_is_one_on_all_nodes(
    trainer: str, nodes: int, output: str, shared: str, folders: list[str]
) -> None:
    assert one_folder(plan(nodes, trainer, output_dir=output), shared) == folders


SFT = {"model": "Qwen/Qwen3-8B", "dataset": "swift/self-cognition#500", "max_length": 2048, "num_train_epochs": 1}


@pytest.mark.parametrize(
    ("trainer", "offer", "output", "refused"),
    [
        ("megatron", Offer("p5", 2, 8), None, True),
        ("megatron", Offer("p5", 2, 8), "output", True),
        ("megatron", Offer("p5", 2, 8), "/data/output", False),
        ("megatron", Offer("p5", 2, 8, shared=True), "output", False),
        ("megatron", Offer("p5", 1, 8), "output", False),
        ("swift", Offer("p5", 2, 8), "output", False),
    ],
)
def test_an_output_that_the_last_rank_cannot_read_is_refused_before_anything_is_made(
    tmp_path: Path, trainer: str, offer: Offer, output: str | None, refused: bool
) -> None:
    args = SFT | ({"output_dir": output} if output else {})
    (tmp_path / "job.yaml").write_text(json.dumps({"trainer": trainer, "command": "sft", "args": args}))
    found = [one.where for one in check_file(tmp_path / "job.yaml", offer).findings if one.severity == "error"]
    assert found == (["args.output_dir"] if refused else [])


def fed(rank: int, logs: Path, text: str) -> Rank:
    """A rank whose node has told all of its log and its end."""
    one = resumed(rank, logs, {})
    facts = {"pid": "7", "exit_code": "0", "ended": "1", "size": str(len(text)), "now": "1"}
    list(took(one, Probe(facts, text.encode(), 0.0, 0.0)))
    return one


def test_loss_comes_from_the_last_rank_and_checkpoints_from_the_first(tmp_path: Path) -> None:
    """Megatron's loss is printed by the last rank alone, its saving and its end by node 0's first process too."""
    world = "[INFO:swift] rank: 0, local_rank: 0, world_size: 16, local_world_size: 8\n"
    saved = "[INFO:swift] Successfully saved Megatron model weights in `/shared/o/v0-20261124-100000/checkpoint-9`.\n"
    end = "[INFO:swift] End time of running main: 2026-11-24 10:00:00.000000\n"
    steps = "".join(
        f"{{'loss': {loss}, 'grad_norm': 0.5, 'learning_rate': 1e-05, 'iteration': '{step}/9', 'memory(GiB)': 61.8}}\n"
        for step, loss in ((1, 2.5), (9, 1.25))
    )
    ranks = [fed(0, tmp_path, world + saved + end), fed(1, tmp_path, world + steps + end)]
    verdict = decide([one.facts for one in ranks], 2.0, needs_mark=True)
    found = outcome(RUN, ranks, verdict)
    assert (found.state, found.world_size, found.step, found.max_steps) == ("succeeded", 16, 9, 9)
    assert (found.first_loss, found.last_loss) == (2.5, 1.25)
    assert found.checkpoints == ("/shared/o/v0-20261124-100000/checkpoint-9",)
