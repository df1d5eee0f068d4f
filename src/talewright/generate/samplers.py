"""From logits to the next token: what is kept of the distribution, and how one token is drawn from it.

Functions on logits (B, V) that change none of their inputs, each after its source. `filtered` applies them in the order
of transformers: penalty, temperature, top-k, top-p, min-p.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from talewright.generate.sampling import GREEDY, Sampling
from talewright.model.loss import argmax

UNIFORMS = 256
"""Numbers that `uniforms` draws at once for a sample."""


def choose(logits: Tensor, sampling: Sampling, seen: Tensor | None, uniform: Tensor | None) -> Tensor:
    """The next token of each row: (B,), int64.

    logits (B, V); seen (B, V) or None as in `filtered`; uniform (B,) as in `draw`, ignored if greedy.
    """
    if sampling.temperature < GREEDY or uniform is None:
        return argmax(penalized(logits, seen, sampling.repetition_penalty))
    return draw(filtered(logits, sampling, seen), uniform)


def filtered(logits: Tensor, sampling: Sampling, seen: Tensor | None) -> Tensor:
    """Logits (B, V) as the settings change them, -inf where a token is left out; for a temperature of GREEDY or more.

    seen (B, V), bool, says which tokens the text holds; None if there is no repetition penalty.
    """
    logits = penalized(logits, seen, sampling.repetition_penalty) / sampling.temperature
    if sampling.top_k is not None:
        logits = top_k(logits, sampling.top_k)
    if sampling.top_p is not None:
        logits = top_p(logits, sampling.top_p)
    return logits if sampling.min_p is None else min_p(logits, sampling.min_p)


def penalized(logits: Tensor, seen: Tensor | None, penalty: float) -> Tensor:
    """Logits of `seen` tokens divided by the penalty, or multiplied where negative (CTRL, Keskar et al. 2019,
    arXiv:1909.05858, section 4.1; the case of negative logits as everyone has it since).
    """
    if seen is None or penalty == 1:
        return logits
    return torch.where(seen, torch.where(logits < 0, logits * penalty, logits / penalty), logits)


def top_k(logits: Tensor, k: int) -> Tensor:
    """The k most likely tokens, and any that tie with the last of them (Fan et al. 2018, arXiv:1805.04833)."""
    last = logits.topk(min(k, logits.shape[-1])).values[:, -1:]
    return logits.masked_fill(logits < last, -math.inf)


def top_p(logits: Tensor, p: float) -> Tensor:
    """The fewest most likely tokens that hold at least p of the probability, and any that tie with the last of them
    (nucleus sampling, Holtzman et al. 2019, arXiv:1904.09751).
    """
    if p >= 1:
        return logits
    probabilities = logits.softmax(-1)
    return logits.masked_fill(probabilities < _nucleus_floor(probabilities, p), -math.inf)


def min_p(logits: Tensor, p: float) -> Tensor:
    """Tokens at least p times as likely as the most likely one (Nguyen et al. 2024, arXiv:2407.01082)."""
    if p <= 0:
        return logits
    return logits.masked_fill(logits < logits.amax(-1, keepdim=True) + math.log(p), -math.inf)


def draw(logits: Tensor, uniform: Tensor) -> Tensor:
    """A token of each row's softmax (B, V): the first whose cumulative probability is above `uniform` (B,), in [0, 1).

    One number a row, so that a row's token depends on nothing else in the batch.
    """
    # A GPU sums in blocks: rounded to float32, the sum could rise at a token of probability 0. A CPU sums in order,
    # and is slow with larger tensors. Apple's GPU has no float64, but its memory is the CPU's.
    device, exact = logits.device, torch.float64 if logits.is_cuda else torch.float32
    if device.type == "mps":
        logits, uniform = logits.cpu(), uniform.cpu()
    cumulative = logits.softmax(-1).cumsum(-1, dtype=exact)
    return torch.searchsorted(cumulative, uniform[:, None] * cumulative[:, -1:], right=True)[:, 0].to(device)


def uniforms(seed: int, indices: Sequence[int], block: int) -> Tensor:
    """Numbers in [0, 1) for each sample's tokens block * UNIFORMS and on: (len(indices), UNIFORMS), float32.

    A function of (seed, index, token) alone, by a counter-based generator (Philox, Salmon et al. 2011), so that what
    a sample draws depends on no other. They are multiples of 2^-23: u * total then rounds to less than the total.
    """
    raw = [np.random.Philox(key=[seed, index], counter=[0, 0, block, 0]).random_raw(UNIFORMS) for index in indices]
    return torch.from_numpy((np.stack(raw) >> np.uint64(41)).astype(np.float32) * np.float32(2**-23))


def _nucleus_floor(probabilities: Tensor, p: float) -> Tensor:
    """The least probability (B, 1) among the fewest tokens that hold p of it."""
    V = probabilities.shape[-1]
    if not probabilities.is_cuda:  # a sort of the vocabulary is slow here, and few tokens hold p as a rule
        return _floor_among(probabilities, p, min(64, V))
    return _floor_among(probabilities, p, V)


def _floor_among(probabilities: Tensor, p: float, count: int) -> Tensor:
    """`_nucleus_floor`, searched among the `count` most likely, and then among more in the rows that need more."""
    likely = probabilities.topk(count).values  # falling
    inside = likely.cumsum(-1) - likely < p  # (B, count): what comes before holds less than p
    floor = likely.gather(-1, (inside.sum(-1, keepdim=True) - 1).clamp(min=0))  # none are inside if they are NaN
    if count < probabilities.shape[-1]:
        rows = inside[:, -1].nonzero()[:, 0]  # perhaps not all of the nucleus
        if len(rows):
            floor[rows] = _floor_among(probabilities[rows], p, min(16 * count, probabilities.shape[-1]))
    return floor
