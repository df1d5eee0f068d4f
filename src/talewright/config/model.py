"""The shape and the variants of the model."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from talewright.config.checks import Check, Count, CountOrZero, Positive, Probability, Section

REACH = 3
"""Positions before its own that a short convolution reads."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Section, prefix="model."):
    """Settings of the model. The defaults make a small GPT-2."""

    n_layers: Count = 4
    """Number of transformer blocks."""
    n_heads: Count = 4
    """Attention heads in each block."""
    n_kv_heads: Count | None = None
    """Key and value heads, each shared by a group of query heads. Unset: n_heads."""
    d_model: Count = 128
    """Width of the residual stream."""
    d_ff: Count = 512
    """Width of the MLP's hidden layer."""
    vocab_size: Annotated[int, Check(lambda value: value >= 2, "it counts tokens, so 2 or more")] = 8000
    """Number of token ids. The tokenizer is made to fit it."""
    context_length: Count = 256
    """Largest number of tokens that the model sees at once."""
    norm: Literal["layernorm", "rmsnorm"] = "layernorm"
    """Kind of normalization."""
    norm_placement: Literal["pre", "post"] = "pre"
    """pre: before each sublayer (GPT-2). post: after its residual sum (the original transformer). Both end with a final
    norm."""
    norm_eps: Positive = 1e-5
    """Added to the variance before its square root."""
    qk_norm: bool = False
    """Normalize queries and keys in each head (RMSNorm) before their dot product."""
    value_residual: bool = False
    """Mix the values of each layer with those of the first, by learned weights (Zhou et al. 2024). Learns faster; no
    class of other programs has it."""
    short_convolution: bool = False
    """Add to what attention, the MLP and its hidden layer read a learned part of the three positions before (Canon
    layers, Allen-Zhu 2025). Learns faster; no class of other programs has it."""
    bigrams: CountOrZero = 0
    """Rows of a table of vectors for pairs of neighboring tokens, added to the embedding; pairs share rows by a hash
    (Huang et al. 2025). Learns faster; no class of other programs has it. 0: no table."""
    positions: Literal["learned", "sinusoidal", "rotary"] = "learned"
    """How the model encodes token positions."""
    rotary_base: Positive = 10000.0
    """Base of the rotary angles."""
    embedding_scaled: bool = False
    """Multiply token embeddings by sqrt(d_model), as the original transformer did."""
    activation: Literal["gelu_tanh", "gelu", "relu2", "swiglu"] = "gelu_tanh"
    """Activation of the MLP: GELU by its tanh approximation, exact GELU, squared ReLU, or SwiGLU."""
    bias: tuple[Literal["qkv", "out", "mlp"], ...] = ("qkv", "out", "mlp")
    """The projections that have a bias."""
    attention: Annotated[
        tuple[Literal["global", "local"], ...], Check(bool, "use [global], or [global, local] to alternate")
    ] = ("global",)
    """Kind of attention, repeated over the layers: [global, local] alternates."""
    window: Count = 256
    """Tokens that a local layer sees, including the current one."""
    attention_scaled: bool = True
    """Divide attention scores by sqrt(head width). GPT-Neo does not."""
    tied: bool = True
    """The output layer shares the token embedding's weights."""
    dropout: Probability = 0.0
    """Probability of dropping a value during training, at the dropout_sites."""
    dropout_sites: tuple[Literal["embedding", "attention", "residual", "mlp"], ...] = (
        "embedding",
        "attention",
        "residual",
    )
    """Where dropout acts. mlp is inside the MLP, after its activation."""
    init_std: Positive = 0.02
    """Standard deviation of the initial weights."""

    @property
    def kv_heads(self) -> int:
        return self.n_heads if self.n_kv_heads is None else self.n_kv_heads

    @property
    def head_dim(self) -> int:
        return self.d_model // self.n_heads

    @property
    def convolution_widths(self) -> tuple[int, ...]:
        """Channels of a layer's short convolutions: before attention, before the MLP, in its hidden layer."""
        hidden = self.d_ff * (2 if self.activation == "swiglu" else 1)
        return (self.d_model, self.d_model, hidden) if self.short_convolution else ()

    @property
    def keeps_inputs(self) -> bool:
        """Whether a cache holds more than keys and values."""
        return self.short_convolution or self.bigrams > 0

    def layer_window(self, layer: int) -> int | None:
        """Tokens that layer `layer` sees, or None if it sees all previous ones."""
        return self.window if self.attention[layer % len(self.attention)] == "local" else None

    def conflicts(self) -> Iterator[str]:
        if self.positions == "sinusoidal" and self.d_model % 2:
            yield f"model.d_model is {self.d_model}; sinusoidal positions need an even width"
        if min(self.n_heads, self.d_model) < 1:
            return
        if self.d_model % self.n_heads:
            divisors = [n for n in range(1, min(self.d_model, 1024) + 1) if self.d_model % n == 0]
            near = sorted(sorted(divisors, key=lambda n: abs(n - self.n_heads))[:4])
            yield (
                f"model.n_heads is {self.n_heads}, which does not divide model.d_model {self.d_model}; "
                f"use {', '.join(map(str, near[:-1]))} or {near[-1]}"
            )
        elif self.positions == "rotary" and self.head_dim % 2:
            yield f"model.d_model / model.n_heads is {self.head_dim}; rotary positions need an even head width"
        if self.kv_heads >= 1 and self.n_heads % self.kv_heads:
            yield f"model.n_kv_heads is {self.n_kv_heads}, which does not divide model.n_heads {self.n_heads}"
