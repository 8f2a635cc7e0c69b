"""What a model's config.json says that matters for memory, as a `Shape`: sizes, and weights by kind.

The shapes of common models ship in `models.yaml`, with the weight count of the published checkpoint. Any other model is
read from its own config.json, and its weights are counted from the sizes (`count`).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from infra.errors import BadInput
from training.swift.counting import count, text_config, vision_config
from training.swift.shape import Shape

MODELS = Path(__file__).with_name("models.yaml")
#: Where the two hubs keep what they downloaded, if no variable says otherwise.
CACHES = (("HF_HUB_CACHE", "~/.cache/huggingface/hub"), ("MODELSCOPE_CACHE", "~/.cache/modelscope/hub"))


def shape_of(model: str, folder: Path = Path()) -> Shape:
    """The shape of a model by hub id, or of a folder that has a config.json (relative to `folder`).

    Raises BadInput, with what to do, where neither ships nor is here.
    """
    local = folder / Path(model).expanduser()
    config = local / "config.json" if local.is_dir() else local
    if config.name == "config.json" and config.is_file():
        return from_file(config)
    if shape := shipped().get(model.lower()):
        return shape
    for cached in _in_caches(model):
        return from_file(cached)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", model):
        raise BadInput(f"{model} is neither a folder here with a config.json nor a hub id", do="Check the path.")
    raise BadInput(
        f"the shape of {model} is not known: its memory can't be estimated",
        do=f"Download its config.json (hf download {model} config.json) and give the folder, or one of its size.",
    )


def from_file(config: Path) -> Shape:
    """The shape in a config.json; BadInput where it isn't one of a language model."""
    try:
        read = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"not JSON: {error}", where=str(config), do="Give a model's folder.") from error
    try:
        return from_config(read)
    except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise BadInput(
            f"no language model's configuration: {error} is missing or wrong", where=str(config), do="Check the path."
        ) from error


@cache
def shipped() -> dict[str, Shape]:
    """All shapes of `models.yaml` by hub id, in lower case: hubs don't agree on capitals."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    rows = yaml.load(MODELS.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506  a safe loader, in C where it is
    found: dict[str, Shape] = {}
    for row in rows:
        shape = Shape(**{key: value for key, value in row.items() if key != "names"})
        found |= dict.fromkeys(map(str.lower, row["names"]), shape)
    return found


def as_row(shape: Shape) -> dict[str, Any]:
    """Only what differs from the defaults: a line of `models.yaml`."""
    return {f.name: value for f in fields(Shape) if (value := getattr(shape, f.name)) != f.default}


def _in_caches(model: str) -> Iterator[Path]:
    """config.json of a hub id in the hubs' own caches, newest first."""
    hf, modelscope = (Path(os.environ.get(name, default)).expanduser() for name, default in CACHES)
    if home := os.environ.get("HF_HOME"):
        hf = Path(os.environ.get("HF_HUB_CACHE", f"{home}/hub")).expanduser()
    found = list((hf / f"models--{model.replace('/', '--')}" / "snapshots").glob("*/config.json"))
    # ModelScope writes dots in a model's name as three underscores.
    for name in (model, model.replace(".", "___")):
        found += [one for sub in ("models", ".") if (one := modelscope / sub / name / "config.json").is_file()]
    yield from sorted(found, key=lambda one: one.stat().st_mtime, reverse=True)


def from_config(config: Mapping[str, Any]) -> Shape:
    """The shape in a config.json as transformers writes it, its weights counted. KeyError names what is missing."""

    text, eyes = text_config(config), vision_config(config)
    heads = int(first(text, "num_attention_heads", "n_head"))
    hidden = int(first(text, "hidden_size", "n_embd", "d_model"))
    layers = int(first(text, "num_hidden_layers", "num_layers", "n_layer"))
    head = int(first(text, "head_dim", "kv_channels", default=hidden // heads) or hidden // heads)
    kv_heads = int(first(text, "num_key_value_heads", "multi_query_group_num", default=heads) or heads)
    ffn = int(first(text, "ffn_hidden_size", "intermediate_size", default=4 * hidden))
    if text.get("model_type") == "qwen":  # counts gate and up together
        ffn //= 2
    mla = int(text.get("kv_lora_rank") or 0)
    experts = int(first(text, "num_experts", "n_routed_experts", "num_local_experts", default=0) or 0)
    expert_ffn = int(first(text, "moe_intermediate_size", default=ffn)) if experts else 0
    shared = int(
        first(text, "shared_expert_intermediate_size", "moe_shared_expert_intermediate_size", default=0)
        or int(text.get("n_shared_experts") or 0) * expert_ffn
    )
    if text.get("model_type") in ("llama4_text",):
        shared, ffn = ffn, int(text.get("intermediate_size_mlp", ffn))
    quantized = dict(config.get("quantization_config") or text.get("quantization_config") or {})
    shape = Shape(
        params=0,
        hidden=hidden,
        layers=layers,
        ffn=ffn,
        vocab=int(first(text, "padded_vocab_size", "vocab_size")),
        heads=heads,
        kv_width=mla + int(text.get("qk_rope_head_dim") or 0) if mla else 2 * kv_heads * head,
        q_width=heads * (int(text["v_head_dim"]) if mla else head),
        tied=_one_embedding(config, text),
        gates=2 if _ungated(text) else 3,
        experts=experts,
        top_k=int(first(text, "num_experts_per_tok", "top_k_experts", "moe_topk", default=1) or 1) if experts else 0,
        expert_ffn=expert_ffn,
        shared_ffn=shared if experts else 0,
        moe_layers=_moe_layers(text, layers) if experts else 0,
        attention_layers=_attention_layers(text, layers),
        vision_hidden=int(first(eyes, "embed_dim", "hidden_size", "width", "mm_embed_dim", default=0)),
        vision_layers=int(first(eyes, "depth", "num_hidden_layers", "layers", default=0)),
        patch=int(first(eyes, "patch_size", default=14)) if eyes else 0,
        merge=int(eyes.get("spatial_merge_size") or 2) if eyes else 0,
        length=int(first(text, "max_position_embeddings", "seq_length", default=0) or 0),
        quantized=str(quantized.get("quant_method", "")),
        bits=_bits(quantized),
        dtype_bytes=4 if "float32" in str(first({**text, **config}, "torch_dtype", "dtype", default="bfloat16")) else 2,
    )
    params, vision = count(config, shape)
    return replace(shape, params=params, vision=vision)


def first(config: Mapping[str, Any], *names: str, default: Any = None) -> Any:
    """The first of these keys that has a value; the key error of the first one, unless there is a default."""
    for name in names:
        if config.get(name) is not None:
            return config[name]
    if default is None:
        raise KeyError(names[0])
    return default


def _one_embedding(config: Mapping[str, Any], text: Mapping[str, Any]) -> bool:
    """Whether the head is the embedding itself, or there is none: an encoder's or a reward model's is a row or two."""
    if any(kind.endswith(("SequenceClassification", "RewardModel")) for kind in config.get("architectures") or ()):
        return True
    by_default = str(text.get("model_type", "")).startswith("gemma")  # transformers' own default for the family
    return bool(config.get("tie_word_embeddings", text.get("tie_word_embeddings", by_default)))


def _ungated(text: Mapping[str, Any]) -> bool:
    return str(text.get("model_type", "")) in ("nemotron", "nemotron_h", "bert", "xlm-roberta", "gpt2", "opt")


def _moe_layers(text: Mapping[str, Any], layers: int) -> int:
    """How many layers route: all, but for the first few or every n-th."""
    if pattern := text.get("hybrid_override_pattern"):
        return str(pattern).count("E")
    step = int(first(text, "interleave_moe_layer_step", "decoder_sparse_step", default=1) or 1)
    dense = int(text.get("first_k_dense_replace") or 0) + len(text.get("mlp_only_layers") or ())
    return (layers - dense) // step


def _attention_layers(text: Mapping[str, Any], layers: int) -> int:
    """Layers whose cache grows with the whole context."""
    if pattern := text.get("hybrid_override_pattern"):
        return str(pattern).count("*")
    if kinds := text.get("layer_types"):
        return sum(kind == "full_attention" for kind in kinds)
    return layers // int(text.get("full_attention_interval") or 1)


def _bits(quantized: Mapping[str, Any]) -> int:
    if not quantized:
        return 16
    method = str(quantized.get("quant_method", ""))
    if method == "bitsandbytes":
        return 4 if quantized.get("load_in_4bit") else 8
    return int(quantized.get("bits") or {"fp8": 8, "mxfp4": 4}.get(method, 4))
