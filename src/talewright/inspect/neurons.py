"""Neurons of the feed-forward layers, and where in the stories each fires most (as Eldan & Li 2023 look at them)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from talewright.config import ModelConfig
from talewright.errors import UserError
from talewright.inspect.activations import record
from talewright.inspect.sequences import batches
from talewright.model.gpt import GPT
from talewright.model.loss import IGNORED

EXAMPLES = 5
CONSIDERED = 20
"""Stories, those in which a neuron fires most, that are asked whether it has a subject."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """A story in which the neuron fires."""

    story: int
    position: int
    """The token at which it fires most, of those read (0: the end of text before the story)."""
    values: np.ndarray
    """What the neuron gives at each token that is read: (T,)."""


@dataclass(frozen=True, kw_only=True)
class Neuron:
    layer: int
    neuron: int
    examples: list[Example]
    """The stories in which it fires most, the strongest first."""
    token: int
    """The token at which it fires most often, among the strongest of its stories."""
    share: float
    """In which share of them."""

    @property
    def name(self) -> str:
        return f"{self.layer}.{self.neuron}"


def parse_neurons(words: str, config: ModelConfig) -> list[tuple[int, int]]:
    """Layers and neurons of "0.12,3.511". Raises UserError where one is none of this model."""
    found = []
    for word in filter(None, re.split(r"[,\s]+", words)):
        match = re.fullmatch(r"(\d+)\.(\d+)", word)
        if not match or int(match[1]) >= config.n_layers or int(match[2]) >= config.d_ff:
            raise UserError(
                f"--neurons has {word!r}; a neuron is LAYER.NUMBER, from 0.0 to {config.n_layers - 1}.{config.d_ff - 1}"
            )
        found.append((int(match[1]), int(match[2])))
    return found


def peaks(model: GPT, passages: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Of each story, layer and neuron, the largest value and where it is: (S, L, d_ff) each."""
    highest, where = [], []
    for inputs, targets in batches(passages):
        found = record(model, inputs.to(model.output_weight.device), ["blocks.*.mlp.post"])
        hidden = torch.stack(list(found.values()), 1).float().cpu()  # (B, L, T, d_ff)
        hidden = hidden.masked_fill((targets == IGNORED)[:, None, :, None], float("-inf"))
        top = hidden.max(2)
        highest.append(top.values)
        where.append(top.indices)
    return torch.cat(highest).numpy(), torch.cat(where).numpy()


def find_neurons(
    model: GPT, passages: Sequence[np.ndarray], wanted: Sequence[tuple[int, int]] = (), number: int = 8
) -> list[Neuron]:
    """The wanted neurons; without, `number` whose strongest stories agree best on a token, no two on the same."""
    highest, where = peaks(model, passages)
    chosen = wanted or _choose(highest, where, passages, number)
    return [_describe(model, passages, highest[:, i, j], where[:, i, j], i, j) for i, j in chosen]


def _choose(
    highest: np.ndarray, where: np.ndarray, passages: Sequence[np.ndarray], number: int
) -> list[tuple[int, int]]:
    """The most single-minded: by how many of a neuron's strongest stories it fires at one token, and how far that
    stands out of its usual peaks. The stories' commonest tokens, which are easily met by chance, come last.
    """
    S, _, F = highest.shape
    fired = np.stack([tokens[where[i]] for i, tokens in enumerate(passages)])  # (S, L, F): the token under each peak
    order = np.argsort(-highest, axis=0, kind="stable")[: min(CONSIDERED, S)]  # (C, L, F)
    strongest = np.take_along_axis(fired, order, 0)
    modes, shares = _modes(strongest)
    spread = highest.std(0) + 1e-9
    stands_out = (np.take_along_axis(highest, order, 0).mean(0) - highest.mean(0)) / spread
    common = np.unique(np.concatenate([np.unique(tokens) for tokens in passages]), return_counts=True)
    stories_with = dict(zip(common[0].tolist(), (common[1] / S).tolist(), strict=True))
    rarity = 1 - np.vectorize(lambda token: stories_with[token], otypes=[float])(modes)
    ranked = np.argsort(-(shares * stands_out * rarity).ravel(), kind="stable")
    chosen, taken = [], set()
    for flat in ranked:
        layer, neuron = divmod(int(flat), F)
        if int(modes[layer, neuron]) not in taken:
            taken.add(int(modes[layer, neuron]))
            chosen.append((layer, neuron))
        if len(chosen) == number:
            break
    return chosen


def _modes(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The commonest of tokens (C, L, F) along the first axis, and its share: (L, F) each."""
    counts = (tokens[:, None] == tokens[None]).sum(1)  # (C, L, F): how often each one's token is there
    best = counts.argmax(0)[None]
    return np.take_along_axis(tokens, best, 0)[0], np.take_along_axis(counts, best, 0)[0] / len(tokens)


def _describe(
    model: GPT, passages: Sequence[np.ndarray], highest: np.ndarray, where: np.ndarray, layer: int, neuron: int
) -> Neuron:
    order = np.argsort(-highest, kind="stable")
    examples = []
    for story in order[:EXAMPLES]:
        inputs = torch.from_numpy(passages[story][None, :-1]).to(model.output_weight.device)
        name = f"blocks.{layer}.mlp.post"
        values = record(model, inputs, [name])[name][0, :, neuron].float().cpu().numpy()
        examples.append(Example(story=int(story), position=int(where[story]), values=values))
    fired = np.array([[[passages[i][where[i]]]] for i in order[:CONSIDERED]])
    modes, shares = _modes(fired)
    return Neuron(layer=layer, neuron=neuron, examples=examples, token=int(modes[0, 0]), share=float(shares[0, 0]))
