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


def make_sequence(story: Sequence[int] | np.ndarray, separator: int | Sequence[int], context_length: int) -> np.ndarray:
    """Separator, story, separator (of two tokens, the begin before it and the end after it), cut to context_length + 1
    tokens (so context_length predictions): int64.
    """
    ends = np.atleast_1d(separator)
    return np.concatenate((ends[-1:], story, ends[:1])).astype(np.int64)[: context_length + 1]


def select_sequences(
    stories: Sequence[np.ndarray], separator: int | Sequence[int], context_length: int, max_tokens: float
) -> list[np.ndarray]:
    """Sequences of the first stories, until they hold `max_tokens` predictions; at least one sequence."""
    sequences, tokens = [], 0
    for story in stories:
        sequences.append(make_sequence(story, separator, context_length))
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
    if token == tokenizer.begin_id:
        return "⟨begin⟩"
    if token >= tokenizer.vocab_size:  # a model may have more ids than its tokenizer
        return f"⟨id {token}⟩"
    text = tokenizer.decode([token]).replace("\n", "⏎")
    return "".join(char if char.isprintable() else f"⟨{ord(char):02X}⟩" for char in text)


def _tensors(sequences: list[np.ndarray]) -> tuple[Tensor, Tensor]:
    inputs, targets = pad_sequences(sequences)
    return torch.from_numpy(inputs), torch.from_numpy(targets)
