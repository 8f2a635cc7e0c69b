from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from infra import settings
from training.recipe import recipes
from training.swift.profiles import PROFILES, folder, missing, needed

LOCKS = Path(__file__).parents[4] / "scripts" / "locks"


def packages(profile: str) -> dict[str, str]:
    lines = (LOCKS / f"{profile}.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


@pytest.mark.parametrize(
    ("trainer", "command", "args", "profile"),
    [
        ("swift", "sft", {}, "base"),
        ("swift", "sft", {"fsdp": "fsdp2", "use_liger_kernel": False, "attn_impl": "sdpa"}, "base"),
        ("swift", "deploy", {"infer_backend": "transformers"}, "base"),
        ("torchrun", "train.py", {"deepspeed": "zero3"}, "base"),
        ("swift", "sft", {"deepspeed": "zero2"}, "train"),
        ("swift", "sft", {"use_liger_kernel": "true"}, "train"),
        ("swift", "sft", {"attn_impl": "flash_attn"}, "train"),
        ("swift", "sft", {"optim": "paged_adamw_8bit"}, "train"),
        ("swift", "sft", {"report_to": ["tensorboard", "wandb"]}, "train"),
        ("swift", "sft", {"model": "Qwen/Qwen2.5-VL-7B-Instruct"}, "train"),
        # NOTE-1
        ("swift", "sft", {"model": "Qwen/Qwen3.5-4B"}, "train"),
        ("swift", "sft", {"model": "Qwen/Qwen3-VL-8B-Instruct", "deepspeed": "zero2"}, "train"),
        ("swift", "sft", {"model": "Qwen/Qwen3-8B"}, "base"),
        ("megatron", "sft", {"model": "Qwen/Qwen3.5-35B-A3B"}, "megatron"),
        ("swift", "web-ui", {}, "train"),
        ("swift", "rlhf", {"rlhf_type": "grpo", "reward_funcs": "format accuracy"}, "train"),
        ("swift", "sft", {"sequence_parallel_size": 4, "deepspeed": "zero3"}, "flash"),
        ("swift", "rlhf", {"rlhf_type": "grpo", "use_vllm": True, "deepspeed": "zero2", "quant_bits": 4}, "vllm"),
        ("swift", "rlhf", {"rlhf_type": "grpo", "use_vllm": True, "vllm_mode": "server"}, "vllm"),
        ("swift", "infer", {"infer_backend": "vllm"}, "vllm"),
        ("swift", "sample", {"sampler_engine": "vllm"}, "vllm"),
        ("swift", "rollout", {}, "vllm"),
        ("swift", "eval", {"eval_backend": "OpenCompass"}, "eval"),
        ("swift", "eval", {"infer_backend": "vllm"}, "vllm"),
        ("swift", "sft", {"eval_use_evalscope": True, "eval_dataset": ["gsm8k"]}, "eval"),
        ("swift", "sft", {"eval_use_evalscope": True, "deepspeed": "zero2"}, "vllm"),
        ("swift", "sft", {"quant_method": "bnb", "quant_bits": 4, "deepspeed": "zero2"}, "quant"),
        ("swift", "export", {"quant_method": "gptq", "quant_bits": 4}, "quant"),
        ("swift", "export", {"quant_method": "fp8"}, "quant"),
        ("swift", "export", {"quant_method": "awq", "quant_bits": 4}, "awq"),
        ("swift", "sft", {"model": "Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4"}, "quant"),
        ("megatron", "sft", {}, "megatron"),
        ("megatron", "rlhf", {"use_vllm": True}, "megatron"),
    ],
)
def test_arguments_tell_the_profile(trainer: str, command: str, args: dict[str, Any], profile: str) -> None:
    assert needed(trainer, command, args).profile == profile


def test_the_argument_that_asks_for_it_is_named() -> None:
    assert str(needed("swift", "sft", {"deepspeed": "zero3"})) == "train: deepspeed"
    assert str(needed("swift", "sft", {})) == "base"
    assert missing({"infer_backend": "sglang"}) == "sglang" and not missing({"infer_backend": "vllm"})


def test_a_recipe_names_the_profile_that_its_arguments_ask_for() -> None:
    """Of a chain, the one that its last steps add."""
    assert {one.name: one.profile for one in recipes()} == {one.name: one.job.needs[-1].profile for one in recipes()}


def test_each_profile_has_a_lock_and_a_stack_may_name_it() -> None:
    assert {file.stem for file in LOCKS.glob("*.txt")} == {file.stem for file in LOCKS.glob("*.in")} == set(PROFILES)
    assert get_args(settings.Profile) == PROFILES
    assert len({folder(profile) for profile in PROFILES}) == len(PROFILES)


@pytest.mark.parametrize("profile", ["train", "flash", "vllm", "eval", "quant", "megatron"])
def test_what_models_of_pictures_import_is_where_they_may_train_or_serve(profile: str) -> None:
    """NOTE-1: set-up installs it with the profile that the model asks for, or that something else does."""
    assert {"qwen-vl-utils", "torchvision"} <= set(packages(profile))


@pytest.mark.parametrize("profile", PROFILES)
def test_a_lock_holds_what_its_profile_is_for(profile: str) -> None:
    found, base = packages(profile), packages("base")
    same = ("ms-swift",) if profile == "awq" else ("ms-swift", "torch", "transformers")
    assert [found[name] for name in same] == [base[name] for name in same]
    # One CUDA: torch's.
    majors = {name.rpartition("-cu")[2] for name in found if name.startswith("nvidia-") and "-cu" in name}
    assert {major for major in majors if major.isdigit()} == {"12" if profile == "awq" else "13"}
    # pyarrow from 23 on refuses numpy 1 when it is imported.
    assert int(found["numpy"].split(".")[0]) >= 2 or int(found["pyarrow"].split(".")[0]) < 23
    # ms-swift 4.6 asks evalscope for a service by a name that 1.11 dropped.
    assert found.get("evalscope", "1.10.0") == "1.10.0"
    # No release has wheels. Those before 7 build only beside torch; 7.3 imports what transformers 5.12 has not.
    assert found.get("gptqmodel", "7.2.0") == "7.2.0"
    wanted = {
        "base": (),
        "train": ("deepspeed", "liger-kernel", "bitsandbytes", "kernels", "math-verify", "qwen-vl-utils", "gradio"),
        "flash": ("deepspeed", "ninja"),
        "vllm": ("vllm", "deepspeed", "evalscope"),
        "eval": ("evalscope", "ms-opencompass", "ms-vlmeval"),
        "quant": ("bitsandbytes", "gptqmodel", "optimum", "deepspeed"),
        "awq": ("autoawq",),
        "megatron": ("megatron-core", "mcore-bridge", "transformer-engine-cu13", "vllm"),
    }
    assert set(wanted[profile]) <= set(found)
