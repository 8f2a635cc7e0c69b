"""`megatron`: how GPUs divide into TP x PP x CP x DP and batches into micro batches, and what excludes what."""

from __future__ import annotations

from training.swift.given import Given
from training.swift.rules.rule import MEGATRON, Rule
from training.swift.rules.tuning import quantised

EXPORT = ("megatron export",)
ALL = (*MEGATRON, *EXPORT)
RLHF = ("megatron rlhf",)


def _model_parallel(g: Given) -> int:
    return int(g["tensor_model_parallel_size"] * g["pipeline_model_parallel_size"] * g["context_parallel_size"])


def _data_parallel(g: Given) -> int:
    return g.of_world().size // _model_parallel(g)


def _gpus(g: Given) -> str | None:
    world, needed = g.of_world().size, _model_parallel(g)
    return f"{world} processes are not a multiple of TP x PP x CP = {needed}" if world % needed else None


def _experts(g: Given) -> str | None:
    etp, ep, pp = (g[f"{one}_parallel_size"] for one in ("expert_tensor", "expert_model", "pipeline_model"))
    world = g.of_world().size
    return (
        f"{world} processes are not a multiple of ETP x EP x PP = {etp * ep * pp}" if world % (etp * ep * pp) else None
    )


def _batch(g: Given) -> str | None:
    if _gpus(g):
        return None
    a_step = g["micro_batch_size"] * _data_parallel(g)
    if g["global_batch_size"] % a_step or g["global_batch_size"] < a_step:
        parts = f"micro_batch_size {g['micro_batch_size']} x DP {_data_parallel(g)}"
        return f"{g['global_batch_size']} is not a multiple of {parts}"
    return None


def _generations(g: Given) -> str | None:
    """MegatronArguments.resolve_generation_batch_size and validate_batch_dp_alignment."""
    if g["rlhf_type"] not in ("grpo", "gkd"):
        return None
    batch, steps, a_step = g["generation_batch_size"], g["steps_per_generation"], g["global_batch_size"]
    each = g["num_generations"] if g["rlhf_type"] == "grpo" else 1
    if batch is not None and steps is not None and batch != a_step * steps:
        return f"generation_batch_size {batch} is not global_batch_size x steps_per_generation, {a_step * steps}"
    if batch is not None and batch % a_step:
        return f"generation_batch_size {batch} is not a multiple of global_batch_size {a_step}"
    if batch is None:
        batch = a_step * (1 if steps is None else steps)
    if each > 1 and batch % each:
        return f"a generation batch of {batch} completions can't be parted into groups of num_generations {each}"
    if g.world is None or _gpus(g):
        return None
    prompts, dp, micro = batch // each, _data_parallel(g), g["micro_batch_size"]
    if prompts % dp:
        return f"{prompts} prompts a generation batch are not a multiple of DP {dp}"
    if prompts // dp % micro or prompts < dp:
        return f"{prompts // dp} prompts a rank are not a multiple of micro_batch_size {micro}"
    return None


def _across_nodes(g: Given) -> str | None:
    world, tp = g.of_world(), g["tensor_model_parallel_size"]
    return f"{tp}" if world.nnodes > 1 and tp > world.nproc_per_node else None


def _grpo_without(g: Given) -> str | None:
    if g["rlhf_type"] != "grpo":
        return None
    against = {
        "async_generate": g["async_generate"],
        "sync_ref_model": g["sync_ref_model"],
        "num_iterations above 1": g["num_iterations"] > 1,
    }
    return ", ".join(name for name, given in against.items() if given) or None


def _no_host(g: Given) -> bool:
    rollout = g["rlhf_type"] in ("grpo", "gkd") and g["use_vllm"] and g["vllm_mode"] == "server"
    return rollout and not (g["vllm_server_host"] or g["vllm_server_base_url"])


def _nothing_to_convert(g: Given) -> bool:
    from_mcore = g["mcore_model"] or g["mcore_adapter"] or g["adapters"]
    return bool(g["to_hf"] and g["model"] and not from_mcore and not g["fp8_format"])


RULES = (
    Rule("weights-to-convert", EXPORT, "model", lambda g: not (g["model"] or g["mcore_model"]),
         "neither model nor mcore_model is given", "model: HF weights, or mcore_model: a folder that Megatron wrote",
         "swift/megatron/pipelines/export/export.py convert_mcore2hf, convert_hf2mcore"),
    Rule("one-adapter", EXPORT, "adapters", lambda g: len(g["adapters"] or ()) > 1,
         "megatron export takes one adapter", "The one that was trained last",
         "swift/megatron/pipelines/export/export.py convert_mcore2hf, convert_hf2mcore"),
    Rule("nothing-to-convert", EXPORT, "to_hf", _nothing_to_convert,
         "to_hf of HF weights alone writes the model again as it is",
         "mcore_model or mcore_adapter: a checkpoint of Megatron's, or fp8_format: e4m3",
         "swift/megatron/pipelines/export/export.py convert_mcore2hf", "warning"),
    Rule("precision-of-an-adapter", EXPORT, "test_convert_precision",
         lambda g: g["to_mcore"] and g["test_convert_precision"] and g["mcore_adapter"],
         "test_convert_precision is skipped with mcore_adapter: HF can't load one", "Take it out",
         "swift/megatron/pipelines/export/export.py convert_hf2mcore", "warning"),
    Rule("resumed-stream", MEGATRON, "streaming",
         lambda g: g["streaming"] and not g["finetune"] and (g["mcore_model"] or g["mcore_adapter"]),
         "streamed data can't be skipped: a run that goes on sees its first rows again",
         "streaming: false, or data that was not seen yet",
         "swift/megatron/trainers/base.py _prepare_dataloader", "warning"),
    Rule("megatron-gpus", ALL, "tensor_model_parallel_size", _gpus,
         "{}: the rest is DP", "Sizes whose product divides the number of GPUs",
         "megatron/core/parallel_state.py initialize_model_parallel"),
    Rule("megatron-experts", ALL, "expert_model_parallel_size", _experts,
         "{}", "Sizes whose product divides the number of GPUs",
         "megatron/core/parallel_state.py initialize_model_parallel"),
    Rule("megatron-batch", MEGATRON, "global_batch_size", _batch,
         "global_batch_size {}", "A multiple of it", "swift/megatron/arguments/megatron_args.py _init_distributed"),
    Rule("megatron-generation-batch", RLHF, "num_generations", _generations,
         "{}", "Change global_batch_size, num_generations or steps_per_generation",
         "swift/megatron/arguments/megatron_args.py resolve_generation_batch_size"),
    Rule("megatron-qlora", ALL, "quant_method", lambda g: g["quant_method"],
         "megatron trains no quantised weights: there is no QLoRA", "trainer: swift, or take quant_method out",
         "ms-swift's Megatron documentation; swift/megatron/arguments reads no quant_method"),
    Rule("megatron-quantised-model", ALL, "model", quantised,
         "megatron trains no quantised weights, and the model's are {}",
         "The model that is not quantised, or trainer: swift",
         "ms-swift's Megatron documentation"),
    Rule("experts-and-tensors", MEGATRON, "sequence_parallel",
         lambda g: g["expert_model_parallel_size"] > 1 and g["tensor_model_parallel_size"] > 1
         and not g["sequence_parallel"],
         "a MoE with TP above 1 needs sequence_parallel", "sequence_parallel: true",
         "megatron/core/transformer/moe/moe_layer.py"),
    Rule("tensors-in-a-node", MEGATRON, "tensor_model_parallel_size", _across_nodes,
         "TP {} reaches over nodes, where it is slow", "TP within a node, PP over nodes",
         "ms-swift's Megatron documentation", "warning"),
    Rule("megatron-streaming", MEGATRON, "train_iters", lambda g: g["streaming"] and not g["train_iters"],
         "streaming data has no length: nothing says when the run ends", "train_iters: the iterations to train",
         "swift/megatron/arguments/megatron_args.py init_iters"),
    Rule("megatron-streaming-epoch", MEGATRON, "save_strategy",
         lambda g: g["streaming"] and g["save_strategy"] == "epoch",
         "streaming data has no epochs to save after", "save_strategy: steps",
         "swift/megatron/arguments/megatron_args.py init_iters"),
    Rule("recompute-method", MEGATRON, "recompute_granularity",
         lambda g: g["recompute_granularity"] == "selective" and g["recompute_method"] is not None,
         "recompute_method does not go with recompute_granularity selective", "recompute_granularity: full",
         "swift/megatron/arguments/megatron_args.py __post_init__"),
    Rule("megatron-group-by-length", MEGATRON, "padding_free", lambda g: g["group_by_length"] and g["padding_free"],
         "group_by_length does not go with padding_free, which is on by default", "padding_free: false",
         "swift/megatron/arguments/megatron_args.py __post_init__"),
    Rule("keep-two", MEGATRON, "save_total_limit",
         lambda g: g["save_total_limit"] is not None and g["save_total_limit"] < 2,
         "save_total_limit is 2 at the least", "save_total_limit: 2",
         "swift/megatron/arguments/megatron_args.py __post_init__"),
    Rule("async-save", MEGATRON, "async_save", lambda g: g["async_save"] and g["save_total_limit"] is not None,
         "async_save and save_total_limit exclude each other", "Take one of them out",
         "swift/megatron/arguments/megatron_args.py __post_init__"),
    Rule("pipeline-ends", ALL, "pipeline_model_parallel_size",
         lambda g: g["pipeline_model_parallel_size"] == 1
         and (g["decoder_first_pipeline_num_layers"] is not None or g["decoder_last_pipeline_num_layers"] is not None),
         "decoder_first_ and decoder_last_pipeline_num_layers need PP above 1", "pipeline_model_parallel_size: 2",
         "swift/megatron/arguments/megatron_args.py __post_init__"),
    Rule("freeze-ratio", MEGATRON, "freeze_parameters_ratio",
         lambda g: g["freeze_parameters_ratio"] > 0 and g["pipeline_model_parallel_size"] > 1,
         "freeze_parameters_ratio does not go with PP above 1", "freeze_parameters: by name",
         "swift/megatron/arguments/megatron_args.py MegatronTunerMixin"),
    Rule("lora-llm", MEGATRON, "tuner_type",
         lambda g: g["tuner_type"] == "lora_llm"
         and not (g["no_save_optim"] and (g["save_safetensors"] if g["merge_lora"] is None else g["merge_lora"])),
         "lora_llm needs merge_lora and no_save_optim", "merge_lora: true and no_save_optim: true",
         "swift/megatron/arguments/megatron_args.py __post_init__"),
    Rule("tp-overlap", MEGATRON, "sequence_parallel",
         lambda g: g["tp_comm_overlap"] and not (g["sequence_parallel"] and g["tensor_model_parallel_size"] > 1),
         "tp_comm_overlap needs sequence_parallel and TP above 1", "sequence_parallel: true",
         "swift/megatron/arguments/megatron_args.py __post_init__"),
    Rule("sequence-of-one", MEGATRON, "sequence_parallel",
         lambda g: g["sequence_parallel"] and g["tensor_model_parallel_size"] == 1,
         "sequence_parallel does nothing while TP is 1: ms-swift turns it off",
         "tensor_model_parallel_size: 2, or take it out",
         "swift/megatron/arguments/megatron_args.py __post_init__", "note"),
    Rule("muon-overlap", MEGATRON, "optimizer",
         lambda g: g["optimizer"] == "muon" and (g["overlap_grad_reduce"] or g["overlap_param_gather"]),
         "muon overlaps neither grad reduce nor param gather", "optimizer: dist_muon",
         "swift/megatron/arguments/megatron_args.py _check_muon"),
    Rule("muon-lr", MEGATRON, "muon_lr",
         lambda g: (g["muon_lr"] is not None or g["muon_min_lr"] is not None)
         and g["optimizer"] not in ("muon", "dist_muon"),
         "muon_lr and muon_min_lr need optimizer muon or dist_muon", "optimizer: dist_muon",
         "swift/megatron/arguments/megatron_args.py _check_muon"),
    Rule("bridge-lora", MEGATRON, "bridge_backend",
         lambda g: g["bridge_backend"] == "megatron-bridge" and g["tuner_type"] != "full",
         "megatron-bridge knows no LoRA", "bridge_backend: mcore-bridge",
         "swift/megatron/arguments/megatron_args.py _check_bridge_backend"),
    Rule("megatron-fsdp-optimizer", MEGATRON, "optimizer",
         lambda g: g["use_megatron_fsdp"] and g["optimizer"] not in ("sgd", "adam"),
         "use_megatron_fsdp has adam and sgd alone", "optimizer: adam",
         "swift/megatron/arguments/megatron_args.py _check_megatron_fsdp"),
    Rule("megatron-fsdp-connections", MEGATRON, "use_megatron_fsdp",
         lambda g: g["use_megatron_fsdp"] and g.env.get("CUDA_DEVICE_MAX_CONNECTIONS", "1") == "1",
         "use_megatron_fsdp needs CUDA_DEVICE_MAX_CONNECTIONS above 1, and megatron's own script sets 1",
         "env: CUDA_DEVICE_MAX_CONNECTIONS: 32", "swift/megatron/arguments/megatron_args.py _check_megatron_fsdp"),
    Rule("packed-attention", MEGATRON, "attention_backend",
         lambda g: (g["packing"] or g["padding_free"]) and g["attention_backend"] in ("unfused", "local"),
         "packing and padding_free (on by default) need flash or fused attention", "attention_backend: flash",
         "transformer_engine's packed layout (THD)", "warning"),
    Rule("megatron-grpo-without", RLHF, "rlhf_type", _grpo_without,
         "megatron's grpo has no {}", "Take it out", "swift/megatron/arguments/megatron_args.py _init_grpo"),
    Rule("megatron-grpo-vllm", RLHF, "use_vllm",
         lambda g: g["rlhf_type"] == "grpo" and not g["use_vllm"] and not g["use_ray"],
         "megatron's grpo needs use_vllm", "use_vllm: true", "swift/megatron/arguments/megatron_args.py _init_grpo"),
    Rule("megatron-server-host", RLHF, "vllm_server_host", _no_host,
         "vllm_mode server has no rollout host", "vllm_server_host: where swift rollout runs, or vllm_mode: colocate",
         "swift/megatron/arguments/megatron_args.py _init_rollout"),
    Rule("megatron-truncation", RLHF, "truncation_strategy",
         lambda g: g["rlhf_type"] == "grpo" and g["truncation_strategy"] not in (None, "left", "delete"),
         "grpo truncates left or deletes", "truncation_strategy: left",
         "swift/megatron/arguments/megatron_args.py _init_grpo"),
    Rule("megatron-soft-overlong", RLHF, "soft_cache_length",
         lambda g: g["rlhf_type"] == "grpo" and "soft_overlong" in g["reward_funcs"] and g["soft_cache_length"] is None,
         "the reward soft_overlong needs soft_cache_length", "soft_cache_length: 4096, say",
         "swift/megatron/arguments/megatron_args.py _init_grpo"),
    Rule("megatron-gkd-seq-kd", RLHF, "seq_kd", lambda g: g["rlhf_type"] == "gkd" and g["seq_kd"],
         "seq_kd is gone", "Take it out", "swift/megatron/arguments/megatron_args.py __post_init__"),
    Rule("megatron-gkd-topk", RLHF, "gkd_logits_topk",
         lambda g: g["rlhf_type"] == "gkd" and g["teacher_model_server"] and g["gkd_logits_topk"] is None,
         "a teacher_model_server gives the most likely tokens alone: gkd_logits_topk is needed", "gkd_logits_topk: 64",
         "swift/megatron/arguments/megatron_args.py __post_init__"),
    Rule("megatron-one-teacher", RLHF, "teacher_model", lambda g: g["teacher_model"] and g["teacher_model_server"],
         "teacher_model and teacher_model_server exclude each other", "Take one of them out",
         "swift/megatron/arguments/megatron_args.py _check_teacher"),
)  # fmt: skip
