"""A model as a graph: its parts are nodes, and every part reads the sum of what the earlier ones wrote.

Sources write to the residual stream: the embedding, then every part. Targets read it: every part, then the logits. An
edge leads from a source to a later target. A pass over the graph gives each edge a weight: at 1 the target reads what
the source writes in this pass, at 0 what it writes in another, the corrupted text (Wang et al. 2022, arXiv:2211.00593;
Hanna et al. 2024, arXiv:2403.17806). All weights at 1 are the model on the clean text, all at 0 on the corrupted one.

The parts compute with the model's own modules, so that whatever they do inside (short convolutions, rotations, grouped
heads) is theirs. Where a model mixes the first layer's values into later heads, these values come from the embedding
and travel along its edges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from talewright.config import ModelConfig
from talewright.errors import UserError
from talewright.inspect.activations import observe
from talewright.inspect.parts import Part, all_parts
from talewright.model.gpt import GPT, Block, convolved
from talewright.model.masks import AttentionMetadata

EMBEDDING, LOGITS = "embedding", "logits"
Node = Part | str
Watch = Callable[[Tensor], None]
"""Is shown what targets read: (targets, B, T, ...)."""


class Graph:
    """The nodes and edges of a shape. Raises UserError for post-norm models, whose stream is no sum."""

    def __init__(self, config: ModelConfig, on_pass: Callable[[int], None] = lambda rows: None) -> None:
        """on_pass: is called with the number of rows at each pass over the graph, to show progress."""
        check_pre_norm(config)
        self.on_pass = on_pass
        self.config, self.parts = config, all_parts(config)
        self.sources: list[Node] = [EMBEDDING, *self.parts]
        self.targets: list[Node] = [*self.parts, LOGITS]
        self.edges = torch.zeros(len(self.sources), len(self.targets), dtype=torch.bool)
        """(U, V): from which source an edge leads to which target."""
        for v, target in enumerate(self.targets):
            self.edges[: self.readable(target), v] = True

    def readable(self, target: Node) -> int:
        """How many of the sources, from the first on, come before this target. Heads of a layer work side by side."""
        if not isinstance(target, Part):
            return len(self.sources)
        before = target.layer * (self.config.n_heads + 1)
        return 1 + before + (self.config.n_heads if target.head is None else 0)

    def layer_targets(self, layer: int) -> tuple[slice, int]:
        """The targets that are the heads of a layer, and the one that is its MLP."""
        first = layer * (self.config.n_heads + 1)
        return slice(first, first + self.config.n_heads), first + self.config.n_heads

    def all_on(self) -> Tensor:
        """The weights of the model itself: (U, V)."""
        return self.edges.float()

    def without_source(self, source: Node) -> Tensor:
        """Weights with every edge of a source at 0: its output is that on the corrupted text (activation patching)."""
        weights = self.all_on()
        weights[self.sources.index(source)] = 0
        return weights


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What a model computes on a batch of texts, by its own forward pass."""

    outputs: Tensor
    """(U, B, T, D): what each source writes."""
    first_values: Tensor | None
    """(B, K, T, d): the first layer's values, where later layers mix them in."""
    streams: list[Tensor]
    """(B, T, D) each: what the attention and the MLP of each layer read, and the last norm."""
    metadata: AttentionMetadata


@torch.no_grad()
def record_sources(model: GPT, tokens: Tensor) -> Recorded:
    """Run the model on tokens (B, T)."""
    outputs: list[Tensor] = []
    streams: list[Tensor] = []

    def see(name: str, value: Tensor) -> None:
        if ".resid_" in name:
            streams.append(value)
        elif name.endswith("attn.z"):
            outputs.extend(_head_outputs(cast(Block, model.blocks[int(name.split(".")[1])]), value))
        else:
            outputs.append(value)

    names = ["embedding", *(f"blocks.*.{name}" for name in ("resid_pre", "attn.z", "resid_mid", "mlp_out"))]
    observe(model, tokens, [*names, f"blocks.{model.config.n_layers - 1}.resid_post"], see)
    metadata = model.metadata(tokens)
    values = cast(Block, model.blocks[0]).values(outputs[0]) if model.config.value_residual else None
    return Recorded(outputs=torch.stack(outputs), first_values=values, streams=streams, metadata=metadata)


def graph_pass(
    model: GPT, graph: Graph, clean: Recorded, corrupt: Recorded, weights: Tensor, watch: Watch | None = None
) -> Tensor:
    """What the last norm reads on the clean text, (B, T, D), with these weights of the edges, (U, V).

    `watch` is shown what every target reads, in order: the heads of a layer (H, B, T, D), and with the first layer's
    values mixed in also these (H, B, K, T, d); its MLP (1, B, T, D); at the end the logits (1, B, T, D).
    """
    graph.on_pass(clean.outputs.shape[1])
    watch, weights = watch or (lambda _: None), weights.to(clean.outputs)
    changes = [clean.outputs[0] - corrupt.outputs[0]]  # by source, what it writes here minus what it writes there

    def reads(stream: Tensor, targets: slice) -> Tensor:  # (targets, B, T, D)
        each = torch.einsum("uv,ubtd->vbtd", weights[: len(changes), targets], torch.stack(changes))
        result = stream + each
        watch(result)
        return result

    for layer, block in enumerate(cast(list[Block], model.blocks)):
        heads, mlp = graph.layer_targets(layer)
        into = reads(corrupt.streams[2 * layer], heads)
        values = _first_values(clean, corrupt, weights[0, heads])
        if values is not None:
            watch(values)
        written = _head_outputs(block, _head_results(block, into, clean.metadata, values))
        changes += [new - old for new, old in zip(written, corrupt.outputs[1 + heads.start :], strict=False)]
        into = reads(corrupt.streams[2 * layer + 1], slice(mlp, mlp + 1))[0]
        hidden = convolved(block.convolution2, block.norm2(into), clean.metadata, None)
        changes.append(block.mlp(hidden, clean.metadata) - corrupt.outputs[1 + mlp])
    return reads(corrupt.streams[-1], slice(-1, None))[0]


def check_pre_norm(config: ModelConfig) -> None:
    """Raise UserError for a post-norm model."""
    if config.norm_placement != "pre":
        raise UserError(
            "this model has its norms after each sum (norm_placement: post), so that its parts do not simply add up; "
            "which part does what is computed for pre-norm models"
        )


def _first_values(clean: Recorded, corrupt: Recorded, weights: Tensor) -> Tensor | None:
    """The first layer's values as each head reads them, along its edge from the embedding: (H, B, K, T, d)."""
    if clean.first_values is None or corrupt.first_values is None:
        return None
    return corrupt.first_values + weights[:, None, None, None, None] * (clean.first_values - corrupt.first_values)


def _head_results(block: Block, reads: Tensor, metadata: AttentionMetadata, values: Tensor | None) -> Tensor:
    """What the heads gather, each from its own input of reads (H, B, T, D): (B, H, T, d)."""
    attention, (H, B) = block.attention, reads.shape[:2]
    mixed = metadata if values is None else metadata._replace(first_values=values.flatten(0, 1))
    projected = attention.project(block.attention_input(reads.flatten(0, 1), mixed), mixed)  # each head's, H times
    own = [each.unflatten(0, (H, B)) for each in projected]  # (H, B, H or K, T, d)
    groups = H // attention.kv_heads
    q, k, v = (
        torch.stack([each[h, :, h // share] for h in range(H)], 1)
        for each, share in zip(own, (1, groups, groups), strict=True)
    )
    return attention.attend(q, k, v, metadata)


def _head_outputs(block: Block, z: Tensor) -> Iterator[Tensor]:
    """What each head writes to the stream, of z (B, H, T, d): (B, T, D) each, without the projection's bias."""
    for gathered, weight in zip(z.unbind(1), block.attention.out.weight.split(z.shape[-1], 1), strict=True):
        yield gathered @ weight.T
