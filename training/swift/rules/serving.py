"""What comes after training: infer, deploy, rollout, export, sample."""

from __future__ import annotations

from training.swift.given import Given
from training.swift.rules.rule import Rule, visible_gpus

SERVERS = ("swift deploy", "swift rollout", "swift app", "swift eval")
EXPORT = ("swift export", "swift merge-lora")
ENCODES = ("embedding", "seq_cls", "reranker", "generative_reranker")


def _vllm_gpus(g: Given) -> str | None:
    rollout = g.command == "swift rollout"
    if g["infer_backend"] != "vllm" and not rollout:
        return None
    parts = ("vllm_tensor_parallel_size", "vllm_pipeline_parallel_size", "vllm_data_parallel_size")
    needed = 1
    for one in parts:
        needed *= g.get(one) or 1
    there = visible_gpus(g)
    return f"{needed}, and a node has {there}" if there and needed > there else None


def _interactive(g: Given) -> bool:
    """data_args.py _init_val_dataset_exists: without data to answer, infer asks at a terminal."""
    return not (g["val_dataset"] or g["cached_val_dataset"] or (g["dataset"] and g["split_dataset_ratio"] > 0))


RULES = (
    Rule("infer-needs-data", ("swift infer",), "val_dataset", _interactive,
         "without data infer asks at a terminal, and a fleet has none",
         "val_dataset: a file of questions; to chat use deploy", "swift/arguments/infer_args.py _init_ddp"),
    Rule("infer-stream", ("swift infer",), "stream", lambda g: g["stream"] is True and not _interactive(g),
         "stream is for a terminal: under torchrun infer refuses it", "Take stream out",
         "swift/arguments/infer_args.py _init_ddp"),
    Rule("vllm-encodes-async", ("swift infer", "swift deploy", "swift app", "swift eval"), "vllm_use_async_engine",
         lambda g: g["infer_backend"] == "vllm" and g["task_type"] in ENCODES and g["vllm_use_async_engine"] is False
         and g["task_type"],
         "vllm answers {} with its asynchronous engine alone", "Take vllm_use_async_engine out",
         "swift/arguments/infer_args.py _init_vllm_async_engine"),
    Rule("vllm-gpus", SERVERS, "vllm_tensor_parallel_size", _vllm_gpus,
         "vLLM would need the GPUs TP x PP x DP = {}", "Sizes whose product is at most a node's GPUs",
         "swift/arguments/deploy_args.py _check_device_count"),
    Rule("rollout-pipeline", ("swift rollout",), "vllm_pipeline_parallel_size",
         lambda g: g["vllm_pipeline_parallel_size"] > 1,
         "rollout has no pipeline parallelism", "vllm_tensor_parallel_size:",
         "swift/arguments/deploy_args.py _check_args"),
    Rule("rollout-reasoning", ("swift rollout",), "vllm_reasoning_parser", lambda g: g["vllm_reasoning_parser"],
         "rollout takes no vllm_reasoning_parser", "Take it out", "swift/arguments/deploy_args.py _check_args"),
    Rule("rollout-turns", ("swift rollout",), "vllm_use_async_engine",
         lambda g: g["multi_turn_scheduler"] and g["vllm_use_async_engine"] is False,
         "a multi_turn_scheduler needs vllm_use_async_engine", "vllm_use_async_engine: true",
         "swift/arguments/deploy_args.py _check_args"),
    Rule("rollout-context-manager", ("swift rollout",), "context_manager", lambda g: g["context_manager"],
         "context_manager is gone", "A multi_turn_scheduler of your own changes the history",
         "swift/arguments/deploy_args.py _check_deprecated_args"),
    Rule("export-quant-method", EXPORT, "quant_method", lambda g: g["quant_bits"] and not g["quant_method"],
         "quant_bits needs quant_method", "quant_method: awq, gptq or bnb",
         "swift/arguments/export_args.py __post_init__"),
    Rule("export-quant-bits", EXPORT, "quant_bits",
         lambda g: g["quant_method"] not in (None, "fp8") and not g["quant_bits"] and g["quant_method"],
         "quant_method {} needs quant_bits", "quant_bits: 4", "swift/arguments/export_args.py __post_init__"),
    Rule("export-calibration", EXPORT, "dataset",
         lambda g: g["quant_method"] in ("awq", "gptq") and not g["dataset"] and g["quant_method"],
         "{} needs a dataset to measure the weights' range by", "dataset: a few hundred rows like the training data",
         "swift/arguments/export_args.py __post_init__"),
    Rule("export-cached-packing", EXPORT, "packing", lambda g: g["to_cached_dataset"] and g["packing"],
         "to_cached_dataset tokenises alone: packing is the training's", "Take packing out",
         "swift/arguments/export_args.py __post_init__"),
    Rule("export-cached-streaming", EXPORT, "streaming", lambda g: g["to_cached_dataset"] and g["streaming"],
         "to_cached_dataset can't stream", "Take streaming out", "swift/arguments/export_args.py __post_init__"),
    Rule("export-mcore-merge", EXPORT, "merge_lora", lambda g: (g["to_mcore"] or g["to_hf"]) and g["merge_lora"],
         "to_mcore and to_hf of swift export merge no LoRA", "trainer: megatron, command: export",
         "swift/arguments/export_args.py __post_init__", "warning"),
    Rule("sample-output", ("swift sample",), "output_file",
         lambda g: g["output_file"] and any(one in g["output_file"] for one in "/\\"),
         "output_file is a name without a folder", "output_dir: for the folder",
         "swift/arguments/sampling_args.py __post_init__"),
    Rule("distill-needs-a-client", ("swift sample",), "sampler_engine",
         lambda g: g["sampler_type"] == "distill" and g["sampler_engine"] != "client",
         "sampler_type distill asks a server", "sampler_engine: client, with base_url in engine_kwargs",
         "swift/pipelines/sampling/distill_sampler.py"),
)  # fmt: skip
