"""What a step needs on top of the states: activations kept for the backward pass, one layer's working set, logits.

Counted in bytes a token from the sizes, bf16, with flash or memory-efficient attention (no length x length matrix).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from training.swift.setting import Setting, number, truth
from training.swift.shape import Shape

# Measured with a real torch, transformers and peft by scripts/measure-memory.
#: Bytes a number that goes into an adapter: peft casts a linear's input to fp32 and keeps it again after dropout.
ADAPTER_BYTES = 9
#: Bytes of a logit at the peak of cross entropy's backward, in fp32: log-softmax, its gradient and that of the loss
#: (transformers' ForCausalLMLoss; the trainer holds no logits by then).
LOGIT_BYTES = 12
#: Megatron's: bf16 logits and their transposed copy, in fp32 the logits, their exponentials and the gradient, which
#: then goes back through both bf16 layouts.
MEGATRON_LOGIT_BYTES = 20
#: Distillation compares two distributions: both models' logits, both log-softmaxes, their mixture and its gradient.
DISTILLING_LOGIT_BYTES = 28
#: liger makes logits of so few tokens at a time that they are about as large as all hidden states: fp32, and gradient.
LIGER_BYTES = 8


@dataclass(frozen=True)
class Activations:
    """GiB. kept: over all layers; layer: while one layer is worked on; logits: while the loss is.

    The last two are never there together.
    """

    kept: float
    layer: float
    logits: float


GIB = 2**30


def activations(args: Mapping[str, Any], shape: Shape, setting: Setting) -> Activations:
    tokens = setting.tokens / (setting.sp * setting.cp)
    split = setting.tp if setting.megatron else 1
    layer = layer_working(shape, adapters=not setting.full) * tokens / split
    layer += _scores(args, shape, setting) / split
    return Activations(
        _kept(args, shape, setting, tokens, layer) / GIB, layer / GIB, _logits(args, shape, setting) / GIB
    )


def recomputes(args: Mapping[str, Any], megatron: bool) -> bool:
    """Whether only each layer's input is kept."""
    if megatron:
        return str(args.get("recompute_granularity", "selective")) == "full"
    return truth(args, "gradient_checkpointing", default=True)


def layer_saved(shape: Shape) -> float:
    """Bytes a token that one layer keeps for its backward: both norms' inputs and outputs, q, k, v (before and after
    the rotation), attention's output, and of the MLP gate, up, activation and product."""
    return 2 * (6 * shape.hidden + 3 * shape.q_width + 2 * shape.kv_width) + 2 * 4 * _inner(shape)


def layer_working(shape: Shape, *, adapters: bool) -> float:
    """Bytes a token while one layer is recomputed and differentiated: what it saves, and both norms in fp32. Gradients
    take the place of what they were made from."""
    more = ADAPTER_BYTES * (5 * shape.hidden + shape.q_width + _inner(shape)) if adapters else 0.0
    return layer_saved(shape) + 2 * 8 * shape.hidden + more


def _inner(shape: Shape) -> float:
    """Width of the MLP that a token goes through; with experts also its copies on the way to them and back."""
    if not shape.moe_layers:
        return shape.ffn
    return shape.top_k * (shape.expert_ffn + 0.75 * shape.hidden) + shape.shared_ffn


def _kept(args: Mapping[str, Any], shape: Shape, setting: Setting, tokens: float, layer: float) -> float:
    layers = shape.layers / setting.pp / setting.split
    in_flight = setting.pp  # the first stage has as many micro-batches begun as there are stages
    if not recomputes(args, setting.megatron):
        split = setting.tp if setting.megatron else 1
        return layers * layer_saved(shape) * tokens / split * in_flight
    each = 2 * shape.hidden * tokens
    if setting.megatron and setting.sequence_parallel:
        each /= setting.tp
    if setting.megatron:
        # recompute_num_layers layers are one block: one input kept a block, one block alive at a time.
        block = number(args, "recompute_num_layers", 1) or 1
        return layers / block * each * in_flight + (block - 1) * layer
    if "activation_cpu_offload" in str(args.get("callbacks", "")):
        return each
    return layers * each


def _scores(args: Mapping[str, Any], shape: Shape, setting: Setting) -> float:
    """The length x length matrices of attention without flash: scores, fp32 softmax, its result."""
    name = str(args.get("attention_backend" if setting.megatron else "attn_impl", ""))
    if name not in ("eager", "unfused", "local"):
        return 0.0
    length = setting.tokens / max(1, setting.sequences)
    return setting.sequences * shape.heads * length**2 * 8


def _logits(args: Mapping[str, Any], shape: Shape, setting: Setting) -> float:
    if not setting.head:
        return 0.0
    answers = setting.answers / (setting.sp * setting.cp)
    if setting.megatron:
        return answers * shape.vocab / setting.tp * MEGATRON_LOGIT_BYTES
    if truth(args, "use_liger_kernel"):
        return answers * shape.hidden * LIGER_BYTES + shape.embedding * 2
    per = DISTILLING_LOGIT_BYTES if setting.task == "gkd" else LOGIT_BYTES
    return answers * shape.vocab * per
