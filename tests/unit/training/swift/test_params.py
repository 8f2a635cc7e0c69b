"""The arguments that people know ms-swift by: there, of their type; where 4.6.0 differs, that is said."""

from __future__ import annotations

import pytest

from training.job import RANK_VARIABLES, Job
from training.swift.arguments import table
from training.swift.check import check

SFT = table().commands["swift sft"]

TRAINING = {
    "model": ("str", None), "tuner_type": ("str", "lora"), "dataset": ("str", []), "use_hf": ("bool", False),
    "torch_dtype": ("choice", None), "num_train_epochs": ("float", 3.0), "per_device_train_batch_size": ("int", 1),
    "learning_rate": ("float", None), "lora_rank": ("int", 8), "lora_alpha": ("float", 32.0),
    "target_modules": ("str", ["all-linear"]), "max_length": ("int", None),
    "gradient_accumulation_steps": ("int", None), "output_dir": ("str", None), "deepspeed": ("str", None),
    "fsdp": ("str", None), "task_type": ("choice", None),
}  # fmt: skip
MEMORY = {
    "quant_method": ("choice", None), "quant_bits": ("choice", None), "packing": ("bool", False),
    "padding_free": ("bool", False), "use_liger_kernel": ("bool", False), "attn_impl": ("str", None),
    "sequence_parallel_size": ("int", 1), "gradient_checkpointing": ("bool", True),
}  # fmt: skip
MULTIMODAL = {
    "freeze_vit": ("bool", True), "freeze_llm": ("bool", False), "freeze_aligner": ("bool", True),
    "vit_lr": ("float", None), "max_pixels": ("int", None),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kind", "default"),
    [(name, *facts) for group in (TRAINING, MEMORY, MULTIMODAL) for name, facts in group.items()],
)
def test_param_training_memory_and_multimodal(name: str, kind: str, default: object) -> None:
    assert (SFT[name].type, SFT[name].default) == (kind, default)


@pytest.mark.parametrize("name", ["lora", "full", "adalora", "longlora", "llamapro", "vera", "boft", "reft"])
def test_param_tuner_types(name: str) -> None:
    args = {"model": "a/Llama-b", "dataset": "c/d", "max_length": 9, "tuner_type": name, "target_modules": "q_proj"}
    assert check("swift sft", args) == []


def test_param_dora_is_lora_with_an_option() -> None:
    (one,) = check("swift sft", {"model": "a/b", "dataset": "c/d", "max_length": 9, "tuner_type": "dora"})
    assert (one.severity, one.fix) == ("error", "Write tuner_type: lora with use_dora: true")


@pytest.mark.parametrize("name", ["causal_lm", "seq_cls", "embedding", "reranker", "generative_reranker"])
def test_param_task_types(name: str) -> None:
    assert name in SFT["task_type"].choices


@pytest.mark.parametrize("name", ["zero0", "zero1", "zero2", "zero3", "zero2_offload", "zero3_offload"])
def test_param_deepspeed(name: str) -> None:
    assert check("swift sft", {"model": "a/b", "dataset": "c/d", "max_length": 9, "deepspeed": name}) == []


def test_param_environment_is_the_drivers_but_for_the_gpus_that_are_seen() -> None:
    """DIST-9. NOTE-4, RUN-2: each rank is made by these variables, which no job sets itself."""
    assert set(RANK_VARIABLES) == {"NPROC_PER_NODE", "NNODES", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT"}
    assert Job(command="sft", env={"CUDA_VISIBLE_DEVICES": "0,1"}).env == {"CUDA_VISIBLE_DEVICES": "0,1"}


def test_note_3_enable_thinking_is_there() -> None:
    """NOTE-3."""
    assert (SFT["enable_thinking"].type, SFT["enable_thinking"].default) == ("bool", None)
