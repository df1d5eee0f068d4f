"""The whole model on one screen: embed, L blocks of attention and feed-forward, norm, output layer."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from talewright.config import ModelConfig
from talewright.model.attention import Attention, Placement, place
from talewright.model.dropout import dropout
from talewright.model.kv_cache import KVCache, LayerCache
from talewright.model.loss import Taught, cross_entropy
from talewright.model.mlp import MLP
from talewright.model.norm import make_norm
from talewright.model.positions import rotations, sinusoids


class Block(nn.Module):
    """Attention, then feed-forward, each added to the residual stream."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.norm1, self.attention = make_norm(config), Attention(config, layer)
        self.norm2, self.mlp = make_norm(config), MLP(config)
        self.pre_norm = config.norm_placement == "pre"
        self.dropout = config.dropout if "residual" in config.dropout_sites else 0.0

    def forward(self, x: Tensor, place: Placement, cache: LayerCache | None = None) -> Tensor:  # (B, T, D)
        if self.pre_norm:
            x = x + self.drop(self.attention(self.norm1(x), place, cache))
            return x + self.drop(self.mlp(self.norm2(x)))
        x = self.norm1(x + self.drop(self.attention(x, place, cache)))
        return self.norm2(x + self.drop(self.mlp(x)))

    def drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.dropout, self.training)


class GPT(nn.Module):
    """A decoder-only transformer (Radford et al. 2019), in the shapes that `ModelConfig` describes."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        learned = config.positions == "learned"
        self.positions = nn.Embedding(config.context_length, config.d_model) if learned else None
        self.blocks = nn.ModuleList([Block(config, layer) for layer in range(config.n_layers)])
        self.norm = make_norm(config)
        self.head = None if config.tied else nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.table: Tensor
        self.register_buffer("table", _position_table(config), persistent=False)  # computed, so never saved
        self.windows = {config.layer_window(layer) for layer in range(config.n_layers)}
        self.init_weights()

    def forward(
        self,
        tokens: Tensor,
        targets: Tensor | None = None,
        cache: KVCache | None = None,
        taught: Taught | None = None,
    ) -> Tensor:
        """Logits (B, T, V) of the token after each of `tokens` (B, T); or, with targets (B, T), their summed loss: with
        a teacher as `cross_entropy` gives it.
        """
        x = self.hidden(tokens, cache)
        return self.logits(x) if targets is None else self.loss(x, targets, taught)

    def hidden(self, tokens: Tensor, cache: KVCache | None = None) -> Tensor:
        """What the output layer reads: (B, T, D). With a cache, `tokens` come after those it holds."""
        x, place = self.embed(tokens, cache)
        for i, block in enumerate(self.blocks):
            x = block(x, place, cache.layers[i] if cache else None)
        if cache is not None:
            cache.advance(tokens.shape[1])
        return self.norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """The output layer: (..., D) to (..., V)."""
        return F.linear(hidden, self.output_weight)

    def loss(self, hidden: Tensor, targets: Tensor, taught: Taught | None = None) -> Tensor:
        """The targets' summed loss, from what the output layer reads."""
        return cross_entropy(hidden, self.output_weight, targets, taught)

    def embed(self, tokens: Tensor, cache: KVCache | None = None) -> tuple[Tensor, Placement]:
        """The residual stream (B, T, D) as the first block reads it, and where its tokens stand."""
        return self.embed_at(tokens, place(self.windows, tokens.shape[1], cache, tokens.device))

    def embed_at(self, tokens: Tensor, placed: Placement) -> tuple[Tensor, Placement]:
        """The same of tokens whose places are known, to which it adds the rotary angles."""
        x = self.embedding(tokens)
        if self.config.embedding_scaled:
            x = x * self.config.d_model**0.5
        if self.positions is not None:
            x = x + self.positions(placed.positions)
        elif self.config.positions == "sinusoidal":
            x = x + self.table[placed.positions]
        else:
            rotation = self.table[:, placed.positions]  # (2, T, d), or (2, B, T, d)
            placed = placed._replace(rotation=rotation if rotation.dim() == 3 else rotation[:, :, None])
        x = dropout(x, self.config.dropout, self.training and "embedding" in self.config.dropout_sites)
        return x, placed

    @property
    def output_weight(self) -> Tensor:
        """(V, D): the output layer's weights, which are the embedding's where the two are tied."""
        return self.embedding.weight if self.head is None else self.head.weight

    def init_weights(self) -> None:
        """N(0, 0.02), and residual projections smaller by sqrt(2L), as GPT-2: the first loss is then close to ln V."""
        std = self.config.init_std
        residual_std = std / (2 * self.config.n_layers) ** 0.5
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                residual = name.endswith(("attention.out.weight", "mlp.down.weight"))
                nn.init.normal_(parameter, 0.0, residual_std if residual else std)
            elif name.endswith(".bias"):
                nn.init.zeros_(parameter)


def _position_table(config: ModelConfig) -> Tensor | None:
    if config.positions == "sinusoidal":
        return sinusoids(config.context_length, config.d_model)
    if config.positions == "rotary":
        return rotations(config.context_length, config.head_dim, config.rotary_base)
    return None
