"""`swift rlhf`: what the kinds of RLHF need, and how GRPO's batches must divide."""

from __future__ import annotations

from training.swift.given import Given
from training.swift.rules.rule import RLHF, Rule, gpus_a_process
from training.swift.rules.tuning import has_val


def _is(g: Given, *kinds: str) -> bool:
    return g["rlhf_type"] in kinds


def _unwanted_ref(g: Given) -> bool:
    whole = _is(g, "dpo", "kto", "ppo", "grpo") and g["tuner_type"] == "full"
    unused = _is(g, "grpo") and g["beta"] == 0
    return bool(g["ref_model"]) and not whole and not unused


def _loss_weights(g: Given) -> str | None:
    if g["loss_weights"] is None:
        return None
    losses = g["loss_type"] or ["sigmoid"]
    if _is(g, "dpo") and len(g["loss_weights"]) == len(losses):
        return None
    return f"{len(g['loss_weights'])} for {len(losses)}"


def _no_reward(g: Given) -> bool:
    rewarded = ("reward_funcs", "reward_model", "use_gym_env", "gym_env", "teacher_model", "teacher_model_server")
    return _is(g, "grpo") and not any(g[one] for one in rewarded)


def _liger_and(g: Given) -> str | None:
    if not (_is(g, "grpo") and g["use_liger_kernel"]):
        return None
    against = {
        "delta": g["delta"] is not None,
        "sequence_parallel_size": g["sequence_parallel_size"] > 1,
        "padding_free": g["padding_free"],
        "packing": g["packing"],
        "top_entropy_quantile": g["top_entropy_quantile"] < 1,
        "log_entropy": g["log_entropy"],
        "off_policy_sequence_mask_delta": g["off_policy_sequence_mask_delta"] is not None,
        "importance_sampling_level": g["importance_sampling_level"] not in ("token", "sequence"),
        "advantage_estimator": g["advantage_estimator"] != "grpo",
        "teacher_model": g["teacher_model"] or g["teacher_model_server"],
    }
    return ", ".join(name for name, given in against.items() if given) or None


def _generations(g: Given) -> str | None:
    """GRPOArgumentsMixin._init_generation_batch_params, of which the kinds other than grpo and gkd know nothing."""
    if not _is(g, "grpo", "gkd"):
        return None
    a_step = g["per_device_train_batch_size"] * g.of_world().size
    batch, steps, each = g["generation_batch_size"], g["steps_per_generation"], g["num_generations"]
    if batch is not None and steps is not None and batch != a_step * steps:
        return (
            f"generation_batch_size {batch} is not per_device_train_batch_size x world size x steps_per_generation, "
            f"{a_step * steps}"
        )
    if batch is not None and batch % a_step:
        return f"generation_batch_size {batch} is not a multiple of per_device_train_batch_size x world size, {a_step}"
    if batch is None:
        accumulated = g["gradient_accumulation_steps"]
        if accumulated is None:
            accumulated = 1 if _is(g, "grpo") else max(1, -(-16 // a_step))
        batch = a_step * (steps if steps is not None else accumulated)
    if _is(g, "grpo") and each > 1 and batch % each:
        return f"a generation batch of {batch} completions can't be parted into groups of num_generations {each}"
    return None


def _eval_generations(g: Given) -> str | None:
    if not _is(g, "grpo") or not has_val(g) or g["eval_strategy"] == "no":
        return None
    batch, each = g["per_device_eval_batch_size"] * g.of_world().size, g["num_generations_eval"] or g["num_generations"]
    return f"{batch} by {each}" if g["num_generations"] > 1 and batch % each else None


RULES = (
    Rule("no-ref-model", RLHF, "ref_model", _unwanted_ref,
         "ref_model is for dpo, kto, ppo and grpo with tuner_type full: with LoRA the adapter is turned off instead",
         "Take ref_model out", "swift/arguments/rlhf_args.py __post_init__"),
    Rule("several-losses", RLHF, "loss_type",
         lambda g: len(g["loss_type"] or []) > 1 and not _is(g, "dpo") and g["rlhf_type"],
         "{} takes one loss_type: only dpo mixes several", "One of them",
         "swift/arguments/rlhf_args.py _process_loss_type"),
    Rule("loss-weights", RLHF, "loss_weights", _loss_weights,
         "loss_weights are one for each loss_type of dpo: {}", "As many weights as losses, or none",
         "swift/arguments/rlhf_args.py _process_loss_type"),
    Rule("packed-rlhf", RLHF, "padding_free",
         lambda g: (g["packing"] or g["padding_free"]) and not _is(g, "grpo", "dpo", "kto", "gkd") and g["rlhf_type"],
         "{} knows neither packing nor padding_free", "Take them out",
         "swift/arguments/rlhf_args.py _check_padding_free"),
    Rule("sequence-parallel-rlhf", RLHF, "sequence_parallel_size",
         lambda g: g["sequence_parallel_size"] > 1 and not _is(g, "grpo", "dpo") and g["rlhf_type"],
         "{} knows no sequence_parallel_size", "Take it out", "swift/arguments/rlhf_args.py _check_sequence_parallel"),
    Rule("ppo-needs-a-reward-model", RLHF, "reward_model", lambda g: _is(g, "ppo") and not g["reward_model"],
         "ppo needs a reward_model", "reward_model: the checkpoint of an rm run",
         "swift/rlhf_trainers/ppo_trainer.py"),
    Rule("ppo-lora-needs-deepspeed", RLHF, "tuner_type",
         lambda g: _is(g, "ppo") and g["tuner_type"] != "full" and not g["deepspeed"] and not g["fsdp"]
         and (g.of_world().size > 1 or g["use_cpu"]),
         "ppo with an adapter looks for its policy inside what plain DDP wraps, and finds none",
         "deepspeed: zero2, or tuner_type: full",
         "trl 0.29.1 trl/experimental/ppo/ppo_trainer.py null_ref_context: AttributeError"),
    Rule("ppo-goes-by-epochs", RLHF, "max_steps",
         lambda g: _is(g, "ppo") and g["max_steps"] > 0,
         "ppo does not end at max_steps: it goes once over the prompts for each of num_train_epochs",
         "num_train_epochs, and fewer prompts (dataset: name#1000)",
         "trl 0.29.1 trl/experimental/ppo/ppo_trainer.py num_total_batches", "warning"),
    Rule("grpo-needs-a-reward", RLHF, "reward_funcs", _no_reward,
         "grpo has nothing to reward by: it would run to its end and learn nothing",
         "reward_funcs: [accuracy, format], or a reward_model", "swift/rlhf_trainers/grpo_trainer.py", "warning"),
    Rule("grpo-groups", RLHF, "num_generations",
         lambda g: _is(g, "grpo") and g["num_generations"] == 1
         and not (g["teacher_model"] or g["teacher_model_server"]),
         "grpo compares completions of one prompt: one is none", "num_generations: 8",
         "swift/arguments/rlhf_args.py _check_teacher"),
    Rule("grpo-cached", RLHF, "cached_dataset",
         lambda g: _is(g, "grpo") and (g["cached_dataset"] or g["cached_val_dataset"]),
         "grpo takes no cached_dataset", "dataset:", "swift/arguments/rlhf_args.py _init_grpo"),
    Rule("grpo-truncation", RLHF, "truncation_strategy",
         lambda g: _is(g, "grpo") and g["truncation_strategy"] not in (None, "left", "delete"),
         "grpo truncates left or deletes", "truncation_strategy: left", "swift/arguments/rlhf_args.py _init_grpo"),
    Rule("soft-overlong", RLHF, "soft_cache_length",
         lambda g: _is(g, "grpo") and "soft_overlong" in g["reward_funcs"] and g["soft_cache_length"] is None,
         "the reward soft_overlong needs soft_cache_length", "soft_cache_length: 4096, say",
         "swift/arguments/rlhf_args.py _init_grpo"),
    Rule("vllm-needs-a-mode", RLHF, "vllm_mode",
         lambda g: _is(g, "grpo", "gkd") and g["use_vllm"] and g["vllm_mode"] is None,
         "use_vllm needs vllm_mode", "vllm_mode: colocate on the training GPUs, or server",
         "swift/arguments/rlhf_args.py _init_rollout"),
    Rule("a-mode-needs-vllm", RLHF, "use_vllm",
         lambda g: _is(g, "grpo", "gkd") and not g["use_vllm"] and g["vllm_mode"] is not None,
         "vllm_mode does nothing without use_vllm", "use_vllm: true", "swift/arguments/rlhf_args.py _init_rollout"),
    Rule("server-needs-a-host", RLHF, "vllm_server_host",
         lambda g: _is(g, "grpo", "gkd") and g["use_vllm"] and g["vllm_mode"] == "server"
         and not (g["vllm_server_host"] or g["vllm_server_base_url"]),
         "vllm_mode server has no rollout host", "vllm_server_host: where swift rollout runs, or vllm_mode: colocate",
         "swift/arguments/rlhf_args.py _init_rollout"),
    Rule("async-needs-a-server", RLHF, "async_generate",
         lambda g: _is(g, "grpo", "gkd") and g["async_generate"] and g["vllm_mode"] != "server",
         "async_generate needs vllm_mode server", "vllm_mode: server", "swift/arguments/rlhf_args.py _init_rollout"),
    Rule("async-and-turns", RLHF, "async_generate",
         lambda g: _is(g, "grpo") and g["async_generate"] and g["multi_turn_scheduler"],
         "async_generate does not go with a multi_turn_scheduler", "Take async_generate out",
         "swift/arguments/rlhf_args.py _check_grpo"),
    Rule("vllm-and-device-map", RLHF, "use_vllm",
         lambda g: _is(g, "grpo", "gkd") and g["use_vllm"] and gpus_a_process(g) >= 2,
         "a process that sees several GPUs spreads the model over them (device_map), which use_vllm does not allow",
         "nproc_per_node: the GPUs of a node, or leave it out", "swift/arguments/rlhf_args.py _check_grpo, _check_gkd"),
    Rule("liger-grpo", RLHF, "use_liger_kernel", _liger_and,
         "use_liger_kernel does not go with {} in grpo", "use_liger_kernel: false",
         "swift/arguments/rlhf_args.py _check_grpo, _check_teacher"),
    Rule("one-teacher", RLHF, "teacher_model",
         lambda g: _is(g, "grpo", "gkd") and g["teacher_model"] and g["teacher_model_server"],
         "teacher_model and teacher_model_server exclude each other", "Take one of them out",
         "swift/arguments/rlhf_args.py _check_teacher"),
    Rule("teacher-of-none", RLHF, "teacher_model",
         lambda g: not _is(g, "grpo", "gkd") and (g["teacher_model"] or g["teacher_model_server"]) and g["rlhf_type"],
         "{} has no teacher: it is not used", "Take it out", "swift/arguments/rlhf_args.py _check_teacher", "warning"),
    Rule("teaching-itself-with-liger", RLHF, "use_liger_kernel",
         lambda g: _is(g, "gkd") and g["use_liger_kernel"] and not (g["teacher_model"] or g["teacher_model_server"]),
         "gkd without a teacher_model teaches itself, which use_liger_kernel does not allow", "teacher_model:",
         "swift/arguments/rlhf_args.py _check_teacher"),
    Rule("gkd-seq-kd", RLHF, "seq_kd", lambda g: _is(g, "gkd") and g["seq_kd"],
         "seq_kd is gone", "swift infer writes the teacher's answers: train on them with lmbda: 0",
         "swift/arguments/rlhf_args.py _check_gkd"),
    Rule("gkd-async", RLHF, "async_generate", lambda g: _is(g, "gkd") and g["async_generate"],
         "gkd has no async_generate", "Take it out", "swift/arguments/rlhf_args.py _check_gkd"),
    Rule("gkd-topk", RLHF, "gkd_logits_topk",
         lambda g: _is(g, "gkd") and g["teacher_model_server"] and g["gkd_logits_topk"] is None,
         "a teacher_model_server gives the most likely tokens alone: gkd_logits_topk is needed", "gkd_logits_topk: 64",
         "swift/arguments/rlhf_args.py _check_gkd"),
    Rule("gkd-topk-positive", RLHF, "gkd_logits_topk",
         lambda g: _is(g, "gkd") and g["gkd_logits_topk"] is not None and g["gkd_logits_topk"] <= 0,
         "gkd_logits_topk is a number of tokens", "gkd_logits_topk: 64", "swift/arguments/rlhf_args.py _check_gkd"),
    Rule("gkd-topk-and-liger", RLHF, "gkd_logits_topk",
         lambda g: _is(g, "gkd") and g["gkd_logits_topk"] is not None and g["use_liger_kernel"],
         "gkd_logits_topk and use_liger_kernel exclude each other", "Take one of them out",
         "swift/arguments/rlhf_args.py _check_gkd"),
    Rule("generation-batch", RLHF, "num_generations", _generations,
         "{}", "Change num_generations, per_device_train_batch_size or steps_per_generation",
         "swift/rlhf_trainers/args_mixin.py _init_generation_batch_params"),
    Rule("generation-batch-of-evaluation", RLHF, "per_device_eval_batch_size", _eval_generations,
         "the evaluation's batch over all GPUs can't be parted into groups: {}",
         "per_device_eval_batch_size: a multiple of num_generations_eval / world size",
         "swift/rlhf_trainers/args_mixin.py _init_generation_batch_params"),
    Rule("kto-batch", RLHF, "per_device_train_batch_size",
         lambda g: _is(g, "kto") and g.first("loss_type") != "apo_zero_unpaired"
         and g["per_device_train_batch_size"] * g.of_world().size * (g["gradient_accumulation_steps"] or 16) <= 1,
         "kto needs a batch of two at the least: with one its KL term is the reward itself",
         "per_device_train_batch_size: 2", "swift/pipelines/train/kto.py prepare_kto_dataset"),
)  # fmt: skip
