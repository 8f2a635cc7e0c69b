"""Shapes of models: what ships, what a config.json says, and what is said where there is neither."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.errors import BadInput
from training.swift.shapes import as_row, from_config, shape_of, shipped

DENSE = {
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "torch_dtype": "bfloat16",
    "tie_word_embeddings": False, "hidden_size": 3584, "intermediate_size": 18944,
    "num_hidden_layers": 28, "num_attention_heads": 28,
    "num_key_value_heads": 4, "vocab_size": 152064, "max_position_embeddings": 32768,
}  # fmt: skip
EXPERTS = {
    "model_type": "qwen3_moe", "hidden_size": 2048, "intermediate_size": 6144, "moe_intermediate_size": 768,
    "num_hidden_layers": 48, "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128, "vocab_size": 151936,
    "num_experts": 128, "num_experts_per_tok": 8, "decoder_sparse_step": 1, "mlp_only_layers": [],
    "tie_word_embeddings": False, "max_position_embeddings": 40960,
}  # fmt: skip
LATENT = {
    "model_type": "deepseek_v3", "hidden_size": 7168, "intermediate_size": 18432, "moe_intermediate_size": 2048,
    "num_hidden_layers": 61, "num_attention_heads": 128, "num_key_value_heads": 128, "vocab_size": 129280,
    "n_routed_experts": 256, "num_experts_per_tok": 8, "n_shared_experts": 1, "first_k_dense_replace": 3,
    "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
    "tie_word_embeddings": False, "quantization_config": {"quant_method": "fp8", "fmt": "e4m3"},
}  # fmt: skip
HYBRID = {
    "model_type": "qwen3_5_moe", "tie_word_embeddings": False,
    "text_config": {
        "model_type": "qwen3_5_moe_text", "hidden_size": 2048, "moe_intermediate_size": 512,
        "shared_expert_intermediate_size": 512, "num_experts": 256, "num_experts_per_tok": 8, "num_hidden_layers": 40,
        "num_attention_heads": 16, "num_key_value_heads": 2, "head_dim": 256, "vocab_size": 248320,
        "attn_output_gate": True, "full_attention_interval": 4, "linear_key_head_dim": 128, "linear_num_key_heads": 16,
        "linear_num_value_heads": 32, "linear_value_head_dim": 128, "tie_word_embeddings": False,
    },
    "vision_config": {
        "depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "out_hidden_size": 2048, "patch_size": 16,
        "spatial_merge_size": 2,
    },
}  # fmt: skip
PICTURES = {
    **DENSE, "model_type": "qwen2_5_vl",
    "vision_config": {
        "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "out_hidden_size": 3584, "patch_size": 14,
        "spatial_merge_size": 2,
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "model"),
    [
        (DENSE, "Qwen/Qwen2.5-7B-Instruct"),
        (EXPERTS, "Qwen/Qwen3-30B-A3B"),
        (LATENT, "deepseek-ai/DeepSeek-V3"),
        (HYBRID, "Qwen/Qwen3.5-35B-A3B"),
        (PICTURES, "Qwen/Qwen2.5-VL-7B-Instruct"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_weights_counted_from_a_configuration_are_those_of_the_published_checkpoint(
    config: dict[str, Any], model: str
) -> None:
    counted, published = from_config(config), shape_of(model)
    assert counted.params == pytest.approx(published.params, rel=0.02)
    differ = {key for key in as_row(published) if getattr(counted, key) != getattr(published, key)}
    assert differ <= {"params", "vision", "mtp", "length"}


def test_the_shipped_shapes_are_whole_and_their_experts_are_most_of_a_mixture() -> None:
    shapes = shipped()
    assert len(shapes) >= 205
    for name, shape in shapes.items():
        assert shape.params > shape.vision + shape.head_and_embedding, name
        assert not shape.experts or 0.5 < shape.expert_params / (shape.params - shape.vision) < 1, name
        assert min(shape.hidden, shape.layers, shape.vocab, shape.heads, shape.kv_width, shape.q_width) > 0, name


def test_a_models_folder_is_read_and_a_name_in_any_capitals_is_found(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text(json.dumps(DENSE))
    assert shape_of("mine", tmp_path) == from_config(DENSE)
    assert shape_of("qwen/qwen2.5-7b-instruct") is shape_of("Qwen/Qwen2.5-7B-Instruct")


def test_a_configuration_in_a_hubs_cache_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, place in (
        ("HF_HUB_CACHE", "models--me--mine/snapshots/abc"),
        ("MODELSCOPE_CACHE", "models/me/mine___5"),
    ):
        folder = tmp_path / variable / place
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(DENSE))
        monkeypatch.setenv(variable, str(tmp_path / variable))
    assert shape_of("me/mine") == shape_of("me/mine.5") == from_config(DENSE)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[1]", "no language model"),
        ('{"model_type": "unet"}', "num_attention_heads"),
        ('{"num_attention_heads": "x", "hidden_size": 1}', "no language model"),
    ],
)
def test_what_is_no_models_configuration_is_said_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(BadInput, match=said):
        shape_of("config.json", tmp_path)


def test_an_unknown_model_says_what_to_do() -> None:
    with pytest.raises(BadInput, match="hf download nobody/has-this config.json"):
        shape_of("nobody/has-this")
    with pytest.raises(BadInput, match="/nowhere is neither a folder"):
        shape_of("/nowhere")
