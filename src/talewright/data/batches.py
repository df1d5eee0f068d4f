"""Batches: which tokens the model sees at which step, as a function of (seed, index) alone."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from talewright.data.corpus import Split
from talewright.errors import UserError

IGNORED = -100
"""A target that is not scored: padding."""


class Batches:
    """Samples of a split in an endless order: each epoch is a permutation of all of them.

    layout `packed`: windows of context_length tokens over the stream, one every `stride` tokens (default: the window's
    length). layout `aligned`: windows that each begin with a story, after an end of text; a story that one window cuts
    begins the next. layout `rows`: one story per row, after an end of text, padded. In the last two, stories that are
    longer than a window or row are cut, and counted in `cut_stories`.
    """

    def __init__(self, split: Split, *, context_length: int, layout: str, stride: int | None, seed: int) -> None:
        """Raises UserError if the split is too small for a single sample."""
        self.split, self.context_length, self.layout, self.seed = split, context_length, layout, seed
        self.stride = stride or context_length
        self.first_stories = self._first_stories() if layout == "aligned" else range(split.n_stories)
        """The story that each window or row begins with, unless windows are cut from the stream."""
        self.samples_per_epoch = self._count()
        self._order = lru_cache(2)(self._permutation)

    def samples(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets, (count, T) int64 each, of the samples first, first + 1 ... of the endless order.

        Targets are the next tokens of the inputs, -100 at padding.
        """
        read = self._read_window if self.layout == "packed" else self._read_row
        targets = np.full((count, self.context_length), IGNORED, dtype=np.int64)
        inputs = np.full((count, self.context_length), self.split.begin_id, dtype=np.int64)
        for row in range(count):
            read(self._sample(first + row), inputs[row], targets[row])
        self.split.check_ids(inputs)
        self.split.check_ids(targets)
        return inputs, targets

    def count_tokens(self, first: int, count: int) -> int:
        """The number of real targets in these samples, without reading them."""
        if self.layout == "packed":
            return count * self.context_length
        bounds = [self._bounds(self._sample(index)) for index in range(first, first + count)]
        return sum(stop - start for start, stop in bounds)

    def samples_with(self, tokens: int) -> int:
        """The number of samples, from the first of the endless order on, that hold at least so many real targets."""
        if self.layout == "packed":
            return -(-tokens // self.context_length)
        starts = np.append(self.split.starts, self.split.n_tokens)
        first = np.asarray(self.first_stories, dtype=np.int64)
        stops = starts[first + 1] if self.layout == "rows" else self.split.n_tokens
        lengths = np.minimum(stops - starts[first], self.context_length)
        epochs, rest = divmod(tokens, int(lengths.sum()))
        in_order = np.cumsum(lengths[self._order(epochs)])
        return epochs * self.samples_per_epoch + (int(np.searchsorted(in_order, rest)) + 1 if rest else 0)

    @property
    def cut_stories(self) -> int:
        """Stories that are longer than a window or row; packed windows cut none."""
        if self.layout == "packed":
            return 0
        lengths = np.diff(self.split.starts, append=self.split.n_tokens)  # with the end of text
        return int((lengths > self.context_length).sum())

    def stories(self, first: int, count: int) -> list[int]:
        """Indices, within the split, of the stories that these samples have tokens of."""
        stories: set[int] = set()
        for index in range(first, first + count):
            number = self._sample(index)
            if self.layout == "packed":
                begin = number * self.stride
                stories.update(range(self.split.story_at(begin), self.split.story_at(begin + self.context_length) + 1))
            else:
                stop = self._bounds(number)[1]
                stories.update(range(self.first_stories[number], self.split.story_at(stop - 1) + 1))
        return sorted(stories)

    def _count(self) -> int:
        if self.layout != "packed":
            return len(self.first_stories)
        count = (self.split.n_tokens - 1 - self.context_length) // self.stride + 1
        if count < 1:
            raise UserError(
                f"the {self.split.name} stories in {self.split.folder} have {self.split.n_tokens:,} tokens, and one "
                f"window needs {self.context_length + 1:,}; add stories, or set a shorter --data.sequence-length"
            )
        return count

    def _sample(self, index: int) -> int:
        """The number, within an epoch, of a sample of the endless order."""
        epoch, position = divmod(index, self.samples_per_epoch)
        return int(self._order(epoch)[position])

    def _permutation(self, epoch: int) -> np.ndarray:
        return np.random.default_rng((self.seed, epoch)).permutation(self.samples_per_epoch)

    def _first_stories(self) -> list[int]:
        """The first story of each window: the one that the window before it cut, or else the following one."""
        starts = self.split.starts
        cut = np.searchsorted(starts, starts + self.context_length, "right") - 1  # by a window that begins with each
        following = np.maximum(cut, np.arange(1, len(starts) + 1)).tolist()
        first, last = [0], self.split.n_tokens - self.context_length
        while starts[first[-1]] < last and following[first[-1]] < len(starts):
            first.append(following[first[-1]])
        return first

    def _bounds(self, number: int) -> tuple[int, int]:
        """Start and stop of the tokens that are the targets of a row or an aligned window."""
        start, stop = self.split.bounds(self.first_stories[number])
        stop = self.split.n_tokens if self.layout == "aligned" else stop
        return start, min(stop, start + self.context_length)

    def _read_window(self, number: int, inputs: np.ndarray, targets: np.ndarray) -> None:
        start = number * self.stride
        self.split.read_into(inputs, start)
        self.split.read_into(targets, start + 1)

    def _read_row(self, number: int, inputs: np.ndarray, targets: np.ndarray) -> None:
        start, stop = self._bounds(number)
        length = stop - start
        self.split.read_into(targets[:length], start)
        inputs[1:length] = targets[: length - 1]  # inputs[0] is the end of text before the story


def pad_sequences(sequences: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets (B, T) of sequences: all tokens but the last, and all but the first. Padded on the right,
    where causal attention does not look.
    """
    shape = len(sequences), max(map(len, sequences)) - 1
    inputs, targets = np.zeros(shape, dtype=np.int64), np.full(shape, IGNORED, dtype=np.int64)
    for row, sequence in enumerate(sequences):
        inputs[row, : len(sequence) - 1] = sequence[:-1]
        targets[row, : len(sequence) - 1] = sequence[1:]
    return inputs, targets
