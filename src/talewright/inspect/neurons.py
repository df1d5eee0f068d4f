"""MLP neurons, and where in the stories each is most active (after Eldan & Li 2023)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from talewright.config import ModelConfig
from talewright.errors import UserError
from talewright.inspect.activations import record
from talewright.inspect.sequences import batches
from talewright.model.gpt import GPT
from talewright.model.loss import IGNORED

NEURONS = "blocks.{}.mlp.post"
EXAMPLES = 5
"""Number of stories to show for each neuron."""
STRONGEST = 20
"""Number of stories, those with the highest activations, that decide which token a neuron responds to."""


@dataclass(frozen=True, kw_only=True)
class NeuronExample:
    """A story in which the neuron is active."""

    story: int
    position: int
    """Input position of its highest activation (0: the end-of-text token before the story)."""
    values: np.ndarray
    """Its activation at each input token: (T,)."""


@dataclass(frozen=True, kw_only=True)
class Neuron:
    """A neuron and its strongest stories."""

    layer: int
    neuron: int
    examples: list[NeuronExample]
    """Those whose highest activation is at `token` first; among these and among the others, the highest first."""
    token: int
    """The most common token at the peaks of its strongest stories."""
    share: float
    """The share of these stories whose peak is at that token."""

    @property
    def name(self) -> str:
        return f"{self.layer}.{self.neuron}"

    @property
    def peak(self) -> float:
        """Its highest activation."""
        return max(float(example.values[example.position]) for example in self.examples)


def parse_neurons(text: str, config: ModelConfig) -> list[tuple[int, int]]:
    """Layers and neurons of "0.12,3.511". Raises UserError if the model has no such neuron."""
    neurons = []
    for word in filter(None, re.split(r"[,\s]+", text)):
        match = re.fullmatch(r"(\d+)\.(\d+)", word)
        if not match or int(match[1]) >= config.n_layers or int(match[2]) >= config.d_ff:
            raise UserError(
                f"--neurons has {word!r}; a neuron is LAYER.NUMBER, from 0.0 to {config.n_layers - 1}.{config.d_ff - 1}"
            )
        neurons.append((int(match[1]), int(match[2])))
    return neurons


def find_neurons(
    model: GPT, sequences: Sequence[np.ndarray], wanted: Sequence[tuple[int, int]] = (), number: int = 8
) -> list[Neuron]:
    """The wanted neurons; if none, the `number` of neurons that respond most clearly to one token, each to another."""
    peaks, positions = peak_activations(model, sequences)
    chosen = wanted or _choose(peaks, positions, sequences, number)
    return [_describe(model, sequences, peaks[:, i, j], positions[:, i, j], i, j) for i, j in chosen]


def peak_activations(model: GPT, sequences: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The highest activation in each story, of each layer and neuron, and its position: (S, L, d_ff) each."""
    peaks, positions = [], []
    for inputs, targets in batches(sequences):
        padding = (targets == IGNORED)[:, None, :, None]
        top = _activations(model, inputs).masked_fill(padding, float("-inf")).max(2)
        peaks.append(top.values)
        positions.append(top.indices)
    return torch.cat(peaks).numpy(), torch.cat(positions).numpy()


def _activations(model: GPT, tokens: Tensor, layer: int | str = "*") -> Tensor:
    """(B, L, T, d_ff), float32, on the CPU."""
    found = record(model, tokens.to(model.output_weight.device), [NEURONS.format(layer)])
    return torch.stack(list(found.values()), 1).float().cpu()


def _choose(
    peaks: np.ndarray, positions: np.ndarray, sequences: Sequence[np.ndarray], number: int
) -> list[tuple[int, int]]:
    """Rank neurons by the share of their strongest stories that peak at one token, times how far these peaks exceed
    the neuron's usual ones, times the rarity of the token: common tokens coincide by chance.
    """
    S, _, F = peaks.shape
    at_peak = np.stack([tokens[positions[i]] for i, tokens in enumerate(sequences)])  # (S, L, F): token under each peak
    order = np.argsort(-peaks, axis=0, kind="stable")[: min(STRONGEST, S)]  # (C, L, F)
    modes, shares = _modes(np.take_along_axis(at_peak, order, 0))
    excess = (np.take_along_axis(peaks, order, 0).mean(0) - peaks.mean(0)) / (peaks.std(0) + 1e-9)
    tokens, counts = np.unique(np.concatenate([np.unique(each) for each in sequences]), return_counts=True)
    rarity = 1 - counts[np.searchsorted(tokens, modes)] / S
    chosen: dict[int, tuple[int, int]] = {}
    for flat in np.argsort(-(shares * excess * rarity).ravel(), kind="stable"):
        layer, neuron = divmod(int(flat), F)
        chosen.setdefault(int(modes[layer, neuron]), (layer, neuron))
        if len(chosen) == number:
            break
    return list(chosen.values())


def _modes(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The most common of tokens (C, L, F) along the first axis, and its share: (L, F) each."""
    counts = (tokens[:, None] == tokens[None]).sum(1)  # (C, L, F): occurrences of each entry's token
    best = counts.argmax(0)[None]
    return np.take_along_axis(tokens, best, 0)[0], np.take_along_axis(counts, best, 0)[0] / len(tokens)


def _describe(
    model: GPT, sequences: Sequence[np.ndarray], peaks: np.ndarray, positions: np.ndarray, layer: int, neuron: int
) -> Neuron:
    order = np.argsort(-peaks, kind="stable")
    examples = []
    for story in order[:EXAMPLES]:
        values = _activations(model, torch.from_numpy(sequences[story][None, :-1]), layer)[0, 0, :, neuron].numpy()
        examples.append(NeuronExample(story=int(story), position=int(positions[story]), values=values))
    at_peak = np.array([sequences[i][positions[i]] for i in order[:STRONGEST]])
    modes, shares = _modes(at_peak[:, None, None])
    token = int(modes[0, 0])
    examples.sort(key=lambda example: sequences[example.story][example.position] != token)  # stable
    return Neuron(layer=layer, neuron=neuron, examples=examples, token=token, share=float(shares[0, 0]))
