"""The stories that are looked at, read as in training: after an end of text, as far as the context goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from talewright.evaluate.likelihood import padded

TOKENS_AT_ONCE = 4096
"""Places of a batch, padding included."""


def passage(story: Sequence[int] | np.ndarray, eos_id: int, context_length: int) -> np.ndarray:
    """End of text, story, end of text, cut to what a model reads at once and the token after it: int64."""
    return np.concatenate(([eos_id], story, [eos_id])).astype(np.int64)[: context_length + 1]


def choose_passages(
    stories: Sequence[np.ndarray], eos_id: int, context_length: int, max_tokens: float
) -> list[np.ndarray]:
    """Passages of the first stories, as many as hold `max_tokens` predictions together, and one at least."""
    found, tokens = [], 0
    for story in stories:
        found.append(passage(story, eos_id, context_length))
        tokens += len(found[-1]) - 1
        if tokens >= max_tokens:
            break
    return found


def batches(passages: Sequence[np.ndarray], tokens_at_once: int = TOKENS_AT_ONCE) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and targets (B, T) of all passages in order, padded on the right (IGNORED in the targets)."""
    waiting: list[np.ndarray] = []
    for each in passages:
        longest = max(map(len, [*waiting, each])) - 1
        if waiting and longest * (len(waiting) + 1) > tokens_at_once:
            yield _tensors(waiting)
            waiting = []
        waiting.append(each)
    if waiting:
        yield _tensors(waiting)


def _tensors(passages: list[np.ndarray]) -> tuple[Tensor, Tensor]:
    inputs, targets = padded(passages)
    return torch.from_numpy(inputs), torch.from_numpy(targets)
