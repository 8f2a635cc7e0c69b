"""Every recipe whose head says `ran: small, on a CPU` does, by `fleet run --local`, and leaves what it is there for."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asking
import pytest
import yaml
from project import Project, free_port, project_in
from small import TRAINING, benchmarks, jsonl, small

from training.recipe import FOLDER, SMALL, Recipe, named, recipes

WITHIN = 900.0
FULL = pytest.mark.full
RUNS = [one for one in recipes() if one.ran == SMALL]
TRAINED = [one for one in RUNS if one.job.command in TRAINING]
SERVED = [one for one in RUNS if one.job.command in ("deploy", "app", "web-ui")]
#: Recipes of more than one process.
RANKS = {"sft-fsdp2": 2, "rm": 2}
#: recipe -> what is to be said of it beside: ms-swift's own engine for vLLM, mostly.
MORE: dict[str, dict[str, Any]] = {
    # With an adapter it needs DeepSpeed, and it goes by epochs (rules ppo-lora-needs-deepspeed, ppo-goes-by-epochs).
    "ppo": {"tuner_type": "full", "per_device_train_batch_size": 12},
    "dapo": {"gradient_accumulation_steps": 8},
    "infer": {"infer_backend": "transformers"},
    "deploy": {"infer_backend": "transformers"},
    "eval": {"infer_backend": "transformers", "eval_limit": 2},
    # These two forget `template` and look for the model's own: a folder of no known name has several (4.6.0).
    "app": {"infer_backend": "transformers", "system": "You answer questions."},
    "sample": {
        "sampler_engine": "transformers",
        "engine_kwargs": {"template_type": "qwen2_5"},
        "num_return_sequences": 2,
    },
}
#: Kind of training -> what ms-swift logs for no other kind.
LOGGED = {
    "dpo": "rewards/margins",
    "cpo": "rewards/margins",
    "simpo": "rewards/margins",
    "kto": "kl",
    "orpo": "log_odds_ratio",
    "grpo": "reward",
    "ppo": "objective/scores",
}


@dataclass(frozen=True)
class Left:
    """What a run left: its receipt, and what was fetched of its output."""

    receipt: dict[str, Any]
    output: Path


@dataclass(frozen=True)
class Bench:
    """A project, the tiny model, and a HOME with ms-swift's environment in it."""

    project: Project
    tiny: Path
    home: Path

    def job(self, recipe: Recipe, **more: Any) -> Path:
        folder = self.project.root / recipe.name
        folder.mkdir(exist_ok=True)
        job = small(recipe, self.tiny, folder, MORE.get(recipe.name, {}) | more)
        job |= {"nproc_per_node": RANKS[recipe.name]} if recipe.name in RANKS else {}
        for plugin in recipe.job.plugins:
            shutil.copy(FOLDER / plugin, folder)
        file = folder / "job.yaml"
        file.write_text(yaml.safe_dump(job, sort_keys=False))
        return file

    def run(self, recipe: Recipe, **more: Any) -> Left:
        done = self.project.fleet("run", self.job(recipe, **more), "--local", "--json", within=WITHIN)
        [*_, receipt] = done.ok().events
        return Left(receipt, self.project.root / "runs" / receipt["request"]["run_id"] / "output")


@pytest.fixture(scope="module")
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("bench")
    home = folder / "home"
    home.mkdir()
    if python := os.environ.get("SWIFT_PYTHON"):  # of one environment for all, to be quicker
        for name in ("swift-env", "swift-env-train", "swift-env-eval"):
            as_it_is(Path(python).parents[1], home / name)
    with project_in(folder / "clone") as project:
        cache = subprocess.run(["uv", "cache", "dir"], check=True, capture_output=True, text=True).stdout.strip()
        project.env |= {"HOME": str(home), "UV_CACHE_DIR": cache, "CUDA_VISIBLE_DEVICES": ""}
        yield Bench(project, tiny, home)


def as_it_is(environment: Path, to: Path) -> None:
    """Without its .lock it is taken for one made by hand: setup.sh would make it anew after another profile's list."""
    to.mkdir()
    for part in environment.iterdir():
        if part.name != ".lock":
            (to / part.name).symlink_to(part)


@pytest.fixture(scope="module")
def adapter(bench: Bench) -> Path:
    [found] = bench.run(named("sft-lora")).output.glob("checkpoint-*")
    return found


@FULL
@pytest.mark.parametrize("recipe", TRAINED, ids=lambda one: one.name)
def test_a_recipe_trains_and_leaves_a_checkpoint(recipe: Recipe, bench: Bench) -> None:
    left = bench.run(recipe)
    outcome = left.receipt["outcome"]
    assert (outcome["state"], outcome["step"], outcome["world_size"]) == ("succeeded", 2, RANKS.get(recipe.name, 1))
    losses = [loss for _, loss in left.receipt["losses"]]
    assert len(losses) == 2 and all(map(math.isfinite, losses))

    [checkpoint] = left.output.glob("checkpoint-*")
    assert checkpoint.name == "checkpoint-2"
    tuner = (dict(recipe.job.args) | MORE.get(recipe.name, {}))["tuner_type"]
    weights = "adapter_model.safetensors" if tuner == "lora" else "model.safetensors"
    assert (checkpoint / weights).stat().st_size > 10_000

    said = [line for line in jsonl(left.output / "logging.jsonl") if {"loss", "eps"} & line.keys()]
    loss = "loss/policy_avg" if recipe.name == "ppo" else "loss"
    assert [line[loss] for line in said] == pytest.approx(losses, rel=1e-3, abs=1e-3)
    # Answers are generated, and their reward logged, every steps_per_generation steps.
    assert LOGGED.get(recipe.job.args.get("rlhf_type", ""), "loss") in said[0] | said[-1]
    assert understood(recipe, left, bench) == {}


def understood(recipe: Recipe, left: Left, bench: Bench) -> dict[str, tuple[Any, Any]]:
    """The job's arguments that ms-swift took for something else: name -> (as given, as taken)."""
    given = yaml.safe_load((bench.project.root / recipe.name / "job.yaml").read_text())["args"]
    if given.get("rlhf_type") == "simpo":  # by ms-swift's own words CPO with that loss (swift/arguments/rlhf_args.py)
        given |= {"rlhf_type": "cpo", "loss_type": "simpo"}
    taken = json.loads((left.output / "args.json").read_text())
    plain = {name: value for name, value in given.items() if isinstance(value, int | float) or name in MAKES}
    return {name: (value, taken[name]) for name, value in plain.items() if taken[name] != value}


#: Arguments of a few words that make a recipe what it is.
MAKES = ("rlhf_type", "task_type", "loss_type", "tuner_type", "advantage_estimator", "scale_rewards", "agent_template")


@FULL
def test_a_checkpoint_answers_and_is_merged_into_its_model(bench: Bench, adapter: Path) -> None:
    left = bench.run(named("infer-lora"), adapters=str(adapter))
    rows = jsonl(left.output / "answers.jsonl")
    assert rows and all(row["response"] == row["messages"][-1]["content"] for row in rows)

    merged = bench.run(named("merge"), adapters=str(adapter)).output
    assert not (merged / "adapter_config.json").exists()
    assert (merged / "model.safetensors").stat().st_size > (adapter / "adapter_model.safetensors").stat().st_size


@FULL
def test_a_file_of_prompts_is_answered(bench: Bench) -> None:
    rows = jsonl(bench.run(named("infer")).output / "answers.jsonl")
    assert rows and all(row["response"] == row["messages"][-1]["content"] for row in rows)


@FULL
def test_sampled_answers_are_kept_by_reward(bench: Bench) -> None:
    rows = jsonl(bench.run(named("sample")).output / "samples.jsonl")
    assert rows and all("\\boxed" in row["messages"][-1]["content"] and row["rejected_response"] for row in rows)


@FULL
def test_benchmarks_give_a_report_each(bench: Bench) -> None:
    sets = benchmarks(bench.home)
    left = bench.run(named("eval"), eval_dataset_args=sets, eval_generation_config={"max_tokens": 8})
    reports = [json.loads(file.read_text()) for file in left.output.rglob("reports/*/*.json")]
    assert sorted(report["dataset_name"] for report in reports) == ["gsm8k", "mmlu"]
    assert all(0 <= report["score"] <= 1 for report in reports)


ANSWERS: dict[str, Callable[[str], str]] = {"deploy": asking.of_deploy, "app": asking.of_app, "web-ui": asking.get}


@FULL
@pytest.mark.parametrize("recipe", SERVED, ids=lambda one: one.name)
def test_a_server_answers(recipe: Recipe, bench: Bench) -> None:
    port, page = free_port(), free_port()
    ports = {"deploy": {"port": port}, "app": {"port": port, "server_port": page}, "web-ui": {"server_port": page}}
    done = bench.project.fleet("run", bench.job(recipe, **ports[recipe.name]), "--local", "--json", within=WITHIN).ok()
    [endpoint] = [event for event in done.events if event["event"] == "Endpoint"]
    url = f"http://127.0.0.1:{port if recipe.name == 'deploy' else page}"
    assert endpoint["url"] == url
    assert ANSWERS[recipe.name](url)
    bench.project.fleet("stop", endpoint["run"], "--grace", "5").ok()
    assert not asking.get(url)


def test_every_recipe_that_says_so_is_run_here() -> None:
    here = {one.name for one in [*TRAINED, *SERVED]} | {"infer", "infer-lora", "merge", "sample", "eval"}
    assert here == {one.name for one in RUNS}
