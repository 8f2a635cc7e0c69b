"""How a job's arguments lay a model over GPUs: what is trained, what is divided by what, how many tokens at once.

Names and defaults are ms-swift 4.6's: `swift` has ZeRO, FSDP2, device_map and sequence parallelism, `megatron` has
tensor, pipeline, context and expert parallelism.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.swift.rows import Rows, rows_of
from training.swift.shape import Shape

#: Tasks whose rows are pairs: two sequences of up to max_length go through the model for each row.
PAIRED = ("dpo", "orpo", "simpo", "kto", "cpo", "rm")
#: Of these (and GRPO, PPO) keep a second copy of the model to compare with, unless the copy is "adapter off".
REFERENCED = ("dpo", "kto", "grpo", "ppo")
#: Answers are generated while training.
GENERATED = ("grpo", "ppo")
#: Sequences of one reranker row: a positive with MAX_NEGATIVE_SAMPLES (7) negatives.
RANKED = 8
#: Tokens of a picture where nothing limits it.
PICTURE = 1024
#: What ms-swift takes where a file has no max_length: the model's own limit, which no single GPU is meant for.
UNKNOWN_LENGTH = 2048


@dataclass(frozen=True)
class Setting:
    """gpus: GPUs in all. ranks: processes in all; fewer than GPUs where one process spreads a model (device_map).

    task: sft, pt, dpo, kto, grpo, ...; head: whether a language head (with logits) is trained on.
    tokens: of one forward and backward. sequences: in it. answers: tokens whose logits are made.
    varied: the number of tokens changes from step to step. assumed: it rests on no data set that is known.
    offload_optimizer: the part of it in host memory. speech: whether a model's speech output is loaded.
    expandable: PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True.
    """

    megatron: bool
    task: str
    gpus: int
    ranks: int
    tuner: str
    bits: int
    tokens: int
    sequences: int
    answers: int
    head: bool = True
    tp: int = 1
    pp: int = 1
    cp: int = 1
    ep: int = 1
    etp: int = 1
    sp: int = 1
    zero: int = 0
    fsdp: bool = False
    offload_optimizer: float = 0.0
    offload_params: bool = False
    varied: bool = False
    assumed: bool = False
    speech: bool = True
    expandable: bool = False
    sequence_parallel: bool = False

    @property
    def full(self) -> bool:
        return self.tuner == "full"

    @property
    def split(self) -> int:
        """GPUs of one process: device_map lays layers over them."""
        return 1 if self.megatron else max(1, self.gpus // self.ranks)

    @property
    def dp(self) -> int:
        """Copies that see different data; optimizer states of dense weights divide by it (times cp)."""
        return max(1, self.gpus // (self.tp * self.pp * self.cp)) if self.megatron else max(1, self.ranks // self.sp)

    @property
    def expert_dp(self) -> int:
        return max(1, self.gpus // (self.etp * self.ep * self.pp))


def setting_of(
    command: str,
    args: Mapping[str, Any],
    shape: Shape,
    gpus: int,
    ranks: int | None = None,
    env: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Setting:
    """command: `swift sft`, `megatron rlhf`, ... ranks: processes; by default one a GPU. folder: of the job's files."""
    megatron = command.startswith("megatron")
    task = str(args.get("rlhf_type", "dpo")) if "rlhf" in command else command.split()[-1]
    kind = str(args.get("task_type", "causal_lm"))
    tuner, bits = _tuner(args, shape, megatron)
    length = number(args, "max_length") or min(shape.length or UNKNOWN_LENGTH, UNKNOWN_LENGTH)
    rows = rows_of(args, length, folder, prompts=task in GENERATED)
    rows = rows.with_pictures(image_tokens(args, env or {}, shape) if shape.multimodal else 0).cut(length)
    batch = number(args, "micro_batch_size" if megatron else "per_device_train_batch_size", 1)
    packed = truth(args, "packing")
    if not packed:  # a packed row's length is that of all its sequences
        batch *= 2 if task in PAIRED or kind == "embedding" else RANKED if kind.endswith("reranker") else 1
    tokens, sequences, varied = _tokens(args, rows, batch, length, megatron)
    answers = tokens
    if task in GENERATED:
        answer = number(args, "max_completion_length", 512)
        tokens, sequences, answers = batch * (rows.longest + answer), batch, batch * answer
    elif task == "gkd" and fraction(args, "lmbda", 0.5) > 0 and not packed:
        # On-policy: prompts with answers that the student writes.
        tokens = max(tokens, batch * min(length, rows.longest + number(args, "max_completion_length", 512)))
        answers = tokens
    zero, offload_optimizer, offload_params = _zero(args.get("deepspeed"))
    if megatron and truth(args, "optimizer_cpu_offload"):
        offload_optimizer = min(1.0, fraction(args, "optimizer_offload_fraction", 1.0))
    return Setting(
        megatron=megatron,
        task=task,
        gpus=gpus,
        ranks=ranks or gpus,
        tuner=tuner,
        bits=bits,
        tokens=tokens,
        sequences=sequences,
        answers=answers,
        head=task != "rm" and kind == "causal_lm",  # a generative reranker's head gives two logits
        tp=number(args, "tensor_model_parallel_size", 1) if megatron else 1,
        pp=number(args, "pipeline_model_parallel_size", 1) if megatron else 1,
        cp=number(args, "context_parallel_size", 1) if megatron else 1,
        ep=number(args, "expert_model_parallel_size", 1) if megatron else 1,
        etp=number(args, "expert_tensor_parallel_size", 1) if megatron else 1,
        sp=1 if megatron else number(args, "sequence_parallel_size", 1),
        zero=zero,
        fsdp=bool(args.get("fsdp")),
        offload_optimizer=offload_optimizer,
        offload_params=offload_params,
        varied=varied and not megatron,
        assumed=varied and not rows.known,
        speech=not megatron and (env or {}).get("ENABLE_AUDIO_OUTPUT", "1").lower() not in ("0", "false"),
        expandable="expandable_segments:True" in (env or {}).get("PYTORCH_CUDA_ALLOC_CONF", ""),
        sequence_parallel=truth(args, "sequence_parallel"),
    )


def _tuner(args: Mapping[str, Any], shape: Shape, megatron: bool) -> tuple[str, int]:
    """(tuner, bits of the frozen linear weights)."""
    tuner = str(args.get("tuner_type", args.get("train_type", "full" if megatron else "lora")))
    bits = shape.bits
    if args.get("quant_method"):
        bits = 8 if "8" in str(args.get("quant_bits", 4)) else number(args, "quant_bits", 4) or 4
    if megatron:  # the bridge unpacks what it loads; weights kept in fp8 are kept in two layouts
        bits = 16
    if shape.quantized == "mxfp4":  # transformers unpacks it before it trains
        bits = 16
    return tuner, bits


def _tokens(args: Mapping[str, Any], rows: Rows, batch: int, length: int, megatron: bool) -> tuple[int, int, bool]:
    """(tokens of one micro-batch, sequences in it, whether the number varies from batch to batch)."""
    if truth(args, "packing"):
        packed = number(args, "packing_length") or length
        return batch * packed, max(1, round(batch * packed / max(1.0, rows.mean))), False
    if truth(args, "padding_free", default=megatron):
        return rows.batch(batch), batch, True
    return batch * rows.longest, batch, True


def image_tokens(args: Mapping[str, Any], env: Mapping[str, str], shape: Shape) -> int:
    """Most tokens of one picture, as max_pixels or the family's variable limits them."""
    if given := number(env, "IMAGE_MAX_TOKEN_NUM"):
        return given
    side = (shape.patch or 14) * (shape.merge or 2)
    return (number(env, "MAX_PIXELS") or number(args, "max_pixels")) // side**2 or PICTURE


def _zero(deepspeed: Any) -> tuple[int, float, bool]:
    """(stage, part of the optimizer in host memory, whether parameters are there too) of ms-swift's `deepspeed`."""
    if not deepspeed:
        return 0, 0.0, False
    text = str(deepspeed)
    if isinstance(deepspeed, Mapping) or text.lstrip().startswith("{"):
        inner = _mapping(_mapping(deepspeed).get("zero_optimization"))
        away = [_mapping(inner.get(f"offload_{one}")).get("device", "none") != "none" for one in ("optimizer", "param")]
        return number(inner, "stage"), float(away[0]), away[1]
    name = text.rsplit("/", 1)[-1].removesuffix(".json")
    stage = int(name[4]) if name.startswith("zero") and name[4:5].isdigit() else 3
    return stage, float("offload" in name), stage == 3 and "offload" in name


def _mapping(value: Any) -> Mapping[str, Any]:
    """A mapping as it is or as JSON; an empty one where it is none."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, Mapping) else {}


def truth(args: Mapping[str, Any], name: str, default: bool = False) -> bool:
    """A flag as a job file may write it: true, "true", 1."""
    return str(args.get(name, default)).lower() in ("true", "1", "yes")


def number(args: Mapping[str, Any], name: str, default: int = 0) -> int:
    """A whole number as a job file may write it; the default where it is none: `fleet check` is who complains.

    At least the default where that is 1, as for sizes that something is divided by.
    """
    found = fraction(args, name, default)
    return max(int(found), default if default == 1 else 0)


def fraction(args: Mapping[str, Any], name: str, default: float) -> float:
    """A number as a job file may write it, likewise."""
    try:
        found = float(args.get(name, default))
    except (TypeError, ValueError):
        return default
    return found if 0 <= found < 1e12 else default  # neither infinite nor no number
