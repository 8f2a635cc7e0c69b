"""`swift sft`, `pt` and `rlhf`: contradictions that do not depend on the kind of RLHF."""

from __future__ import annotations

import re

from training.swift.arguments import similar
from training.swift.given import Given
from training.swift.rules.rule import TRAIN, Rule, gpus_a_process, visible_gpus

FLASH = ("flash_attn", "flash_attention_2", "flash_attention_3", "flash_attention_4")
ZERO = ("zero0", "zero1", "zero2", "zero3", "zero2_offload", "zero3_offload")
#: Families whose model_type has no `llama` in it, by the way their hub ids begin.
NOT_LLAMA = re.compile(r"(^|/)(qwen|qwq|internlm|chatglm|glm|gemma|phi-)", re.IGNORECASE)
QUANTISED = re.compile(r"(?<![a-z])(gptq|awq)(?![a-z])|bnb-4bit", re.IGNORECASE)
ONLY_LORA = (
    "lora_rank", "lora_alpha", "lora_dropout", "lora_bias", "lora_dtype", "lorap_lr_ratio", "use_dora", "use_rslora",
)  # fmt: skip


def quantised(g: Given) -> str:
    """How the model's own weights are quantised, from its name; "" where the name says nothing."""
    found = QUANTISED.search(g["model"] or "")
    return found.group(0).upper() if found else ""


def has_val(g: Given) -> bool:
    """Whether there is anything to evaluate on (data_args.py _init_val_dataset_exists)."""
    split = g["dataset"] and g["split_dataset_ratio"] > 0 and not g["streaming"]
    return bool(split or g["val_dataset"] or g["cached_val_dataset"] or g.get("eval_dataset"))


def _without_flash(g: Given) -> str | None:
    asked = "packing" if g["packing"] else "padding_free" if g["padding_free"] else None
    return asked if g["attn_impl"] not in FLASH else None


def _quantised_and_full(g: Given) -> str | None:
    if g["tuner_type"] != "full":
        return None
    method = g["quant_method"] if g["quant_method"] != "fp8" else None
    return method or quantised(g) or None


def _not_llama(g: Given) -> bool:
    if g["tuner_type"] != "longlora":
        return False
    if g["model_type"]:
        return "llama" not in g["model_type"]
    return bool(NOT_LLAMA.search(g["model"] or "")) and "llama" not in g["model"].lower()


def _no_such_deepspeed(g: Given) -> str | None:
    value = (g["deepspeed"] or "").strip()
    if not value or value in ZERO or value.startswith("{") or value.endswith(".json") or "/" in value:
        return None
    near = similar(value, ZERO)
    return f"{value!r}{f', did you mean {near[0]}?' if near else ''}"


def _spread_and_sharded(g: Given) -> str | None:
    how = (
        "deepspeed"
        if g["deepspeed"]
        else "fsdp"
        if g["fsdp"]
        else "use_liger_kernel"
        if g["use_liger_kernel"]
        else None
    )
    if how is None or g["use_ray"]:
        return None
    return how if gpus_a_process(g) >= 2 else None


def _unused_lora(g: Given) -> str | None:
    return ", ".join(one for one in ONLY_LORA if one in g) if g["tuner_type"] == "full" else None


def _wrong_bits(g: Given) -> str | None:
    allowed = {"bnb": (4, 8), "quanto": (2, 4, 8, "float8"), "hqq": (1, 2, 3, 4, 8), "eetq": (8,)}
    method, bits = g["quant_method"], g["quant_bits"]
    if method not in allowed or bits is None or bits in allowed[method]:
        return None
    return f"{bits} bits: {method} has {', '.join(map(str, allowed[method]))}"


RULES = (
    Rule("packing-needs-flash-attention", TRAIN, "attn_impl", _without_flash,
         "{} needs flash attention", "attn_impl: flash_attn (or flash_attention_2, _3, _4)",
         "swift/arguments/sft_args.py _check_padding_free"),
    Rule("streaming-needs-max-steps", TRAIN, "max_steps", lambda g: g["streaming"] and g["max_steps"] <= 0,
         "streaming data has no length: nothing says when the run ends", "max_steps: the steps to train",
         "transformers/trainer.py set_initial_training_values"),
    Rule("streaming-and-lazy", TRAIN, "lazy_tokenize", lambda g: g["lazy_tokenize"] and g["streaming"],
         "lazy_tokenize and streaming exclude each other", "Take lazy_tokenize out",
         "swift/arguments/base_args/base_args.py _init_lazy_tokenize"),
    Rule("packing-and-lazy", TRAIN, "lazy_tokenize", lambda g: g["lazy_tokenize"] and g["packing"],
         "lazy_tokenize and packing exclude each other: packing needs each row's length", "Take lazy_tokenize out",
         "swift/arguments/base_args/base_args.py _init_lazy_tokenize"),
    Rule("streaming-and-cached", TRAIN, "streaming", lambda g: g["streaming"] and g["cached_dataset"],
         "a cached_dataset can't be streamed", "Take streaming out", "swift/pipelines/train/sft.py _prepare_dataset"),
    Rule("streaming-and-group-by-length", TRAIN, "group_by_length", lambda g: g["streaming"] and g["group_by_length"],
         "group_by_length needs the length of every row, which streaming does not know: it does nothing",
         "Take one of them out", "swift/trainers/mixin.py get_train_dataloader", "warning"),
    Rule("deepspeed-or-fsdp", TRAIN, "fsdp", lambda g: g["deepspeed"] and g["fsdp"],
         "deepspeed and fsdp exclude each other", "Take one of them out", "swift/arguments/sft_args.py _init_fsdp"),
    Rule("deepspeed-names", TRAIN, "deepspeed", _no_such_deepspeed,
         "there is no deepspeed {}", f"One of {', '.join(ZERO)}, a .json file on the nodes, or a JSON mapping",
         "swift/arguments/sft_args.py _init_deepspeed"),
    Rule("deepspeed-and-device-map", TRAIN, "device_map", lambda g: g["device_map"] and g["deepspeed"],
         "device_map and deepspeed exclude each other: both place the weights", "Take device_map out",
         "transformers/integrations/accelerate.py check_and_set_device_map"),
    Rule("one-gpu-a-process", TRAIN, "deepspeed", _spread_and_sharded,
         "a process that sees several GPUs spreads the model over them (device_map), which {} does not allow",
         "nproc_per_node: the GPUs of a node, or leave it out",
         "swift/arguments/sft_args.py _init_deepspeed, _init_fsdp; swift/utils/env.py is_mp"),
    Rule("processes-divide-gpus", TRAIN, "nproc_per_node",
         lambda g: visible_gpus(g) and visible_gpus(g) % g.of_world().nproc_per_node and f"{visible_gpus(g)}",
         "it does not divide the {} GPUs that a node's processes see", "nproc_per_node: a divisor of it",
         "swift/utils/env.py is_mp"),
    Rule("autotp-needs-deepspeed", TRAIN, "deepspeed_autotp_size",
         lambda g: g["deepspeed_autotp_size"] and g["deepspeed"] not in ("zero0", "zero1", "zero2"),
         "deepspeed_autotp_size needs deepspeed zero0, zero1 or zero2", "deepspeed: zero2",
         "swift/arguments/sft_args.py deepspeed_autotp_size"),
    Rule("autotp-needs-full", TRAIN, "deepspeed_autotp_size",
         lambda g: g["deepspeed_autotp_size"] and g["tuner_type"] != "full",
         "deepspeed_autotp_size works with tuner_type full alone", "tuner_type: full",
         "swift/arguments/sft_args.py deepspeed_autotp_size"),
    Rule("hpz-needs-deepspeed", TRAIN, "zero_hpz_partition_size",
         lambda g: g["zero_hpz_partition_size"] and g["deepspeed"] != "zero3" and g["deepspeed"] in (None, *ZERO),
         "zero_hpz_partition_size does something with deepspeed zero3 alone", "deepspeed: zero3",
         "swift/arguments/sft_args.py _init_deepspeed", "warning"),
    Rule("fsdp-saves-all", TRAIN, "save_only_model", lambda g: g["fsdp"] == "fsdp2" and g["save_only_model"],
         "fsdp2 saves in shards, which save_only_model can't", "Take save_only_model out",
         "swift/arguments/sft_args.py _check_fsdp2_compatibility"),
    Rule("fsdp-checkpoints-itself", TRAIN, "gradient_checkpointing",
         lambda g: g["fsdp"] == "fsdp2" and g["gradient_checkpointing"],
         "fsdp2 has activation checkpointing of its own: ms-swift turns this one off", "gradient_checkpointing: false",
         "swift/arguments/sft_args.py _check_fsdp2_compatibility", "note"),
    Rule("sequence-parallel-divides", TRAIN, "sequence_parallel_size",
         lambda g: g["sequence_parallel_size"] > 1
         and g.of_world().size % g["sequence_parallel_size"] and f"{g.of_world().size}",
         "sequence_parallel_size does not divide the {} processes", "A divisor of the world size",
         "swift/sequence_parallel/ulysses.py"),
    Rule("quant-needs-bits", TRAIN, "quant_bits",
         lambda g: g["quant_method"] not in (None, "fp8") and g["quant_bits"] is None and g["quant_method"],
         "quant_method {} needs quant_bits", "quant_bits: 4", "swift/arguments/base_args/quant_args.py"),
    Rule("quant-bits", TRAIN, "quant_bits", _wrong_bits,
         "it can't be {}", "quant_bits: 4 or 8", "swift/arguments/base_args/quant_args.py"),
    Rule("bits-need-quant-method", TRAIN, "quant_bits", lambda g: g["quant_bits"] and not g["quant_method"],
         "quant_bits does nothing without quant_method: the model is loaded whole", "quant_method: bnb",
         "swift/arguments/base_args/quant_args.py get_quantization_config", "warning"),
    Rule("full-needs-whole-weights", TRAIN, "tuner_type", _quantised_and_full,
         "weights quantised by {} can't be trained in full", "tuner_type: lora, or the model that is not quantised",
         "transformers/trainer.py validate_quantization_for_training"),
    Rule("quantised-once", TRAIN, "quant_method", lambda g: g["quant_method"] and quantised(g),
         "the model's weights are {} already", "Take quant_method and quant_bits out",
         "transformers/quantizers/auto.py merge_quantization_configs"),
    Rule("longlora-is-llamas", TRAIN, "tuner_type", _not_llama,
         "longlora works on Llama models alone", "tuner_type: lora", "swift/pipelines/train/tuner.py"),
    Rule("unsloth-is-lora", TRAIN, "tuner_backend",
         lambda g: g["tuner_backend"] == "unsloth" and g["tuner_type"] == "longlora",
         "unsloth has no longlora", "tuner_type: lora", "swift/pipelines/train/tuner.py"),
    Rule("vera-needs-names", TRAIN, "target_modules",
         lambda g: g["tuner_type"] == "vera" and g["target_modules"] == ["all-linear"],
         "vera's target_modules are of one size: of all-linear it trains those alone that are of v_proj's",
         "target_modules: [q_proj], say", "swift/pipelines/train/tuner.py get_vera_target_modules", "warning"),
    Rule("lora-options-in-full", TRAIN, "tuner_type", _unused_lora,
         "{} does nothing with tuner_type full", "Take it out, or tuner_type: lora",
         "swift/pipelines/train/tuner.py prepare_model", "warning"),
    Rule("one-warmup", TRAIN, "warmup_steps", lambda g: g["warmup_ratio"] and g["warmup_steps"],
         "warmup_ratio and warmup_steps exclude each other", "Take one of them out",
         "swift/trainers/arguments.py _handle_hf_removed_args"),
    Rule("warmup-is-a-ratio", TRAIN, "warmup_ratio", lambda g: g["warmup_ratio"] >= 1,
         "warmup_ratio is a part of the run, below 1", "warmup_steps: for a number of steps",
         "swift/trainers/arguments.py _handle_hf_removed_args"),
    Rule("one-precision", TRAIN, "fp16", lambda g: g["fp16"] and g["bf16"],
         "fp16 and bf16 exclude each other", "Take both out: they follow torch_dtype",
         "transformers/training_args.py __post_init__"),
    Rule("best-needs-evaluation", TRAIN, "load_best_model_at_end",
         lambda g: g["load_best_model_at_end"] and not has_val(g),
         "without data to evaluate on there is no best checkpoint", "split_dataset_ratio: 0.01, or a val_dataset",
         "transformers/training_args.py __post_init__"),
    Rule("no-evaluation", TRAIN, "split_dataset_ratio",
         lambda g: not has_val(g) and ("eval_steps" in g or g["eval_strategy"] not in (None, "no")),
         "nothing is evaluated: split_dataset_ratio is 0 and there is no val_dataset",
         "split_dataset_ratio: 0.01, or a val_dataset", "swift/arguments/sft_args.py __post_init__", "note"),
    Rule("split-is-of-pretraining", ("swift sft", "swift rlhf"), "truncation_strategy",
         lambda g: g["truncation_strategy"] == "split" and g["use_chat_template"] is not False,
         "truncation_strategy split is for pre-training alone", "truncation_strategy: delete",
         "swift/pipelines/train/sft.py _encode_dataset"),
    Rule("split-and-lazy", TRAIN, "lazy_tokenize",
         lambda g: g["truncation_strategy"] == "split" and g["lazy_tokenize"],
         "truncation_strategy split does not go with lazy_tokenize", "Take lazy_tokenize out",
         "swift/pipelines/train/sft.py _encode_dataset"),
    Rule("max-length", TRAIN, "max_length",
         lambda g: "max_length" not in g and not g["cached_dataset"],
         "max_length is not given: it is the model's whole context, 32k to 262k tokens", "max_length: 2048, say",
         "swift/arguments/base_args/base_args.py __post_init__", "note"),
)  # fmt: skip
