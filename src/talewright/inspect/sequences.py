"""Stories as token sequences, the way the model sees them in training, and as padded batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from talewright.data.batches import pad_sequences
from talewright.tokenizer import Tokenizer

BATCH_TOKENS = 4096
"""Largest number of positions in a batch, padding included."""


def make_sequence(story: Sequence[int] | np.ndarray, eos_id: int, context_length: int) -> np.ndarray:
    """End of text, story, end of text, cut to context_length + 1 tokens (so context_length predictions): int64."""
    return np.concatenate(([eos_id], story, [eos_id])).astype(np.int64)[: context_length + 1]


def select_sequences(
    stories: Sequence[np.ndarray], eos_id: int, context_length: int, max_tokens: float
) -> list[np.ndarray]:
    """Sequences of the first stories, until they hold `max_tokens` predictions; at least one sequence."""
    sequences, tokens = [], 0
    for story in stories:
        sequences.append(make_sequence(story, eos_id, context_length))
        tokens += len(sequences[-1]) - 1
        if tokens >= max_tokens:
            break
    return sequences


def batches(sequences: Sequence[np.ndarray], batch_tokens: int = BATCH_TOKENS) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and targets (B, T) of all sequences in order, padded on the right (targets with IGNORED)."""
    batch: list[np.ndarray] = []
    for sequence in sequences:
        longest = max(map(len, [*batch, sequence])) - 1
        if batch and longest * (len(batch) + 1) > batch_tokens:
            yield _tensors(batch)
            batch = []
        batch.append(sequence)
    if batch:
        yield _tensors(batch)


def display_token(tokenizer: Tokenizer, token: int) -> str:
    """A token's text for a reader, with invisible characters spelled out."""
    if token == tokenizer.eos_id:
        return "⟨end⟩"
    text = tokenizer.decode([token]).replace("\n", "⏎")
    return "".join(char if char.isprintable() else f"⟨{ord(char):02X}⟩" for char in text)


def _tensors(sequences: list[np.ndarray]) -> tuple[Tensor, Tensor]:
    inputs, targets = pad_sequences(sequences)
    return torch.from_numpy(inputs), torch.from_numpy(targets)
