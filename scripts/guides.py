"""The tables of the guides: which recipes each is about, what sets them apart, and the arguments that it speaks of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from infra.errors import BadInput
from training.fit import TRAINING, sized
from training.recipe import Recipe, recipes
from training.swift.arguments import table

#: The guide of a recipe, and the recipe that its others are told from.
BASES = {"training": "sft-lora", "grpo": "grpo-colocate", "rlhf": "dpo", "serving": "", "megatron": "megatron-sft"}

#: What differs for no reason that a reader looks for.
KEEPING = {"model", "dataset", "output_dir", "model_author", "model_name"}
KEEPING |= {
    "save_steps",
    "eval_steps",
    "logging_steps",
    "save_total_limit",
    "dataset_num_proc",
    "dataloader_num_workers",
}

#: Command, and what each argument does. The rest of a row is of ms-swift's own definitions.
ARGUMENTS: dict[str, tuple[str, dict[str, str]]] = {
    "training": (
        "swift sft",
        {
            "model": "a hub id, or a folder",
            "dataset": "files or hub ids; `name#500` takes 500 rows of it",
            "use_hf": "ids are Hugging Face's, not ModelScope's",
            "tuner_type": "what trains: an adapter, or `full`",
            "task_type": "the head: text, a class, a vector, a score",
            "torch_dtype": "of the weights; unset, as the checkpoint has them",
            "num_train_epochs": "passes over the data; with `streaming` give `max_steps`",
            "per_device_train_batch_size": "rows a GPU and step",
            "gradient_accumulation_steps": "steps before the weights change; unset, it brings the batch to 16",
            "learning_rate": "unset: 1e-4 for adapters, 1e-5 for `full`",
            "lora_rank": "size of the adapter",
            "lora_alpha": "its weight is `lora_alpha / lora_rank`",
            "target_modules": "the layers that get one",
            "max_length": "tokens a row; longer ones are dropped; unset, the model's whole context",
            "output_dir": "checkpoints are in `v0-TIME/` below it",
            "deepspeed": "what ranks share: `zero1`, `zero2`, `zero3`, `zero2_offload`, `zero3_offload`",
            "fsdp": "`fsdp2`: the same by PyTorch alone",
        },
    ),
    "saving": (
        "swift sft",
        {
            "gradient_checkpointing": "keep one activation a layer, compute the rest again",
            "packing": "rows laid end to end to `max_length`; needs flash attention",
            "padding_free": "no padding, rows as they are; needs flash attention",
            "attn_impl": "`flash_attn` for the two above; `sdpa` needs nothing installed",
            "use_liger_kernel": "fused kernels: next to no memory for logits",
            "sequence_parallel_size": "GPUs that share one row's tokens",
            "quant_method": "hold a frozen model in `quant_bits`; with adapters alone",
            "quant_bits": "4 or 8",
        },
    ),
    "multimodal": (
        "swift sft",
        {
            "freeze_vit": "the picture encoder stays as it is",
            "freeze_aligner": "so does what ties it to the language model",
            "freeze_llm": "so does the language model",
            "vit_lr": "the encoder's own learning rate",
            "max_pixels": "a picture is scaled down to so many: decides tokens, and memory",
        },
    ),
    "grpo": (
        "swift rlhf",
        {
            "num_generations": "completions of one prompt, compared with each other",
            "max_completion_length": "tokens of one",
            "steps_per_generation": "steps that one round of completions serves; unset, as accumulation",
            "reward_funcs": "by name: ms-swift's, or those of a plugin",
            "reward_weights": "one for each",
            "reward_model": "a model that judges, beside or instead of functions",
            "beta": "weight of the distance to the reference; 0 needs no reference model",
            "epsilon_high": "the clip's upper side, where it differs",
            "loss_type": "`grpo`, `dapo`, `bnpo`, `dr_grpo`, `cispo`, `sapo`, ...",
            "importance_sampling_level": "`sequence` is GSPO",
            "advantage_estimator": "`grpo`, `rloo`, `reinforce_plus_plus`",
            "dynamic_sample": "draw again where all completions of a prompt earn the same",
            "overlong_filter": "completions that were cut off don't count",
            "use_vllm": "generate by vLLM: many times faster",
            "vllm_mode": "`colocate` on the training GPUs, `server` on others",
            "vllm_gpu_memory_utilization": "vLLM's share of each card in `colocate`",
            "sleep_level": "vLLM gives its memory back while the weights train",
            "log_completions": "keep what was generated in `completions.jsonl`",
        },
    ),
    "rlhf": (
        "swift rlhf",
        {
            "rlhf_type": "the method",
            "beta": "how close to the reference it stays; the default is the method's own",
            "rpo_alpha": "weight of the fine-tuning loss on the chosen answer (DPO)",
            "ref_model": "with `full` alone; unset, the model as it began",
            "desirable_weight": "of good answers (KTO)",
            "undesirable_weight": "of bad ones (KTO)",
            "cpo_alpha": "weight of the fine-tuning loss (CPO)",
            "simpo_gamma": "the margin that it asks (SimPO)",
            "center_rewards_coefficient": "keep rewards around 0 (RM)",
            "reward_model": "who judges (PPO): the checkpoint of an `rm` run",
            "response_length": "tokens that PPO generates",
            "teacher_model": "whom to imitate (GKD)",
            "lmbda": "part of the student's own answers (GKD); 0 learns from the data alone",
        },
    ),
    "serving": (
        "swift deploy",
        {
            "model": "a hub id or a folder; not needed where `adapters` names a checkpoint",
            "adapters": "LoRA checkpoints; `NAME=PATH` serves several, chosen by the request's `model`",
            "infer_backend": "who computes",
            "host": "the address that it listens on",
            "port": "the next free one is taken where it is not",
            "served_model_name": "the name that requests give",
            "api_key": "what they must show",
            "max_new_tokens": "tokens of an answer",
            "temperature": "0 answers the same each time",
            "vllm_max_model_len": "tokens of prompt and answer: decides the cache",
            "vllm_gpu_memory_utilization": "vLLM's share of the card",
            "vllm_tensor_parallel_size": "GPUs that hold one model",
        },
    ),
    "megatron": (
        "megatron sft",
        {
            "tensor_model_parallel_size": "TP: each layer over so many GPUs, of one node",
            "pipeline_model_parallel_size": "PP: layers in so many stages; over nodes too",
            "expert_model_parallel_size": "EP: experts over so many GPUs",
            "expert_tensor_parallel_size": "ETP: each expert over so many; EP is mostly better",
            "context_parallel_size": "CP: a row's tokens over so many",
            "sequence_parallel": "SP: what TP leaves whole is divided too; on with TP, needed by MoE with TP",
            "micro_batch_size": "rows a step and model replica; there is no `per_device_train_batch_size`",
            "global_batch_size": "rows before the weights change, over all; there is no accumulation",
            "lr": "there is no `learning_rate`",
            "train_iters": "instead of epochs, for streamed data",
            "recompute_granularity": "`full` saves most memory, `selective` costs least time",
            "optimizer_cpu_offload": "the optimizer in the machine's memory",
            "moe_grouped_gemm": "all experts of a GPU in one kernel",
            "moe_permute_fusion": "tokens sorted to experts in one kernel",
            "no_save_optim": "smaller checkpoints, from which no run goes on",
            "mcore_model": "a checkpoint in megatron's format, to go on from",
            "merge_lora": "save whole weights, not the adapter",
        },
    ),
}


def guide_of(recipe: Recipe) -> str:
    """The guide that a recipe belongs to: each has one."""
    job = recipe.job
    if job.trainer == "megatron":
        return "megatron"
    if job.command == "rollout" or job.args.get("rlhf_type") == "grpo":
        return "grpo"
    if job.command == "rlhf":
        return "rlhf"
    return "training" if job.command in ("sft", "pt") else "serving"


def recipe_rows(guide: str) -> Iterator[tuple[str, ...]]:
    """Recipe, what it does, what sets it apart, what it needs, GiB a GPU by estimate, profile."""
    base = next((one.job.args for one in recipes() if one.name == BASES[guide]), {})
    yield ("Recipe", "Does", "Set apart by", "GPUs", "Estimate, GiB a GPU", "Profile")
    for one in recipes():
        if guide_of(one) != guide:
            continue
        link = f"[{one.name}](../training/recipes/{one.file.name})"
        title = one.title.removeprefix("Megatron: ").replace("<", r"\<")
        yield (link, title, _apart(one.job.args, base), one.needs, _estimated(one), one.profile)


def argument_rows(name: str) -> Iterator[tuple[str, ...]]:
    """Argument, what it is by ms-swift's definition, its default there, what it does."""
    command, arguments = ARGUMENTS[name]
    known = table().commands[command]
    yield ("Argument", "Values", "Default", "Does")
    for argument, does in arguments.items():
        one = known[argument]
        yield (f"`{argument}`", one.shown_type.replace("|", r"\|"), f"`{one.shown_default}`", does)


def _apart(args: Mapping[str, Any], base: Mapping[str, Any]) -> str:
    told = {key: value for key, value in args.items() if key not in KEEPING and base.get(key) != value}
    return ", ".join(f"`{key}: {_shown(value)}`" for key, value in told.items())


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)


def _estimated(recipe: Recipe) -> str:
    if recipe.job.command not in TRAINING or not recipe.gpus:
        return ""
    try:
        job = sized(recipe.job, Path())
    except BadInput:
        return "not known"
    return f"{job.on(recipe.gpus, -(-recipe.gpus // 8)).gib:.0f}"


def jobs_in(text: str) -> Iterator[tuple[int, str]]:
    """The YAML blocks of a document that are jobs, with the line where each begins."""
    for found in re.finditer(r"^```yaml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        if re.search(r"^command:", found.group(1), re.MULTILINE):
            yield text.count("\n", 0, found.start()) + 2, found.group(1)
