"""Projected gradients of the loss on each sequence of a batch.

The gradient of a linear layer's weight (d_out, d_in) is the sum over positions t of delta_t x_t^T: x_t is what the
layer reads, delta_t the gradient of the loss to what it returns. Projected from both sides it is the sum of
(P delta_t) (Q x_t)^T, a k x k matrix for each sequence (LoGra: Choe et al. 2024, arXiv:2405.13954). So the cost is that
of a forward pass and of the part of a backward pass that computes delta, and one batch holds many sequences.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from talewright.model.gpt import GPT, Block
from talewright.model.loss import IGNORED, softmax_gradient

LOGITS_AT_ONCE = 1 << 22
"""Logits that are held at once."""
Receiver = Callable[[str, Tensor, Tensor], None]
"""Is given a matrix's name, and for each position P delta (B, T, k) and Q x (B, T, k)."""


class KroneckerProjection(NamedTuple):
    """The two sides of the projection of a matrix (d_out, d_in) to (k, k): P gradient Q^T."""

    out: Tensor
    """P: (k, d_out)"""
    into: Tensor
    """Q: (k, d_in)"""


def matrices(model: GPT) -> dict[str, Tensor]:
    """The weight matrices whose gradients count, by name: those of the blocks, the token embedding, the output layer.

    All but norms, biases, learned positions and convolutions, which are a hundredth of the parameters or less, and
    bigrams, whose gradients are those of the embedding, divided among pairs.
    """
    found = {
        f"{name}.weight": module.weight
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) or module is model.embedding
    }
    return cast(dict[str, Tensor], found)


class GradientProjector:
    """Computes projected gradients of one model, with dropout off. The model itself does not change."""

    def __init__(
        self, model: GPT, projections: Mapping[str, KroneckerProjection], dtype: torch.dtype | None = None
    ) -> None:
        """projections: one for each of `matrices`; dtype: that of matrix products, by default the weights'."""
        shared: Any = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
        self.model = copy.deepcopy(model, shared).eval()
        self.device = model.output_weight.device
        self.dtype = dtype or model.output_weight.dtype
        self.projections = {
            name: KroneckerProjection(*(side.to(self.device, self.dtype) for side in projections[name]))
            for name in matrices(model)
        }
        self._receive: Receiver = lambda name, out, into: None
        self._watch_model()

    def gradients(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Projected gradients of the summed loss of each row, flattened and joined in the order of `matrices`:
        (B, matrices * k * k). `tokens` and `targets` (B, T), with IGNORED at padding.
        """
        sums: dict[str, Tensor] = {}

        def add(name: str, out: Tensor, into: Tensor) -> None:
            product = out.mT @ into  # (B, k, k)
            sums[name] = sums[name] + product if name in sums else product

        self._run(tokens, targets, add)
        return torch.cat([sums[name].flatten(1) for name in self.projections], 1)

    def contributions(self, tokens: Tensor, targets: Tensor, direction: Tensor) -> Tensor:
        """How much each position adds to the inner product of `gradients` with a direction (matrices * k * k,):
        (B, T). A position's share is that of what the layers read there.
        """
        sizes = [len(side.out) * len(side.into) for side in self.projections.values()]
        parts = direction.to(self.device).split(sizes)
        directions = dict(zip(self.projections, parts, strict=True))
        total = torch.zeros(tokens.shape, device=self.device, dtype=direction.dtype)

        def add(name: str, out: Tensor, into: Tensor) -> None:
            direction = directions[name].view(out.shape[-1], into.shape[-1]).to(out.dtype)
            total.add_(((out @ direction) * into).sum(-1))

        self._run(tokens, targets, add)
        return total

    def _run(self, tokens: Tensor, targets: Tensor, receive: Receiver) -> None:
        """One forward and one backward pass, in which `receive` is called for every matrix, for the token embedding and
        some others twice.
        """
        self._receive = receive
        tokens, targets = tokens.to(self.device), targets.to(self.device)
        with torch.enable_grad(), torch.autocast(self.device.type, self.dtype, enabled=self._mixed):
            hidden = self.model.hidden(tokens)
        d_hidden = self._output_layer(hidden.detach(), targets)
        torch.autograd.grad(hidden, self._embedded, d_hidden.to(hidden.dtype))  # the hooks see all that lies between
        self._receive = lambda name, out, into: None

    @property
    def _mixed(self) -> bool:
        return self.dtype != self.model.output_weight.dtype

    def _output_layer(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Receive the output layer's gradient, and return the gradient to what it reads, (B, T, D)."""
        name = "embedding.weight" if self.model.head is None else "head.weight"
        weight, projection = self.model.output_weight.detach().to(self.dtype), self.projections[name]
        real = targets != IGNORED
        rows, chosen = hidden[real].to(self.dtype), targets[real]
        d_rows, out = torch.empty_like(rows), rows.new_empty(len(rows), len(projection.out))
        size = max(1, LOGITS_AT_ONCE // len(weight))
        for part in (slice(start, start + size) for start in range(0, len(rows), size)):
            d_logits = softmax_gradient(F.linear(rows[part], weight), chosen[part])[1]
            d_rows[part], out[part] = d_logits @ weight, F.linear(d_logits, projection.out)
        d_hidden, d_out = (each.new_zeros(*targets.shape, each.shape[1]) for each in (d_rows, out))
        d_hidden[real], d_out[real] = d_rows, out
        self._pass_on(name, d_out, F.linear(hidden.to(self.dtype), projection.into))
        return d_hidden

    # --- hooks ---

    def _watch_model(self) -> None:
        for name, module in self.model.named_modules():
            if isinstance(module, nn.Linear) and module is not self.model.head:
                module.register_forward_hook(partial(self._watch_linear, f"{name}.weight"))
        self.model.embedding.register_forward_hook(self._watch_embedding)
        if self.model.config.value_residual:
            self._watch_first_values(cast(Block, self.model.blocks[0]))

    def _watch_linear(self, name: str, module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        into = self._project(given[0], self.projections[name].into)
        output.register_hook(lambda delta: self._pass_on(name, self._project(delta, self.projections[name].out), into))

    def _watch_embedding(self, module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        self._embedded, projection = output, self.projections["embedding.weight"]
        rows = projection.out.T[given[0]]  # (B, T, k): P of the one-hot vectors
        output.register_hook(lambda d: self._pass_on("embedding.weight", rows, self._project(d, projection.into)))

    def _watch_first_values(self, block: Block) -> None:
        """The first layer's values, which later ones mix with their own, come from its qkv matrix by another way."""
        name, values = "blocks.0.attention.qkv.weight", block.attention.values
        projection = self.projections[name]
        size = block.attention.kv_heads * block.attention.head_dim

        def watched(x: Tensor) -> Tensor:
            output = values(x)  # (B, K, T, d)
            into = self._project(x, projection.into)

            def receive(delta: Tensor) -> None:
                rows = delta.transpose(1, 2).flatten(2)  # (B, T, K * d)
                self._pass_on(name, self._project(rows, projection.out[:, -size:]), into)

            output.register_hook(receive)
            return output

        block.attention.values = watched

    def _project(self, values: Tensor, side: Tensor) -> Tensor:
        with torch.autocast(self.device.type, enabled=False):
            return F.linear(values.detach().to(self.dtype), side)

    def _pass_on(self, name: str, out: Tensor, into: Tensor) -> None:
        """Sums over positions are taken in float32 at least."""
        dtype = torch.promote_types(self.dtype, torch.float32)
        self._receive(name, out.to(dtype), into.to(dtype))
