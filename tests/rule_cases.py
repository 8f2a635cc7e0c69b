"""A command that breaks each rule of `training.swift.rules`, and what mends it: for its tests and for its judge."""

from __future__ import annotations

from typing import Any

from training.swift.given import World

ONE = World(1, 1, 1)
EIGHT = World(1, 8, 8)
TWO_NODES = World(2, 4, 4)
BASE: dict[str, dict[str, Any]] = {
    "swift sft": {"model": "Qwen/Qwen3-8B", "dataset": ["a.jsonl"], "max_length": 2048},
    "swift pt": {"model": "Qwen/Qwen3-8B", "dataset": ["a.jsonl"], "max_length": 2048},
    "swift rlhf": {"model": "Qwen/Qwen3-8B", "dataset": ["a.jsonl"], "max_length": 2048},
    "megatron sft": {"model": "Qwen/Qwen3-8B", "dataset": ["a.jsonl"], "num_train_epochs": 1},
    "megatron rlhf": {"model": "Qwen/Qwen3-8B", "dataset": ["a.jsonl"], "num_train_epochs": 1},
    "megatron export": {"model": "Qwen/Qwen3-8B", "to_mcore": True},
    "swift infer": {"model": "Qwen/Qwen3-8B", "val_dataset": ["a.jsonl"]},
    "swift deploy": {"model": "Qwen/Qwen3-8B"},
    "swift rollout": {"model": "Qwen/Qwen3-8B"},
    "swift export": {"adapters": ["output/v0-20260101-000000/checkpoint-10"], "merge_lora": True},
    "swift merge-lora": {"adapters": ["output/v0-20260101-000000/checkpoint-10"]},
    "swift sample": {"model": "Qwen/Qwen3-8B", "dataset": ["a.jsonl"]},
    "swift eval": {"model": "Qwen/Qwen3-8B", "eval_dataset": ["gsm8k"]},
    "swift app": {"model": "Qwen/Qwen3-8B"},
    "swift web-ui": {},
    "megatron pt": {"model": "Qwen/Qwen3-8B", "dataset": ["a.jsonl"], "num_train_epochs": 1},
}  # fmt: skip
GRPO = {"rlhf_type": "grpo", "reward_funcs": ["accuracy"]}
SERVER = {"use_vllm": True, "vllm_mode": "server", "vllm_server_host": "10.0.0.9"}
GONE = None  # takes an argument of BASE out

#: rule -> command, what breaks it, what mends it, the processes where they matter.
BROKEN: dict[str, tuple[str, dict[str, Any], dict[str, Any], World | None]] = {
    "model": ("swift sft", {"model": GONE}, {"model": "a/b"}, None),
    "model-or-adapters": ("swift deploy", {"model": GONE}, {"adapters": ["a/b"]}, None),
    "dataset": ("swift sft", {"dataset": GONE}, {"cached_dataset": ["cached"]}, None),
    "dataset-to-sample": ("swift sample", {"dataset": GONE}, {"dataset": ["a.jsonl"]}, None),
    "benchmarks": ("swift eval", {"eval_dataset": GONE}, {"eval_dataset": ["gsm8k"]}, None),
    "evaluation-by-vllm": ("swift eval", {"infer_backend": "vllm"}, {"eval_url": "http://h:8000/v1"}, None),
    "weights": ("megatron sft", {"model": GONE}, {"mcore_model": "m-mcore"}, None),
    "iterations": ("megatron sft", {"num_train_epochs": GONE}, {"train_iters": 10}, None),
    "adapters-to-merge": ("swift merge-lora", {"adapters": GONE, "model": "a/b"}, {"adapters": ["c"]}, None),
    "something-to-export": ("swift export", {"merge_lora": GONE}, {"push_to_hub": True}, None),
    "weights-to-convert": ("megatron export", {"model": GONE}, {"mcore_model": "m-mcore"}, None),  # MEG-8, MEG-9
    "one-adapter": ("megatron export", {"adapters": ["a", "b"]}, {"adapters": ["b"]}, None),
    "nothing-to-convert": (
        "megatron export", {"to_mcore": GONE, "to_hf": True}, {"mcore_adapter": "output/checkpoint-9"}, None,
    ),
    "precision-of-an-adapter": (
        "megatron export", {"test_convert_precision": True, "mcore_adapter": "a"}, {"mcore_adapter": GONE}, None,
    ),
    "resumed-stream": (
        "megatron pt", {"streaming": True, "train_iters": 9, "mcore_model": "m", "finetune": False}, {"finetune": True},
        None,
    ),
    "a-direction": ("megatron export", {"to_mcore": GONE}, {"to_hf": True}, None),
    # NOTE, PARAM: packing, streaming
    "packing-needs-flash-attention": ("swift sft", {"packing": True}, {"attn_impl": "flash_attn"}, None),
    "streaming-needs-max-steps": ("swift pt", {"streaming": True}, {"max_steps": 100}, None),
    "streaming-and-lazy": (
        "swift sft", {"streaming": True, "max_steps": 9, "lazy_tokenize": True}, {"lazy_tokenize": GONE}, None,
    ),
    "packing-and-lazy": (
        "swift sft", {"packing": True, "attn_impl": "flash_attn", "lazy_tokenize": True}, {"packing": False}, None,
    ),
    "streaming-and-cached": (
        "swift sft", {"streaming": True, "max_steps": 9, "cached_dataset": ["c"]}, {"streaming": False}, None,
    ),
    "streaming-and-group-by-length": (
        "swift sft", {"streaming": True, "max_steps": 9, "group_by_length": True}, {"streaming": False}, None,
    ),
    "deepspeed-or-fsdp": (
        "swift sft", {"deepspeed": "zero2", "fsdp": "fsdp2", "gradient_checkpointing": False},
        {"deepspeed": GONE}, None,
    ),
    "deepspeed-names": ("swift sft", {"deepspeed": "zer03"}, {"deepspeed": "zero3"}, None),
    "deepspeed-and-device-map": (
        "swift sft", {"deepspeed": "zero2", "device_map": "auto"}, {"device_map": GONE}, None,
    ),
    "one-gpu-a-process": (
        "swift sft", {"fsdp": "fsdp2", "gradient_checkpointing": False}, {"fsdp": GONE}, World(1, 1, 8),
    ),
    "processes-divide-gpus": ("swift sft", {}, {}, World(1, 3, 8)),
    "autotp-needs-deepspeed": (
        "swift sft", {"deepspeed_autotp_size": 2, "tuner_type": "full"}, {"deepspeed": "zero2"}, None,
    ),
    "autotp-needs-full": (
        "swift sft", {"deepspeed_autotp_size": 2, "deepspeed": "zero2"}, {"tuner_type": "full"}, None,
    ),
    "hpz-needs-deepspeed": ("swift sft", {"zero_hpz_partition_size": 8}, {"deepspeed": "zero3"}, None),
    "fsdp-saves-all": (
        "swift sft", {"fsdp": "fsdp2", "gradient_checkpointing": False, "save_only_model": True},
        {"save_only_model": False}, None,
    ),
    "fsdp-checkpoints-itself": ("swift sft", {"fsdp": "fsdp2"}, {"gradient_checkpointing": False}, None),
    "sequence-parallel-divides": ("swift sft", {"sequence_parallel_size": 3}, {"sequence_parallel_size": 4}, EIGHT),
    "quant-needs-bits": ("swift sft", {"quant_method": "bnb"}, {"quant_bits": 4}, None),
    "quant-bits": ("swift sft", {"quant_method": "bnb", "quant_bits": 3}, {"quant_bits": 8}, None),
    "bits-need-quant-method": ("swift sft", {"quant_bits": 4}, {"quant_method": "bnb"}, None),
    "full-needs-whole-weights": (
        "swift sft", {"model": "Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4", "tuner_type": "full"},
        {"tuner_type": "lora"}, None,
    ),
    "quantised-once": (
        "swift sft", {"model": "Qwen/Qwen2.5-7B-Instruct-AWQ", "quant_method": "bnb", "quant_bits": 4},
        {"model": "Qwen/Qwen2.5-7B-Instruct"}, None,
    ),
    "longlora-is-llamas": (
        "swift sft", {"tuner_type": "longlora"}, {"model": "LLM-Research/Meta-Llama-3.1-8B-Instruct"}, None,
    ),
    "unsloth-is-lora": (
        "swift sft", {"tuner_backend": "unsloth", "tuner_type": "longlora", "model": "a/Llama-2-7b"},
        {"tuner_type": "lora"}, None,
    ),
    "vera-needs-names": ("swift sft", {"tuner_type": "vera"}, {"target_modules": ["q_proj"]}, None),
    "lora-options-in-full": ("swift sft", {"tuner_type": "full", "lora_rank": 8}, {"tuner_type": "lora"}, None),
    "one-warmup": ("swift sft", {"warmup_ratio": 0.1, "warmup_steps": 10}, {"warmup_steps": GONE}, None),
    "warmup-is-a-ratio": ("swift sft", {"warmup_ratio": 5}, {"warmup_ratio": 0.05}, None),
    "one-precision": ("swift sft", {"fp16": True, "bf16": True}, {"fp16": False}, None),
    "best-needs-evaluation": ("swift sft", {"load_best_model_at_end": True}, {"split_dataset_ratio": 0.01}, None),
    "no-evaluation": ("swift sft", {"eval_steps": 10}, {"val_dataset": ["b.jsonl"]}, None),
    "split-is-of-pretraining": ("swift sft", {"truncation_strategy": "split"}, {"use_chat_template": False}, None),
    "split-and-lazy": (
        "swift pt", {"truncation_strategy": "split", "lazy_tokenize": True}, {"lazy_tokenize": False}, None,
    ),
    "max-length": ("swift sft", {"max_length": GONE}, {"max_length": 2048}, None),
    "no-ref-model": ("swift rlhf", {"ref_model": "a/b"}, {"tuner_type": "full"}, None),
    "several-losses": (
        "swift rlhf", {"rlhf_type": "kto", "loss_type": ["kto", "bco"]}, {"rlhf_type": "dpo"}, None,
    ),
    "loss-weights": (
        "swift rlhf", {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0]}, {"loss_weights": [1.0, 0.2]}, None,
    ),
    "packed-rlhf": (
        "swift rlhf", {"rlhf_type": "orpo", "padding_free": True, "attn_impl": "flash_attn"},
        {"rlhf_type": "dpo"}, None,
    ),
    "sequence-parallel-rlhf": (
        "swift rlhf", {"rlhf_type": "kto", "sequence_parallel_size": 2}, {"rlhf_type": "dpo"}, World(1, 2, 2),
    ),
    "ppo-lora-needs-deepspeed": (
        "swift rlhf",
        {"rlhf_type": "ppo", "reward_model": ["a/rm"], "tuner_type": "lora"},
        {"deepspeed": "zero2"},
        EIGHT,
    ),
    "ppo-goes-by-epochs": (
        "swift rlhf",
        {"rlhf_type": "ppo", "reward_model": ["a/rm"], "tuner_type": "full", "max_steps": 9},
        {"max_steps": GONE},
        None,
    ),
    "ppo-needs-a-reward-model": (
        "swift rlhf", {"rlhf_type": "ppo", "tuner_type": "full"}, {"reward_model": ["a/rm"]}, None,
    ),
    "grpo-needs-a-reward": ("swift rlhf", {"rlhf_type": "grpo"}, {"reward_funcs": ["accuracy"]}, None),
    "grpo-groups": ("swift rlhf", {**GRPO, "num_generations": 1}, {"num_generations": 8}, None),
    "grpo-cached": ("swift rlhf", {**GRPO, "cached_dataset": ["c"]}, {"cached_dataset": GONE}, None),
    "grpo-truncation": ("swift rlhf", {**GRPO, "truncation_strategy": "right"}, {"truncation_strategy": "left"}, None),
    "soft-overlong": (
        "swift rlhf", {"rlhf_type": "grpo", "reward_funcs": ["accuracy", "soft_overlong"]},
        {"soft_cache_length": 4096}, None,
    ),
    "vllm-needs-a-mode": ("swift rlhf", {**GRPO, "use_vllm": True}, {"vllm_mode": "colocate"}, None),
    "a-mode-needs-vllm": ("swift rlhf", {**GRPO, "vllm_mode": "colocate"}, {"use_vllm": True}, None),
    "server-needs-a-host": (
        "swift rlhf", {**GRPO, "use_vllm": True, "vllm_mode": "server"}, {"vllm_server_host": ["10.0.0.9"]}, None,
    ),
    "async-needs-a-server": ("swift rlhf", {**GRPO, "async_generate": True}, SERVER, None),
    "async-and-turns": (
        "swift rlhf", {**GRPO, **SERVER, "async_generate": True, "multi_turn_scheduler": "math_tip_trick"},
        {"async_generate": False}, None,
    ),
    "vllm-and-device-map": (
        "swift rlhf", {**GRPO, "use_vllm": True, "vllm_mode": "colocate", "num_generations": 2,
                       "per_device_train_batch_size": 2}, {"use_vllm": False, "vllm_mode": GONE}, World(1, 1, 2),
    ),
    "liger-grpo": ("swift rlhf", {**GRPO, "use_liger_kernel": True, "delta": 2.0}, {"delta": GONE}, None),
    "one-teacher": (
        "swift rlhf", {"rlhf_type": "gkd", "teacher_model": "a/b", "teacher_model_server": "http://h:8000",
                       "gkd_logits_topk": 64}, {"teacher_model": GONE}, None,
    ),
    "teacher-of-none": ("swift rlhf", {"teacher_model": "a/b"}, {"rlhf_type": "gkd"}, None),
    "teaching-itself-with-liger": (
        "swift rlhf", {"rlhf_type": "gkd", "use_liger_kernel": True}, {"teacher_model": "a/b"}, None,
    ),
    "gkd-seq-kd": ("swift rlhf", {"rlhf_type": "gkd", "seq_kd": True}, {"seq_kd": False}, None),
    "gkd-async": (
        "swift rlhf", {"rlhf_type": "gkd", **SERVER, "async_generate": True}, {"async_generate": False}, None,
    ),
    "gkd-topk": (
        "swift rlhf", {"rlhf_type": "gkd", "teacher_model_server": "http://h:8000"}, {"gkd_logits_topk": 64}, None,
    ),
    "gkd-topk-positive": ("swift rlhf", {"rlhf_type": "gkd", "gkd_logits_topk": 0}, {"gkd_logits_topk": 64}, None),
    "gkd-topk-and-liger": (
        "swift rlhf", {"rlhf_type": "gkd", "teacher_model": "a/b", "gkd_logits_topk": 64, "use_liger_kernel": True},
        {"use_liger_kernel": False}, None,
    ),
    "generation-batch": (
        "swift rlhf", {**GRPO, "num_generations": 8, "per_device_train_batch_size": 1},
        {"per_device_train_batch_size": 2}, World(1, 4, 4),
    ),
    "generation-batch-of-evaluation": (
        "swift rlhf", {**GRPO, "num_generations": 8, "per_device_train_batch_size": 4, "val_dataset": ["b"],
                       "per_device_eval_batch_size": 1}, {"per_device_eval_batch_size": 4}, World(1, 2, 2),
    ),
    "kto-batch": (
        "swift rlhf", {"rlhf_type": "kto", "gradient_accumulation_steps": 1}, {"per_device_train_batch_size": 2}, ONE,
    ),
    # MEG-13: TP x PP x CP x DP
    "megatron-gpus": ("megatron sft", {"tensor_model_parallel_size": 3}, {"tensor_model_parallel_size": 4}, EIGHT),
    "megatron-experts": (
        "megatron sft", {"expert_model_parallel_size": 3}, {"expert_model_parallel_size": 8}, EIGHT,
    ),
    # MEG-11
    "megatron-batch": ("megatron sft", {"micro_batch_size": 3}, {"micro_batch_size": 2}, EIGHT),
    "megatron-generation-batch": (
        "megatron rlhf", {**GRPO, "vllm_mode": "colocate", "global_batch_size": 16, "num_generations": 8},
        {"global_batch_size": 64}, EIGHT,
    ),
    # MEG-1: QLoRA -> swift
    "megatron-qlora": ("megatron sft", {"quant_method": "bnb", "quant_bits": 4}, {"quant_method": GONE}, None),
    "megatron-quantised-model": (
        "megatron sft", {"model": "Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4"}, {"model": "Qwen/Qwen2.5-7B-Instruct"}, None,
    ),
    "experts-and-tensors": (
        "megatron sft", {"expert_model_parallel_size": 2, "tensor_model_parallel_size": 2},
        {"sequence_parallel": True}, None,
    ),
    "tensors-in-a-node": (
        "megatron sft", {"tensor_model_parallel_size": 8, "sequence_parallel": True},
        {"tensor_model_parallel_size": 4}, TWO_NODES,
    ),
    "megatron-streaming": ("megatron sft", {"streaming": True}, {"train_iters": 100}, None),
    "megatron-streaming-epoch": (
        "megatron sft", {"streaming": True, "train_iters": 100, "save_strategy": "epoch"},
        {"save_strategy": "steps"}, None,
    ),
    "recompute-method": (
        "megatron sft", {"recompute_method": "uniform"}, {"recompute_granularity": "full"}, None,
    ),
    "megatron-group-by-length": ("megatron sft", {"group_by_length": True}, {"padding_free": False}, None),
    "keep-two": ("megatron sft", {"save_total_limit": 1}, {"save_total_limit": 2}, None),
    "async-save": ("megatron sft", {"async_save": True, "save_total_limit": 2}, {"save_total_limit": GONE}, None),
    "pipeline-ends": (
        "megatron sft", {"decoder_first_pipeline_num_layers": 25}, {"pipeline_model_parallel_size": 2}, None,
    ),
    "freeze-ratio": (
        "megatron sft", {"freeze_parameters_ratio": 0.5, "pipeline_model_parallel_size": 2},
        {"pipeline_model_parallel_size": 1}, None,
    ),
    "lora-llm": ("megatron sft", {"tuner_type": "lora_llm"}, {"no_save_optim": True}, None),
    "tp-overlap": (
        "megatron sft", {"tp_comm_overlap": True, "tensor_model_parallel_size": 2}, {"sequence_parallel": True}, None,
    ),
    "sequence-of-one": ("megatron sft", {"sequence_parallel": True}, {"tensor_model_parallel_size": 2}, None),
    "muon-overlap": (
        "megatron sft", {"optimizer": "muon", "overlap_grad_reduce": True}, {"optimizer": "dist_muon"}, None,
    ),
    "muon-lr": ("megatron sft", {"muon_lr": 1e-3}, {"optimizer": "muon"}, None),
    "bridge-lora": (
        "megatron sft", {"bridge_backend": "megatron-bridge", "tuner_type": "lora"}, {"tuner_type": "full"}, None,
    ),
    "megatron-fsdp-optimizer": (
        "megatron sft", {"use_megatron_fsdp": True, "optimizer": "muon"}, {"use_megatron_fsdp": False}, None,
    ),
    "megatron-fsdp-connections": ("megatron sft", {"use_megatron_fsdp": True}, {"use_megatron_fsdp": False}, None),
    "packed-attention": ("megatron sft", {"attention_backend": "unfused"}, {"padding_free": False}, None),
    "megatron-grpo-without": ("megatron rlhf", {**GRPO, "num_iterations": 2}, {"num_iterations": 1}, None),
    "megatron-grpo-vllm": ("megatron rlhf", {**GRPO, "use_vllm": False}, {"use_vllm": True}, None),
    "megatron-server-host": (
        "megatron rlhf", {**GRPO, "vllm_mode": "server"}, {"vllm_server_host": ["10.0.0.9"]}, None,
    ),
    "megatron-truncation": (
        "megatron rlhf", {**GRPO, "truncation_strategy": "right"}, {"truncation_strategy": "delete"}, None,
    ),
    "megatron-soft-overlong": (
        "megatron rlhf", {"rlhf_type": "grpo", "reward_funcs": ["soft_overlong"]}, {"soft_cache_length": 1024}, None,
    ),
    "megatron-gkd-seq-kd": ("megatron rlhf", {"rlhf_type": "gkd", "seq_kd": True}, {"seq_kd": False}, None),
    "megatron-gkd-topk": (
        "megatron rlhf", {"rlhf_type": "gkd", "teacher_model_server": "http://h:8000"}, {"gkd_logits_topk": 9}, None,
    ),
    "megatron-one-teacher": (
        "megatron rlhf", {"rlhf_type": "gkd", "teacher_model_server": "http://h:8000", "teacher_model": "a/b",
                          "gkd_logits_topk": 9}, {"teacher_model": GONE}, None,
    ),
    "infer-needs-data": ("swift infer", {"val_dataset": GONE}, {"val_dataset": ["a.jsonl"]}, None),
    "infer-stream": ("swift infer", {"stream": True}, {"stream": False}, None),
    "vllm-encodes-async": (
        "swift deploy", {"infer_backend": "vllm", "task_type": "embedding", "vllm_use_async_engine": False},
        {"vllm_use_async_engine": True}, None,
    ),
    "vllm-gpus": (
        "swift rollout", {"vllm_tensor_parallel_size": 4, "vllm_data_parallel_size": 4},
        {"vllm_data_parallel_size": 2}, World(1, 1, 8),
    ),
    "rollout-pipeline": (
        "swift rollout", {"vllm_pipeline_parallel_size": 2}, {"vllm_pipeline_parallel_size": 1}, ONE,
    ),
    "rollout-reasoning": (
        "swift rollout", {"vllm_reasoning_parser": "qwen3"}, {"vllm_reasoning_parser": GONE}, ONE,
    ),
    "rollout-turns": (
        "swift rollout", {"multi_turn_scheduler": "math_tip_trick", "vllm_use_async_engine": False},
        {"vllm_use_async_engine": True}, ONE,
    ),
    "rollout-context-manager": ("swift rollout", {"context_manager": "x"}, {"context_manager": GONE}, ONE),
    "export-quant-method": ("swift export", {"quant_bits": 4}, {"quant_method": "bnb"}, None),
    "export-quant-bits": ("swift export", {"quant_method": "bnb"}, {"quant_bits": 4}, None),
    "export-calibration": (
        "swift export", {"quant_method": "gptq", "quant_bits": 4}, {"dataset": ["a.jsonl"]}, None,
    ),
    "export-cached-packing": ("swift export", {"to_cached_dataset": True, "packing": True}, {"packing": False}, None),
    "export-cached-streaming": (
        "swift export", {"to_cached_dataset": True, "streaming": True}, {"streaming": False}, None,
    ),
    "export-mcore-merge": ("swift export", {"to_mcore": True, "merge_lora": True}, {"merge_lora": False}, None),
    "sample-output": ("swift sample", {"output_file": "a/b.jsonl"}, {"output_file": "b.jsonl"}, None),
    "distill-needs-a-client": ("swift sample", {"sampler_type": "distill"}, {"sampler_engine": "client"}, None),
}  # fmt: skip
NO_MENDING = {"processes-divide-gpus": World(1, 4, 8)}


def with_changes(command: str, *changes: dict[str, Any]) -> dict[str, Any]:
    whole = dict(BASE[command])
    for change in changes:
        whole |= change
    return {name: value for name, value in whole.items() if value is not GONE}
