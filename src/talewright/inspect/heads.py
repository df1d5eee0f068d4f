"""What each attention head does: how far back it attends, which role it plays, and the loss without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np
import torch
from torch import Tensor

from talewright.config import ModelConfig
from talewright.inspect.activations import observe, record, zero_head
from talewright.inspect.sequences import batches
from talewright.model.gpt import GPT, Block
from talewright.model.loss import IGNORED, token_scores

PATTERN = "blocks.{}.attn.pattern"
ROLES = {
    "previous token": "attends to the token just before",
    "first token": "attends to the first token of the text, which carries no information: a place to rest",
    "duplicate token": "attends to the earlier occurrence of the same token",
    "induction": "attends to what followed the earlier occurrence of the same token, and so can repeat it",
    "name mover": "where a name of the story comes next, attends to the earlier occurrences of that name",
}
ROLE_SHARE = 0.3
"""A head has a role if this share of its attention fits the role."""
REPEATED = 50
"""Number of random tokens that are repeated to find duplicate-token and induction heads."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """What was measured of one attention head."""

    layer: int
    head: int
    distance: float
    """Mean number of tokens back that it attends to, weighted by attention."""
    roles: dict[str, float]
    """By role, the share of attention that fits it. A role that could not be measured is left out."""
    loss_without: float | None = None
    """Increase of the mean loss, in nats per token, when the head's output is set to 0."""

    @property
    def name(self) -> str:
        return f"{self.layer}.{self.head}"

    @property
    def role(self) -> str:
        """The role that takes most of its attention, or "mixed" if none takes much."""
        best = max(self.roles, key=self.roles.__getitem__, default="mixed")
        return best if self.roles.get(best, 0) >= ROLE_SHARE else "mixed"


def attention_patterns(model: GPT, tokens: Tensor, layer: int | str = "*") -> Tensor:
    """The attention weights of every layer (or of one) on tokens (B, T): (L, B, H, T, T), float32, on the CPU."""
    weights = record(model, tokens.to(model.output_weight.device), [PATTERN.format(layer)]).values()
    return torch.stack([each.float().cpu() for each in weights])


def measure_heads(
    model: GPT,
    sequences: Sequence[np.ndarray],
    names: Sequence[set[int]],
    seed: int = 0,
    vocab_size: int | None = None,
) -> tuple[list[Head], dict[str, float]]:
    """Measure every head on these sequences; also returns each role's share under uniform attention.

    `names` holds, for each sequence, the token ids that are names in it (`find_names`). Duplicate token and induction
    are measured on random tokens that are repeated once (Olsson et al. 2022, arXiv:2209.11895), the rest on the
    sequences.
    """
    measured, chance = _shares_on_stories(model, sequences, names)
    if model.config.context_length >= 5:
        tokens, length = repeated_tokens(model.config, seed, vocab_size=vocab_size)
        measured |= repeat_scores(attention_patterns(model, tokens), length)
        chance |= repeat_scores(_uniform(tokens.shape[1])[None, None, None], length)
    shape = model.config.n_layers, model.config.n_heads
    distances = measured.pop("distance", torch.full(shape, float("nan")))  # no story has three tokens
    chance.pop("distance", None)
    heads = [
        Head(
            layer=layer,
            head=head,
            distance=float(distances[layer, head]),
            roles={role: float(measured[role][layer, head]) for role in ROLES if role in measured},
        )
        for layer, head in np.ndindex(shape)
    ]
    return heads, {role: float(share) for role, share in chance.items()}


def repeated_tokens(config: ModelConfig, seed: int, rows: int = 4, vocab_size: int | None = None) -> tuple[Tensor, int]:
    """Rows of a first token, n random tokens, and the same n tokens again; and n.

    vocab_size: the tokenizer's, where the model has more ids.
    """
    length = min(REPEATED, (config.context_length - 1) // 2)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(vocab_size or config.vocab_size, (rows, 1 + length), generator=generator)
    return torch.cat((drawn, drawn[:, 1:]), 1), length


def repeat_scores(patterns: Tensor, length: int) -> dict[str, Tensor]:
    """Given patterns (L, B, H, T, T) on repeated tokens, the mean attention of each head (L, H) from the second copy of
    a token to its first copy, and to the token after the first copy.
    """
    second = patterns[..., 1 + length :, :]  # (L, B, H, n, T)
    at = torch.arange(length)
    duplicate, induction = second[..., at, at + 1], second[..., at, at + 2]
    return {"duplicate token": duplicate.mean((1, 3)), "induction": induction.mean((1, 3))}


def find_names(tokens: Sequence[int] | np.ndarray, token_bytes: Sequence[bytes]) -> set[int]:
    """Ids of tokens that are a name in this text: a capitalized word inside a sentence, other than I."""
    names = set()
    for before, token in pairwise(tokens):
        word, last = token_bytes[token].decode("utf-8", "ignore"), token_bytes[before][-1:].decode("utf-8", "ignore")
        if word[:1] == " " and len(word) > 2 and word[1].isupper() and (last.isalpha() or last == ","):
            names.add(int(token))
    return names


def losses_without(model: GPT, sequences: Sequence[np.ndarray]) -> np.ndarray:
    """Increase of the mean loss when a head's output is set to 0: (n_layers, n_heads), nats per token."""
    config = model.config
    increase, tokens = np.zeros((config.n_layers, config.n_heads)), 0
    for inputs, targets in batches(sequences):
        inputs, targets = inputs.to(model.output_weight.device), targets.to(model.output_weight.device)
        increase += _losses_without(model, inputs, targets)
        tokens += int((targets != IGNORED).sum())
    return increase / tokens


@torch.no_grad()
def _losses_without(model: GPT, inputs: Tensor, targets: Tensor) -> np.ndarray:
    """Summed over the batch. The layers before a head are run only once, because they do not change."""
    blocks, found = list(cast(list[Block], model.blocks)), np.zeros((model.config.n_layers, model.config.n_heads))
    x, metadata = model.first_input(inputs, model.metadata(inputs))

    def loss(x: Tensor, first: int) -> float:
        for block in blocks[first:]:
            x = block(x, metadata)
        scores, _ = token_scores(model.norm(x), model.output_weight, targets)
        return float(scores.cpu().double().sum())  # Apple's GPU has no float64

    whole = loss(x, 0)
    for layer, block in enumerate(blocks):
        for head in range(model.config.n_heads):
            found[layer, head] = loss(zero_head(block, x, metadata, head), layer + 1) - whole
        x = block(x, metadata)
    return found


def _shares_on_stories(
    model: GPT, sequences: Sequence[np.ndarray], names: Sequence[set[int]]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Mean of each measure (L, H) over the tokens where it is defined, and the same under uniform attention (scalars).
    A measure that is defined nowhere is left out.
    """
    sums: dict[str, Tensor] = {}
    uniform: dict[str, Tensor] = {}
    counts: dict[str, int] = {}
    for tokens, known in zip(sequences, names, strict=True):
        T = len(tokens) - 1
        masks = _position_masks(T) | {"name mover": _name_mask(tokens, known)}
        totals = _masked_totals(model, tokens, torch.stack(list(masks.values())))  # (L, H, measures)
        for measure, mask, total in zip(masks, masks.values(), totals.unbind(-1), strict=True):
            sums[measure] = sums.get(measure, 0) + total
            uniform[measure] = uniform.get(measure, 0) + (_uniform(T) * mask).sum()
            counts[measure] = counts.get(measure, 0) + int((mask.sum(1) > 0).sum())
    defined = [measure for measure, count in counts.items() if count]
    return {m: sums[m] / counts[m] for m in defined}, {m: uniform[m] / counts[m] for m in defined}


def _masked_totals(model: GPT, tokens: np.ndarray, masks: Tensor) -> Tensor:
    """The attention of every head on T + 1 tokens within each mask (M, T, T): (L, H, M). One layer is held at once."""
    totals: list[Tensor] = []

    def see(_: str, pattern: Tensor) -> None:  # (1, H, T, T)
        totals.append(pattern[0].float().cpu().flatten(1) @ masks.flatten(1).T)

    inputs = torch.from_numpy(tokens[None, :-1]).to(model.output_weight.device)
    observe(model, inputs, [PATTERN.format("*")], see)
    return torch.stack(totals)


def _position_masks(T: int) -> dict[str, Tensor]:
    """By measure, the weight of the attention from each token (row) to each token (column): (T, T).

    The first two tokens of a text are left out, as they have too few tokens to choose from.
    """
    position = torch.arange(T)
    distance = (position[:, None] - position).clamp(min=0)
    late = (position >= 2)[:, None]
    return {
        "previous token": ((distance == 1) & late).float(),
        "first token": ((position == 0)[None] & late).float(),
        "distance": (distance * late).float(),
    }


def _name_mask(tokens: np.ndarray, names: set[int]) -> Tensor:
    """Where a name comes next, 1 at each earlier occurrence of that name: (T, T)."""
    inputs, targets = torch.from_numpy(tokens[:-1]), torch.from_numpy(tokens[1:])
    is_name = torch.tensor([int(token) in names for token in targets], dtype=torch.bool)
    return (is_name[:, None] & (targets[:, None] == inputs[None])).tril().float()


def _uniform(T: int) -> Tensor:
    """Causal attention that is spread evenly: (T, T)."""
    seen = torch.ones(T, T).tril()
    return seen / seen.sum(1, keepdim=True)
