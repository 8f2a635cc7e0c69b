"""What a model's memory depends on, as one value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """Sizes of a decoder (or encoder), and how many weights it has.

    params: all weights that ms-swift loads: no prediction (MTP) layers.
    speech: weights of speech output, which are loaded with it unless ENABLE_AUDIO_OUTPUT is 0; not in params.
    vision: of these, encoders of images and sound with their projectors.
    mtp: prediction layers, which Megatron loads only when told to.
    ffn: the dense layers' inner size; gates: matrices of that size per MLP (3 where it is gated).
    experts, top_k, expert_ffn, shared_ffn, moe_layers: a mixture of experts; 0 where there is none.
    attention_layers: layers with full attention, the others keep no growing cache; kv_width: numbers a token and layer
    in the cache.
    vision_hidden, vision_layers: of the image encoder; merge: its patches to one token, along one side; patch: pixels.
    quantized, bits: how the checkpoint stores its linear weights; "" and 16 where they are plain.
    """

    params: int
    hidden: int
    layers: int
    ffn: int
    vocab: int
    heads: int
    kv_width: int
    q_width: int = 0
    tied: bool = False
    gates: int = 3
    vision: int = 0
    speech: int = 0
    mtp: int = 0
    experts: int = 0
    top_k: int = 0
    expert_ffn: int = 0
    shared_ffn: int = 0
    moe_layers: int = 0
    attention_layers: int = 0
    vision_hidden: int = 0
    vision_layers: int = 0
    patch: int = 0
    merge: int = 0
    length: int = 0
    quantized: str = ""
    bits: int = 16
    dtype_bytes: int = 2

    @property
    def embedding(self) -> int:
        """Weights of the embedding, or of the head."""
        return self.vocab * self.hidden

    @property
    def head_and_embedding(self) -> int:
        return self.embedding * (1 if self.tied else 2)

    @property
    def expert_params(self) -> int:
        """Weights of all routed experts: what expert parallelism divides."""
        return self.moe_layers * self.experts * self.gates * self.hidden * self.expert_ffn

    @property
    def linear(self) -> int:
        """Weights in the decoder's linear layers: what LoRA wraps and what quantization shrinks."""
        return max(0, self.params - self.vision - self.head_and_embedding)

    @property
    def multimodal(self) -> bool:
        return self.vision > 0
