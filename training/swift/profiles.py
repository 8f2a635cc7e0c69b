"""Which environment a job needs on its nodes, by its arguments. Pure.

A profile is a whole environment with its own lock (`scripts/locks/PROFILE.txt`), for what can't stand in one: vLLM pins
torch, OpenCompass an old numpy, autoawq an old transformers. Two may be on a node side by side.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Profile = Literal["base", "train", "flash", "vllm", "eval", "quant", "awq", "megatron"]
PROFILES: tuple[Profile, ...] = get_args(Profile)

#: Weights that are quantized already, as their makers name them: reading AWQ or GPTQ takes gptqmodel (transformers 5).
_QUANTIZED = re.compile(r"-(AWQ|GPTQ)\b", re.IGNORECASE)
#: Models whose templates import qwen_vl_utils, timm, decord and the like (swift/model/models, `requires`).
_SEES = re.compile(
    # Qwen3.5 imports them even for text alone.
    r"VL\b|VL[-_\d]|Omni|Ovis|MiniCPM-[Vvo]|vision|Audio|Qwen3\.[5-9]|UI-TARS|multimodal|LLaVA|CogVLM|CogAgent|Molmo"
    r"|mPLUG|xcomposer|MonkeyOCR|MiMo-V2\.5|Valley",
    re.IGNORECASE,
)
_FLASH = ("flash_attn", "flash_attention_2", "flash_attention_3", "flash_attention_4")
#: Engines that no profile has: each pins a torch or peft of its own.
_NOWHERE = ("sglang", "lmdeploy")


@dataclass(frozen=True)
class Needed:
    """A profile, and the argument that asks for it ("" for base)."""

    profile: Profile
    why: str = ""

    def __str__(self) -> str:
        return self.profile + (f": {self.why}" if self.why else "")


def needed(trainer: str, command: str, args: Mapping[str, Any]) -> Needed:
    """The least profile that has all that the job imports. trainer, command, args: as in a job file."""
    return next(_reasons(trainer, command, args), Needed("base"))


def missing(args: Mapping[str, Any]) -> str:
    """The inference engine that the job asks for and no profile has, or ""."""
    return next((str(args[name]) for name in _ENGINES if args.get(name) in _NOWHERE), "")


def folder(profile: str) -> str:
    """Its folder on a node."""
    return "~/swift-env" if profile == "base" else f"~/swift-env-{profile}"


_ENGINES = ("infer_backend", "sampler_engine")


def _reasons(trainer: str, command: str, args: Mapping[str, Any]) -> Iterator[Needed]:
    """Each profile that is asked for, those that hold others' packages first."""
    if trainer == "torchrun":
        return
    if trainer == "megatron":
        yield Needed("megatron", f"megatron {command}")
    for name in _ENGINES:
        if args.get(name) == "vllm":
            yield Needed("vllm", f"{name} vllm")
    if command == "rollout":
        yield Needed("vllm", "swift rollout")
    if _on(args.get("use_vllm")):  # also to talk to a server (swift/rlhf_trainers/rollout_mixin.py)
        yield Needed("vllm", "use_vllm")
    if command == "eval":
        yield Needed("eval", "swift eval")
    if _on(args.get("eval_use_evalscope")):  # by evalscope's own backend, which vllm has too, and all that train has
        yield Needed("vllm" if any(_more(command, args)) else "eval", "eval_use_evalscope")
    method = args.get("quant_method")
    if command == "export" and method == "awq":
        yield Needed("awq", "quant_method awq")
    if method:
        yield Needed("quant", f"quant_method {method}")
    if args.get("quant_bits"):
        yield Needed("quant", "quant_bits")
    if quantized := _QUANTIZED.search(str(args.get("model", ""))):
        yield Needed("quant", f"{quantized[1].upper()} weights")
    if _number(args.get("sequence_parallel_size")) > 1:
        yield Needed("flash", "sequence_parallel_size")
    yield from (Needed("train", why) for why in _more(command, args))


def _more(command: str, args: Mapping[str, Any]) -> Iterator[str]:
    """What base lacks and `train` has."""
    if command in ("app", "web-ui"):
        yield f"swift {command}"
    if args.get("deepspeed"):
        yield "deepspeed"
    for name in ("use_liger_kernel", "use_liger_loss"):
        if _on(args.get(name)):
            yield name
    if args.get("attn_impl") in _FLASH:
        yield f"attn_impl {args['attn_impl']}"
    if "8bit" in str(args.get("optim", "")):
        yield f"optim {args['optim']}"
    for name, values in _LISTED.items():
        given = args.get(name, [])
        for one in given if isinstance(given, list) else str(given).split():
            if one in values:
                yield f"{name} {one}"
    if seen := _SEES.search(str(args.get("model", ""))):
        yield f"a model that takes more than text ({seen[0].strip('-_')})"


#: reward accuracy imports math_verify (swift/rewards/orm.py); the metrics and trackers what they are called after.
_LISTED = {"reward_funcs": ("accuracy",), "report_to": ("wandb", "swanlab"), "eval_metric": ("nlg",)}


def _on(value: Any) -> bool:
    return str(value).lower() in ("true", "1", "yes")


def _number(value: Any) -> int:
    return int(value) if str(value).isdigit() else 0
