"""GiB a GPU that a job needs, by part, from its arguments and the model's shape. Pure.

The number is what PyTorch reserves at its peak (what ms-swift logs as `memory(GiB)`), on the GPU that holds most.
How it is computed, and how well it meets published figures: docs/memory.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.swift.activations import activations
from training.swift.setting import Setting, fraction, number, setting_of, truth
from training.swift.shape import Shape
from training.swift.states import GIB, states

#: Reserved by PyTorch on top of what tensors need: rounding and holes between blocks. Fewer with expandable segments.
SLACK, EXPANDABLE_SLACK = 0.06, 0.03
#: More of what changes its size from step to step, where each length leaves holes that fit no other.
VARIED_SLACK = 0.25
#: cuBLAS workspaces, NCCL's own buffers, the loader's last tensor.
BASE_GIB = 0.7
#: On the card beside what PyTorch reserves: the CUDA context and NCCL.
CONTEXT_GIB = 0.8
#: ms-swift's zero3.json: weights gathered and not yet released (stage3_max_live_parameters + max_reuse_distance).
ZERO3_LIVE = 2e9
#: ms-swift's zero2.json: reduce_bucket_size and allgather_bucket_size.
ZERO2_BUCKETS = 4e8


@dataclass(frozen=True)
class Estimate:
    """GiB on the GPU that holds most. parts: they sum to it. trainable: weights with a gradient.
    host_gib: memory of all hosts together for what is offloaded.

    vllm_share: of the card, taken by an engine beside the trainer; vllm_sleeps: not while the trainer works.
    """

    parts: Mapping[str, float]
    setting: Setting
    trainable: int = 0
    host_gib: float = 0.0
    vllm_share: float = 0.0
    vllm_sleeps: bool = False

    @property
    def gib(self) -> float:
        return sum(self.parts.values())

    def on(self, card_gib: float) -> float:
        """GiB on a card of this size: the engine takes its share of it, unless it sleeps while the trainer works."""
        engine = self.vllm_share * card_gib
        if self.vllm_sleeps:
            return max(self.gib, engine + self.parts["weights"])
        return self.gib + engine

    def fits(self, card_gib: float) -> bool:
        return self.on(card_gib) + CONTEXT_GIB <= card_gib

    @property
    def states(self) -> float:
        """What is there however short the rows are."""
        return self.gib - self.parts["activations"] - self.parts["logits"]


def estimate(
    command: str,
    args: Mapping[str, Any],
    shape: Shape,
    gpus: int,
    *,
    ranks: int | None = None,
    env: Mapping[str, str] | None = None,
    others: Mapping[str, Shape] | None = None,
    folder: Path | None = None,
) -> Estimate:
    """command: `swift sft`, ... gpus: in all; ranks: processes in all, by default one a GPU.

    others: shapes of ref_model, teacher_model, reward_model, by argument. folder: where the job's own files are.
    """
    setting = setting_of(command, args, shape, gpus, ranks, env, folder)
    held = states(args, shape, setting, others or {})
    step = activations(args, shape, setting)
    varied = 1 + (VARIED_SLACK if setting.varied and not setting.expandable else 0.0)
    kept, working, logits = step.kept * varied, step.layer * varied, max(0.0, step.logits - step.layer) * varied
    gathered = _gathered(shape, setting)
    # A teacher answers before Megatron's step, but within swift's: beside what the student's forward has kept.
    beside = held.others + max(0.0, held.lent - working - (kept if setting.megatron else 0.0))
    tensors = held.weights + held.gradients + held.optimizer + beside + kept + working + logits + gathered
    slack = (EXPANDABLE_SLACK if setting.expandable else SLACK) * tensors
    parts = {
        "weights": held.weights,
        "gradients": held.gradients,
        "optimizer": held.optimizer,
        "other models": beside,
        "activations": kept + working,
        "logits": logits,
        "buffers": gathered + slack + BASE_GIB,
    }
    share, sleeps = _engine(args, setting)
    return Estimate(parts, setting, held.trainable, _host_gib(shape, setting, held.trainable), share, sleeps)


def _gathered(shape: Shape, setting: Setting) -> float:
    """Weights that one GPU has of others for a while, and buckets on their way."""
    whole = shape.params * 2.0
    if setting.zero == 3:
        return min(whole, ZERO3_LIVE * 2 + shape.head_and_embedding * 2) / GIB
    if setting.fsdp:  # this layer and the next, with the root's embedding and head
        return min(whole, 2 * shape.linear * 2 / shape.layers + shape.head_and_embedding * 2) / GIB
    if setting.zero in (1, 2) and setting.full:
        return min(whole, ZERO2_BUCKETS * 2) / GIB
    return 0.0


def _host_gib(shape: Shape, setting: Setting, trainable: int) -> float:
    """fp32 master, gradient and two moments of what trains, and bf16 weights, where they are offloaded."""
    return (trainable * 16 * setting.offload_optimizer + shape.params * 2 * setting.offload_params) / GIB


def _engine(args: Mapping[str, Any], setting: Setting) -> tuple[float, bool]:
    """(share of the card that a vLLM engine beside the trainer takes, whether it sleeps while the trainer works)."""
    grpo = setting.task in ("grpo", "gkd")
    if not grpo or not truth(args, "use_vllm", default=setting.megatron) or args.get("vllm_mode") != "colocate":
        return 0.0, False
    return fraction(args, "vllm_gpu_memory_utilization", 0.9), number(args, "sleep_level") > 0
