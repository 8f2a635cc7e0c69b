"""What a GPU holds for the whole run: weights, gradients, optimizer states, and other models beside the trained one.

Bytes a weight, by the code that holds them:
- swift without DeepSpeed or FSDP: all in bf16, so 2 weight + 2 gradient + 4 Adam. `adamw_torch` (not the fused one)
  makes a copy of the second moment in each step: 2 more.
- DeepSpeed with bf16, by its own account: 2 + 2 whole and 16 in fp32 (master, gradient, two moments) divided by the
  ranks; ZeRO 3 divides 2 + 16. Optimizer in host memory: 2, the weights alone.
- FSDP2: accelerate keeps what trains in fp32: 4 + 4 + 8, all divided.
- Megatron: 2 + 4 (gradients are summed in fp32), and 12 divided by the data-parallel size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from training.swift.setting import REFERENCED, Setting, fraction, number, truth
from training.swift.shape import Shape

#: Extra bytes of a 4-bit weight: fp16 scale and zero point of each 128 (GPTQ, AWQ), or a doubly quantized scale of 64.
SCALE = 0.03125
OPTIMIZER_BYTES = {
    "adamw_torch": 6, "adamw_8bit": 2, "adamw_bnb_8bit": 2, "paged_adamw_8bit": 0, "paged_adamw_32bit": 0,
    "sgd": 0, "adafactor": 0, "lion": 2, "muon": 2,
}  # fmt: skip


@dataclass(frozen=True)
class States:
    """GiB on the GPU that holds most. trainable: weights that get a gradient, of the whole model.

    lent: of a teacher that waits in the host's memory, and is here while it answers.
    """

    weights: float
    gradients: float
    optimizer: float
    others: float
    trainable: int
    lent: float = 0.0


GIB = 2**30


def states(args: Mapping[str, Any], shape: Shape, setting: Setting, others: Mapping[str, Shape]) -> States:
    """others: shapes of ref_model, teacher_model, reward_model and so on, by argument."""
    trainable = trained(args, shape, setting)
    weights, gradients, optimizer = (_megatron if setting.megatron else _swift)(args, shape, setting, trainable)
    beside = sum(_frozen(one, setting) for one in _copies(args, shape, setting, others))
    teacher = others.get("teacher_model") if truth(args, "offload_teacher_model") else None
    lent = _frozen(teacher, setting) if teacher and setting.task == "gkd" else 0.0
    return States(weights / GIB, gradients / GIB, optimizer / GIB, beside / GIB, trainable, lent / GIB)


def trained(args: Mapping[str, Any], shape: Shape, setting: Setting) -> int:
    """Weights with a gradient."""
    language = shape.params - shape.vision
    if setting.full:
        if "lisa" in str(args.get("callbacks", "")):
            return shape.head_and_embedding + number(args, "lisa_activated_layers", 2) * shape.linear // shape.layers
        vision = 0 if truth(args, "freeze_vit", default=True) else shape.vision
        return (0 if truth(args, "freeze_llm") else language) + vision
    if setting.tuner == "llamapro":
        return number(args, "llamapro_num_new_blocks", 4) * shape.linear // shape.layers
    if setting.tuner == "adapter":
        return 2 * shape.layers * shape.hidden * 128
    rank = number(args, "lora_rank", 8)
    saved = str(args.get("modules_to_save", ""))
    whole = sum(
        shape.embedding for words in (("embed", "word_emb"), ("head", "output_layer")) if any(w in saved for w in words)
    )
    return rank * adapter_width(shape) + whole


def adapter_width(shape: Shape) -> int:
    """Inputs plus outputs of all linear layers: a LoRA of rank r has r times as many weights (all-linear)."""
    attention = 2 * (shape.hidden + shape.q_width) + 2 * shape.hidden + shape.kv_width
    dense = shape.gates * (shape.hidden + shape.ffn)
    experts = shape.gates * (shape.experts * (shape.hidden + shape.expert_ffn) + shape.hidden + shape.shared_ffn)
    return (
        shape.layers * attention
        + (shape.layers - shape.moe_layers) * dense
        + shape.moe_layers * (experts if shape.experts else 0)
    )


def stored_bytes(shape: Shape, bits: int) -> float:
    """Bytes of all weights, the linear ones in `bits`."""
    if bits >= 16:
        return float(shape.params * shape.dtype_bytes)
    plain = shape.params - shape.linear
    return plain * 2 + shape.linear * (bits / 8 + (SCALE if bits <= 4 else 0))


def _swift(args: Mapping[str, Any], shape: Shape, setting: Setting, trainable: int) -> tuple[float, float, float]:
    ranks = setting.ranks
    base = stored_bytes(shape, setting.bits) + (shape.speech * 2 if setting.speech else 0)
    frozen = base - (trainable * shape.dtype_bytes if setting.full else 0)
    # peft keeps adapters in fp32, so their gradients and moments too.
    size = shape.dtype_bytes if setting.full or setting.tuner == "llamapro" else 4
    states: float = OPTIMIZER_BYTES.get(str(args.get("optim", args.get("optimizer") or "")), 2 * size)
    if args.get("use_galore"):  # moments of the linear layers only in a subspace of `galore_rank`
        rank = number(args, "galore_rank", 128)
        inside = shape.linear * 2 * rank / shape.hidden
        states = 2 * size * (shape.head_and_embedding + inside) / max(1, trainable)
    if setting.fsdp:
        on_gpu = 1 - setting.offload_optimizer
        return (frozen + trainable * 4 * on_gpu) / ranks, trainable * 4 / ranks, trainable * 8 * on_gpu / ranks
    if not setting.zero:
        return (
            (frozen + trainable * size) / setting.split,
            trainable * size / setting.split,
            trainable * states / setting.split,
        )
    if setting.zero < 3:
        away = setting.offload_optimizer
        return frozen + trainable * 2, trainable * 2 * (1 - away), trainable * 16 / ranks * (1 - away)
    weights = 0.0 if setting.offload_params else (frozen + trainable * 2) / ranks
    return weights, 0.0, trainable * 16 / ranks * (1 - setting.offload_optimizer)


def _megatron(args: Mapping[str, Any], shape: Shape, setting: Setting, trainable: int) -> tuple[float, float, float]:
    """On the pipeline stage that holds most: its layers, with an embedding or a head."""
    dense, experts = stage(args, shape, setting)
    held = dense + experts
    share = trainable / max(1, shape.params) if setting.full else 0.0
    per = 2.0
    if not setting.full:
        adapters = trainable / setting.pp
        adapters /= setting.ep if shape.experts else setting.tp
        return (
            held * per + adapters * 2,
            adapters * 4,
            adapters * 12 / (setting.expert_dp if shape.experts else setting.dp),
        )
    moments = _bytes(args, "exp_avg_dtype") + _bytes(args, "exp_avg_sq_dtype") + _bytes(args, "main_params_dtype")
    sharded = dense / (setting.dp * setting.cp) + experts / setting.expert_dp
    kept = 1 - setting.offload_optimizer
    return held * per, held * share * _bytes(args, "main_grads_dtype"), sharded * share * moments * kept


def stage(args: Mapping[str, Any], shape: Shape, setting: Setting) -> tuple[float, float]:
    """(dense weights, routed experts' weights) of one GPU of the fullest pipeline stage."""
    first = number(args, "decoder_first_pipeline_num_layers")
    last = number(args, "decoder_last_pipeline_num_layers")
    even = shape.layers / setting.pp
    share = max(even, first, last) / shape.layers
    mtp = shape.mtp if number(args, "mtp_num_layers") else 0
    experts = shape.expert_params * share / (setting.ep * setting.etp)
    layers = max(0, shape.linear - shape.expert_params) * share
    ends = shape.head_and_embedding if setting.pp == 1 else shape.embedding
    return (layers + ends + mtp) / setting.tp + shape.vision, experts


def _bytes(args: Mapping[str, Any], name: str) -> int:
    return {"bf16": 2, "fp16": 2, "fp8": 1}.get(str(args.get(name, "fp32")), 4)


def _copies(args: Mapping[str, Any], shape: Shape, setting: Setting, others: Mapping[str, Shape]) -> list[Shape]:
    """Models beside the trained one that have no optimizer."""
    found = []
    if setting.task in REFERENCED and (setting.full or "ref_model" in others) and fraction(args, "beta", 1) != 0:
        found.append(others.get("ref_model", shape))
    if setting.task == "gkd" and not truth(args, "offload_teacher_model") and "teacher_model" in others:
        found.append(others["teacher_model"])
    if setting.task == "ppo":
        reward = others.get("reward_model", shape)
        found += [reward, reward]  # the reward model, and the value model that starts from it
    elif "reward_model" in others:
        found.append(others["reward_model"])
    return found


def _frozen(shape: Shape, setting: Setting) -> float:
    if setting.megatron:
        return shape.params * 2 / (setting.tp * setting.pp) if not shape.experts else sum(stage({}, shape, setting)) * 2
    if setting.zero == 3:
        return 0.0 if setting.offload_params else shape.params * 2 / setting.ranks
    return shape.params * 2 / (setting.ranks if setting.fsdp else setting.split)
