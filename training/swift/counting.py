"""Weights of a model, counted from the sizes in its config.json; within 2 % of the published count for the families in
`models.yaml`, which a test holds it to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.swift.shape import Shape

#: Where a multimodal model's config.json keeps its language model.
TEXT = ("thinker_config", "text_config", "llm_config", "language_config")
EYES = ("thinker_config", "vision_config", "vit_config")


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    found = config
    for name in TEXT:
        found = found.get(name) or found
    # A speech model is its talker alone.
    return found if "talker_config" not in found or found.get("hidden_size") else found["talker_config"]


def vision_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    found = config
    for name in EYES:
        found = found.get(name) or found
    return {} if found is config or found is config.get("thinker_config") else found


def count(config: Mapping[str, Any], shape: Shape) -> tuple[int, int]:
    """(weights in all, weights of the encoders with their projectors)."""
    text = text_config(config)
    dense = shape.layers - shape.moe_layers
    if "hybrid_override_pattern" in text:  # each layer is one thing only: a mixer or the experts
        dense = 0
    body = (
        _mixers(text, shape)
        + dense * shape.gates * shape.hidden * shape.ffn
        + shape.expert_params
        + shape.moe_layers * shape.hidden * (shape.experts + shape.gates * shape.shared_ffn)
        + shape.layers * 2 * shape.hidden
    )
    vision = _vision(config, shape) + _audio(config)
    return shape.head_and_embedding + body + vision, vision


def _mixers(text: Mapping[str, Any], shape: Shape) -> int:
    """Weights of attention, or of what stands in its place in linear layers."""
    full = _attention(text, shape)
    if text.get("linear_num_value_heads"):
        linear = _gated_delta(text, shape.hidden)
        return shape.attention_layers * full + (shape.layers - shape.attention_layers) * linear
    if pattern := text.get("hybrid_override_pattern"):
        return pattern.count("*") * full + pattern.count("M") * _mamba(text, shape.hidden)
    if wide := text.get("global_head_dim"):  # Gemma 4: every n-th layer has fewer and wider heads, keys serve as values
        kv = int(text.get("num_global_key_value_heads") or 1) * int(wide)
        globally = shape.hidden * (2 * shape.heads * int(wide) + kv)
        return shape.attention_layers * globally + (shape.layers - shape.attention_layers) * full
    return shape.layers * full


def _attention(text: Mapping[str, Any], shape: Shape) -> int:
    h, q = shape.hidden, shape.q_width
    if rank := text.get("kv_lora_rank"):
        nope, rope, value = (int(text[f"{name}_head_dim"]) for name in ("qk_nope", "qk_rope", "v"))
        q_rank = int(text.get("q_lora_rank") or 0)
        queries = shape.heads * (nope + rope)
        down = h * q_rank + q_rank * queries if q_rank else h * queries
        index = int(text.get("index_n_heads") or 0) * int(text.get("index_head_dim") or 0)
        return down + h * (rank + rope) + rank * shape.heads * (nope + value) + q * h + index * q_rank
    gate = q * h if text.get("attn_output_gate") or text.get("model_type") == "qwen3_next" else 0
    return 2 * q * h + gate + h * shape.kv_width


def _gated_delta(text: Mapping[str, Any], hidden: int) -> int:
    keys = int(text["linear_num_key_heads"]) * int(text["linear_key_head_dim"])
    heads = int(text["linear_num_value_heads"])
    values = heads * int(text["linear_value_head_dim"])
    return hidden * (2 * keys + 2 * values + 2 * heads) + values * hidden + 4 * (2 * keys + values)


def _mamba(text: Mapping[str, Any], hidden: int) -> int:
    heads = int(text["mamba_num_heads"])
    inner = heads * int(text["mamba_head_dim"])
    state = 2 * int(text["n_groups"]) * int(text["ssm_state_size"])
    return hidden * (2 * inner + state + heads) + inner * hidden


def _vision(config: Mapping[str, Any], shape: Shape) -> int:
    """Encoder and projector of images: attention, MLP (gated where the family's is), a two-layer projector."""
    eyes = vision_config(config)
    h, layers = shape.vision_hidden, shape.vision_layers
    if not eyes or not layers:
        return 0
    ffn = int(eyes.get("intermediate_size") or h * float(eyes.get("mlp_ratio") or 4))
    kind, out = str(config.get("model_type", "")), shape.hidden
    if kind.startswith("glm4v"):  # its intermediate_size is the projector's
        return layers * (4 * h * h + 3 * h * out) + h * shape.merge**2 * out + out * out + 3 * out * ffn
    gated = kind in ("qwen2_5_vl", "qwen2_5_omni")
    wide = h * shape.merge**2
    mergers = 1 + len(eyes.get("deepstack_visual_indexes") or ())
    return layers * (4 * h * h + (3 if gated else 2) * h * ffn) + mergers * (wide * wide + wide * out)


def _audio(config: Mapping[str, Any]) -> int:
    thinker = config.get("thinker_config") or config
    ears = thinker.get("audio_config") or {}
    width, layers = int(ears.get("d_model") or 0), int(ears.get("encoder_layers") or 0)
    return layers * (4 * width * width + 2 * width * int(ears.get("encoder_ffn_dim") or 0))
