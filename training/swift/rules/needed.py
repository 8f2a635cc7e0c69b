"""What a command can't do without."""

from __future__ import annotations

from training.swift.given import Given
from training.swift.rules.rule import MEGATRON, TRAIN, Rule

USES = (
    "swift infer", "swift deploy", "swift rollout", "swift sample", "swift export", "swift merge-lora", "swift eval",
    "swift app",
)  # fmt: skip


def _no_model_to_train(g: Given) -> bool:
    if g["model"] or (g["load_args"] and (g["adapters"] or g["resume_from_checkpoint"])):
        return False
    return not (g["resume_from_checkpoint"] and g["resume_only_model"] and g["tuner_type"] == "full")


def _nothing_to_export(g: Given) -> bool:
    does = ("quant_method", "quant_bits", "merge_lora", "to_cached_dataset", "to_ollama", "to_mcore", "to_hf")
    return not any(g[one] for one in (*does, "push_to_hub", "to_peft_format"))


RULES = (
    Rule("model", TRAIN, "model", _no_model_to_train,
         "no model is given", "model: a hub id, or a folder",
         "swift/arguments/base_args/model_args.py _init_model_info"),
    Rule("model-or-adapters", USES, "model",
         lambda g: not (g["model"] or g["adapters"] or g.get("mcore_model") or g.get("mcore_adapter")),
         "neither model nor adapters is given, which a server's URL does not spare",
         "adapters: a checkpoint of a LoRA run; model: a hub id, a folder, or what the server calls it",
         "swift/arguments/base_args/model_args.py __post_init__"),
    Rule("dataset", (*TRAIN, *MEGATRON), "dataset", lambda g: not (g["dataset"] or g["cached_dataset"]),
         "no dataset is given", "dataset: a file beside the job, or a hub id",
         "swift/arguments/sft_args.py __post_init__, swift/megatron/arguments/sft_args.py"),
    Rule("dataset-to-sample", ("swift sample",), "dataset",
         lambda g: not (g["dataset"] or g["cached_dataset"] or g["cache_files"]),
         "no dataset is given: there is nothing to sample from", "dataset: a file beside the job, or a hub id",
         "swift/pipelines/sampling/sampling.py", "warning"),
    Rule("benchmarks", ("swift eval",), "eval_dataset", lambda g: not g["eval_dataset"],
         "no eval_dataset is given: nothing is measured", "eval_dataset: [gsm8k], say",
         "swift/pipelines/eval/eval.py", "warning"),
    Rule("evaluation-by-vllm", ("swift eval",), "infer_backend",
         lambda g: g["infer_backend"] == "vllm" and not g["eval_url"],
         "no profile has vLLM beside OpenCompass, which every swift eval imports",
         "infer_backend: transformers, or eval_url of a model that is deployed by vLLM",
         "swift/arguments/eval_args.py list_eval_dataset", "warning"),
    Rule("weights", MEGATRON, "model",
         lambda g: not (g["model"] or g["mcore_model"] or g["perform_initialization"]),
         "neither model nor mcore_model is given", "model: a hub id, or a folder of HF weights",
         "swift/megatron/arguments/sft_args.py __post_init__"),
    Rule("iterations", MEGATRON, "num_train_epochs", lambda g: not (g["train_iters"] or g["num_train_epochs"]),
         "neither num_train_epochs nor train_iters is given", "num_train_epochs: 1",
         "swift/megatron/arguments/megatron_args.py init_iters"),
    Rule("adapters-to-merge", ("swift merge-lora",), "adapters", lambda g: not g["adapters"],
         "no adapters are given: there is nothing to merge", "adapters: the checkpoint of a LoRA run",
         "swift/pipelines/export/merge_lora.py"),
    Rule("something-to-export", ("swift export",), "merge_lora", _nothing_to_export,
         "nothing is asked of export: it would end at once",
         "One of merge_lora, quant_method, to_cached_dataset, to_ollama, to_mcore, to_hf, push_to_hub",
         "swift/pipelines/export/export.py run"),
    Rule("a-direction", ("megatron export",), "to_mcore", lambda g: bool(g["to_mcore"]) == bool(g["to_hf"]),
         "megatron export takes one of to_mcore and to_hf", "to_mcore: true from HF weights, to_hf: true back",
         "swift/megatron/arguments/export_args.py _init_output_dir"),
)  # fmt: skip
