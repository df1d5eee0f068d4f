"""What each head of attention does: how far it looks, the role that it plays, and what is lost without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import cast

import numpy as np
import torch
from torch import Tensor

from talewright.config import ModelConfig
from talewright.inspect.activations import record, zero_head
from talewright.inspect.sequences import batches
from talewright.model.gpt import GPT, Block
from talewright.model.loss import IGNORED, token_scores

ROLES = {
    "previous token": "looks at the token just before",
    "first token": "looks at the first token of the text, where there is nothing: a place to rest",
    "duplicate token": "looks at the same token where it stood before",
    "induction": "looks at what followed the same token before, and so can repeat it",
    "name mover": "where a name of the story comes next, looks at where that name stood before",
}
PLAYS = 0.3
"""A head is called after a role that takes this much of its attention."""
REPEATED = 50
"""Random tokens that are repeated."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """What was measured of one head."""

    layer: int
    head: int
    reach: float
    """How many tokens back it looks, on average over its attention."""
    roles: dict[str, float]
    """By role, the share of attention that goes where the role says. A role that could not be measured is left out."""
    loss_without: float | None = None
    """What the mean loss rises by, in nats per token, when the head gives 0."""

    @property
    def name(self) -> str:
        return f"{self.layer}.{self.head}"

    def with_loss(self, rise: float) -> Head:
        """The same head, with what the loss rises by without it."""
        return replace(self, loss_without=rise)

    @property
    def role(self) -> str:
        """The role that takes most of its attention, or "mixed" where none takes much."""
        best = max(self.roles, key=self.roles.__getitem__, default="mixed")
        return best if self.roles.get(best, 0) >= PLAYS else "mixed"


def measure_heads(
    model: GPT, passages: Sequence[np.ndarray], names: Sequence[set[int]], seed: int = 0
) -> tuple[list[Head], dict[str, float]]:
    """Every head on these passages, and what each role would get of an even attention.

    `names` says of each passage which token ids are names in it (`find_names_of_people`). Duplicate token and induction
    are measured on random tokens, repeated once (Olsson et al. 2022, arXiv:2209.11895); the rest on the passages.
    """
    sums, even, counts = _on_stories(model, passages, names)
    measured = {role: sums[role] / counts[role] for role in sums if counts[role]}
    chance = {role: even[role] / counts[role] for role in sums if counts[role]}
    if model.config.context_length >= 5:
        repeated, length = repeated_tokens(model.config, seed)
        weights = _weights(model, repeated)
        measured |= repeat_scores(weights, length)
        chance |= repeat_scores(_even(repeated.shape[1])[None, None, None], length)
    reach = measured.pop("reach")
    chance.pop("reach")
    heads = [
        Head(
            layer=layer,
            head=head,
            reach=float(reach[layer, head]),
            roles={role: float(measured[role][layer, head]) for role in ROLES if role in measured},
        )
        for layer in range(model.config.n_layers)
        for head in range(model.config.n_heads)
    ]
    return heads, {role: float(value.flatten()[0]) for role, value in chance.items()}


def repeated_tokens(config: ModelConfig, seed: int, rows: int = 4) -> tuple[Tensor, int]:
    """Rows of random tokens that come twice, and how many come: a first token, n tokens, the same n tokens."""
    length = min(REPEATED, (config.context_length - 1) // 2)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(config.vocab_size, (rows, 1 + length), generator=generator)
    return torch.cat((drawn, drawn[:, 1:]), 1), length


def repeat_scores(weights: Tensor, length: int) -> dict[str, Tensor]:
    """Of weights (L, B, H, T, T) on repeated tokens, by head (L, H): the mean attention from each token of the second
    copy to its twin in the first, and to what followed that twin.
    """
    second = weights[..., 1 + length :, :]  # (L, B, H, n, T)
    at = torch.arange(length)
    twins, after = second[..., at, at + 1], second[..., at, at + 2]
    return {"duplicate token": twins.mean((1, 3)), "induction": after.mean((1, 3))}


def find_names_of_people(tokens: Sequence[int] | np.ndarray, token_bytes: Sequence[bytes]) -> set[int]:
    """Ids that are a name in this text: a word with a capital in the middle of a sentence, other than I."""
    found = set()
    for before, token in pairwise(tokens):
        spelled, last = token_bytes[token].decode("utf-8", "ignore"), token_bytes[before][-1:].decode("utf-8", "ignore")
        if spelled[:1] == " " and len(spelled) > 2 and spelled[1].isupper() and (last.isalpha() or last == ","):
            found.add(int(token))
    return found


def losses_without(model: GPT, passages: Sequence[np.ndarray]) -> np.ndarray:
    """What the mean loss rises by when a head gives 0: (n_layers, n_heads), nats per token."""
    config = model.config
    risen, tokens = np.zeros((config.n_layers, config.n_heads)), 0
    for inputs, targets in batches(passages):
        inputs, targets = inputs.to(model.output_weight.device), targets.to(model.output_weight.device)
        risen += _losses_without(model, inputs, targets)
        tokens += int((targets != IGNORED).sum())
    return risen / tokens


@torch.no_grad()
def _losses_without(model: GPT, inputs: Tensor, targets: Tensor) -> np.ndarray:
    """Summed over the batch. The layers before a head are run once for all, as nothing changes in them."""
    blocks, found = list(cast(list[Block], model.blocks)), np.zeros((model.config.n_layers, model.config.n_heads))
    metadata = model.metadata(inputs)
    x = model.embed(inputs, metadata)

    def loss(x: Tensor, first: int) -> float:
        for block in blocks[first:]:
            x = block(x, metadata)
        scores, _ = token_scores(model.norm(x), model.output_weight, targets)
        return float(scores.double().sum())

    whole = loss(x, 0)
    for layer, block in enumerate(blocks):
        for head in range(model.config.n_heads):
            found[layer, head] = loss(zero_head(block, x, metadata, head), layer + 1) - whole
        x = block(x, metadata)
    return found


def _on_stories(
    model: GPT, passages: Sequence[np.ndarray], names: Sequence[set[int]]
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, int]]:
    """Summed attention (L, H) by role over the tokens where it is measured, the same of even attention, and their
    number. The first two tokens of a text have nothing to choose among.
    """
    config = model.config
    roles = ("previous token", "first token", "reach", "name mover")
    sums = {role: torch.zeros(config.n_layers, config.n_heads) for role in roles}
    even = {role: torch.zeros(1, 1) for role in roles}
    counts: dict[str, int] = dict.fromkeys(roles, 0)
    for tokens, known in zip(passages, names, strict=True):
        T = len(tokens) - 1
        weights = _weights(model, torch.from_numpy(tokens[None, :-1]))[:, 0]  # (L, H, T, T)
        places = {**_places(T), "name mover": _name_places(tokens, known)}
        for role, place in places.items():
            sums[role] += torch.einsum("lhts,ts->lh", weights, place)
            even[role] += (_even(T) * place).sum()
            counts[role] += int((place.sum(1) > 0).sum())
    return sums, even, counts


def _places(T: int) -> dict[str, Tensor]:
    """By role, how much of the attention from each token to each counts: (T, T)."""
    here = torch.arange(T)
    back = (here[:, None] - here).clamp(min=0)
    late = (here >= 2)[:, None]
    return {
        "previous token": ((back == 1) & late).float(),
        "first token": ((here == 0)[None] & late).float(),
        "reach": (back * late).float(),
    }


def _name_places(tokens: np.ndarray, names: set[int]) -> Tensor:
    """Where a known name comes next: 1 at each earlier place of that name, (T, T)."""
    read, coming = torch.from_numpy(tokens[:-1]), torch.from_numpy(tokens[1:])
    wanted = torch.tensor([int(token) in names for token in coming], dtype=torch.bool)
    return (wanted[:, None] & (coming[:, None] == read[None])).tril().float()


def _even(T: int) -> Tensor:
    """Attention that is spread evenly: (T, T)."""
    seen = torch.ones(T, T).tril()
    return seen / seen.sum(1, keepdim=True)


def _weights(model: GPT, tokens: Tensor) -> Tensor:
    """Every layer's attention weights: (L, B, H, T, T), float32, on the processor."""
    found = record(model, tokens.to(model.output_weight.device), ["blocks.*.attn.pattern"])
    return torch.stack([weights.float().cpu() for weights in found.values()])
