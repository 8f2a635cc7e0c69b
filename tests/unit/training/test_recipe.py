"""Recipes: each row of the seed's QUICK and MEG has one, each is a job that `fleet check` lets pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from infra.errors import BadInput
from training import estimated
from training.checked import check_file
from training.cli.new import new
from training.cli.recipes import recipes
from training.findings import Finding
from training.fit import TRAINING, sized
from training.job import load_job
from training.plan import Offer
from training.recipe import Recipe, changed, named, read_recipe, write
from training.recipe import recipes as shipped
from training.stack_fleet import machines

#: row of the seed -> its recipe, and the arguments that make it this row's.
ROWS: list[tuple[str, str, dict[str, Any]]] = [
    ("QUICK-1", "sft-lora", {"tuner_type": "lora"}),
    ("QUICK-2", "sft-full", {"tuner_type": "full"}),
    ("QUICK-3", "qlora", {"quant_method": "bnb", "quant_bits": 4, "tuner_type": "lora"}),
    ("QUICK-4", "pt", {"streaming": True}),
    ("QUICK-5", "grpo", {"rlhf_type": "grpo", "reward_funcs": ["accuracy", "format"]}),
    ("QUICK-6", "dpo", {"rlhf_type": "dpo"}),
    ("QUICK-7", "kto", {"rlhf_type": "kto"}),
    ("QUICK-8", "ppo", {"rlhf_type": "ppo", "reward_model": ...}),
    ("QUICK-9", "gkd", {"rlhf_type": "gkd", "teacher_model": ...}),
    ("QUICK-10", "infer", {"infer_backend": "vllm"}),
    ("QUICK-11", "deploy", {"infer_backend": "vllm", "port": 8000}),
    ("QUICK-12", "eval", {"eval_dataset": ["mmlu", "gsm8k"]}),
    ("QUICK-13", "awq", {"quant_method": "awq", "quant_bits": 4}),
    ("QUICK-14", "merge", {"merge_lora": True}),
    ("QUICK-15", "sample", {"sampler_type": "sample"}),
    ("QUICK-15", "distill", {"sampler_type": "distill"}),
    ("QUICK-16", "embedding", {"task_type": "embedding"}),
    ("QUICK-17", "reranker", {"task_type": "generative_reranker"}),
    ("QUICK-18", "seq-cls", {"task_type": "seq_cls", "num_labels": 2}),
    ("QUICK-19", "multimodal", {"model": "Qwen/Qwen2.5-VL-7B-Instruct"}),
    ("QUICK-19", "multimodal-internvl", {"model": "OpenGVLab/InternVL3-8B"}),
    ("QUICK-19", "multimodal-omni", {"model": "Qwen/Qwen2.5-Omni-7B"}),
    ("QUICK-20", "agent", {"agent_template": "hermes"}),
    ("QUICK-21", "sft-zero2", {"deepspeed": "zero2"}),
    ("QUICK-21", "sft-zero3", {"deepspeed": "zero3"}),
    ("QUICK-21", "sft-offload", {"deepspeed": "zero3_offload"}),
    ("QUICK-22", "sft-fsdp2", {"fsdp": "fsdp2"}),
    ("QUICK-23", "dapo", {"loss_type": "dapo", "dynamic_sample": True}),
    ("QUICK-23", "sapo", {"loss_type": "sapo"}),
    ("QUICK-23", "gspo", {"importance_sampling_level": "sequence"}),
    ("QUICK-23", "cispo", {"loss_type": "cispo"}),
    ("QUICK-23", "dr-grpo", {"loss_type": "dr_grpo"}),
    ("QUICK-23", "rloo", {"advantage_estimator": "rloo"}),
    ("QUICK-23", "reinforce-plus-plus", {"advantage_estimator": "reinforce_plus_plus"}),
    ("QUICK-23", "grpo-reward", {"reward_funcs": ["brevity", "accuracy"]}),
    ("QUICK-23", "grpo-colocate", {"vllm_mode": "colocate"}),
    ("QUICK-23", "grpo-server", {"vllm_mode": "server"}),
    ("QUICK-23", "rollout", {"port": 8000}),
    ("QUICK-24", "cpo", {"rlhf_type": "cpo"}),
    ("QUICK-24", "simpo", {"rlhf_type": "simpo"}),
    ("QUICK-24", "orpo", {"rlhf_type": "orpo"}),
    ("QUICK-24", "rm", {"rlhf_type": "rm"}),
    ("QUICK-25", "gptq", {"quant_method": "gptq"}),
    ("QUICK-25", "bnb", {"quant_method": "bnb"}),
    ("QUICK-25", "fp8", {"quant_method": "fp8"}),
    ("QUICK-26", "infer-sglang", {"infer_backend": "sglang"}),
    ("QUICK-26", "infer-lmdeploy", {"infer_backend": "lmdeploy"}),
    ("MEG-2", "megatron-sft", {"tensor_model_parallel_size": 2}),
    ("MEG-3", "megatron-lora", {"tuner_type": "lora", "merge_lora": False}),
    ("MEG-4", "megatron-moe", {"expert_model_parallel_size": 4, "moe_grouped_gemm": True}),
    ("MEG-5", "megatron-grpo", {"rlhf_type": "grpo"}),
    ("MEG-6", "megatron-dpo", {"rlhf_type": "dpo"}),
    ("MEG-7", "megatron-pt", {"train_iters": 10000}),
    ("MEG-8", "megatron-to-mcore", {"to_mcore": True}),
    ("MEG-9", "megatron-to-hf", {"to_hf": True, "mcore_model": ...}),
    ("MEG-11", "megatron-sft", {"micro_batch_size": 4, "global_batch_size": 16}),
    ("MEG-13", "megatron-moe-full", {"tensor_model_parallel_size": 4, "pipeline_model_parallel_size": 2}),
    ("MEG-13", "megatron-moe-full", {"expert_model_parallel_size": 8, "sequence_parallel": True}),
    ("MEG-13", "megatron-long", {"context_parallel_size": 4}),
]
ALL = pytest.mark.parametrize("recipe", shipped(), ids=lambda one: one.name)


def offered(recipe: Recipe) -> Offer:
    nodes = max(1, recipe.gpus // 8)
    return Offer("any", nodes, recipe.gpus // nodes, shared=True)


@pytest.mark.parametrize(("row", "name", "args"), ROWS, ids=lambda one: one if isinstance(one, str) else "")
def test_each_row_of_the_seed_has_its_recipe(row: str, name: str, args: dict[str, Any]) -> None:
    job = named(name).job
    assert (job.trainer == "megatron") == row.startswith("MEG")
    assert {key: ... if args[key] is ... else job.args[key] for key in args} == args


@ALL
def test_a_recipe_is_written_as_a_job_that_passes_with_its_gpus_and_without(recipe: Recipe, tmp_path: Path) -> None:
    if recipe.name == "tiny-sft-lora":  # what scripts/make-tiny would put there
        (tmp_path / "model").mkdir()
        (tmp_path / "docstrings.jsonl").write_text('{"query": "a", "response": "b"}\n' * 8)
    job = write(recipe, tmp_path / "job.yaml")[0]
    for offer in (None, offered(recipe)):
        said: list[Finding] = [one for one in check_file(job, offer).findings if one.severity != "note"]
        assert said == []


@ALL
def test_a_training_recipe_fits_the_gpus_that_its_head_names(recipe: Recipe) -> None:
    if recipe.job.command not in TRAINING or not recipe.gpus:
        assert not recipe.ran.startswith("no") or recipe.job.command not in TRAINING
        return
    if recipe.name == "ppo":
        with pytest.raises(BadInput, match="Skywork-Reward"):  # a model whose sizes do not ship
            sized(recipe.job, recipe.file.parent)
        return
    offer = offered(recipe)
    asked = estimated.ask(sized(recipe.job, recipe.file.parent), machines(), recipe.gpus)
    needed = asked.job.on(recipe.gpus, offer.nodes).on(recipe.gib)
    assert 0 < needed <= recipe.gib


@pytest.mark.parametrize(
    "head",
    [
        "",
        "# needs: 2 GPUs\n# profile: base\n# data: x\n# ran: no: needs x\n",
        "# needs: no GPU\n# profile: x\n# data: x\n# ran: no: needs x\n",
        "# needs: no GPU\n# profile: base\n# data: x\n# ran: no\n",
    ],
)
def test_a_head_that_says_less_is_none(head: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"# Mine.\n{head}command: sft\n")
    with pytest.raises(BadInput, match="not the head of a recipe"):
        read_recipe(file)


def test_changes_keep_all_else_and_its_comments(tmp_path: Path) -> None:
    before = named("sft-lora")
    sets = ["args.dataset=[mine.jsonl, 'yours.jsonl#5']", "args.model=a/b", "args.seed=7", "env.A=1", "budget=20"]
    (job,) = write(before, tmp_path / "job.yaml", sets)
    after, _ = load_job(job)
    more = {"dataset": ["mine.jsonl", "yours.jsonl#5"], "model": "a/b", "seed": 7}
    assert after == before.job.model_copy(update={"args": before.job.args | more, "env": {"A": "1"}, "budget": 20.0})
    comments = [line for line in before.file.read_text().splitlines() if line.startswith("# ")]
    assert set(comments[2:]) <= set(job.read_text().splitlines())


@pytest.mark.parametrize(
    "change", ["args.model", "args.model=", "args.a.b=1", "args.system=a: [b", "budgt=1", "args=1"]
)
def test_a_change_that_makes_no_job_is_refused(change: str) -> None:
    with pytest.raises(BadInput):
        changed(named("sft-lora"), [change])


def test_new_overwrites_nothing_and_names_the_next_step(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    done = CliRunner().invoke(new, ["grpo-reward", "-o", str(job), "--json"])
    assert json.loads(done.output)["next"] == f"fleet check {job}"
    assert (tmp_path / "reward.py").exists()
    again = CliRunner().invoke(new, ["grpo-reward", "-o", str(tmp_path / "other.yaml")])
    assert "reward.py  is there already" in str(again.exception)
    assert not (tmp_path / "other.yaml").exists()
    with pytest.raises(BadInput, match="Did you mean sft-lora"):
        named("sft-lroa")


def test_recipes_are_found_by_all_words() -> None:
    found = json.loads(CliRunner().invoke(recipes, ["GRPO", "colocate", "--json"]).output)
    assert [one["name"] for one in found] == ["grpo-colocate"]
    assert found[0]["gpus"] == 8
    assert len(CliRunner().invoke(recipes, []).output.splitlines()) == len(shipped())


def test_flags_beside_a_recipe_change_it_and_the_head_tells_the_needs_as_the_recipes(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    flags = ["--model", "Qwen/Qwen2.5-72B-Instruct", "--data", "a/b", "--hub", "huggingface"]
    CliRunner().invoke(new, ["sft-zero3", *flags, "-o", str(job)], catch_exceptions=False)
    args = load_job(job)[0].args
    assert (args["model"], args["dataset"], args["use_hf"]) == ("Qwen/Qwen2.5-72B-Instruct", "a/b", True)
    title, needs = job.read_text().splitlines()[:2]
    assert title.startswith("# recipe sft-zero3: LoRA of a 32B") and "with the recipe's Qwen/Qwen2.5-32B" in needs
