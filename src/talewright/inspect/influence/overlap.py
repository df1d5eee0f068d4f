"""Which stories share the most tokens with a text: what a search by words finds, to compare influence with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LONGEST = 4
"""N-grams of 2 to this many tokens are compared."""


def shared_ngrams(text: np.ndarray, stories: Sequence[np.ndarray]) -> np.ndarray:
    """For each story, the share of the text's distinct n-grams of token ids that it has, averaged over n = 2, 3, 4 (of
    a shorter text, over those that it has; of one token, n = 1): (N,) float64.
    """
    ids = np.concatenate(stories)
    owner = np.repeat(np.arange(len(stories)), [len(story) for story in stories])
    size = int(max(text.max(), ids.max(initial=0))) + 1
    starts, numbers = np.arange(len(ids)), np.zeros(len(ids), dtype=np.int64)  # positions, and their n-gram's number
    own = np.zeros(len(text), dtype=np.int64)  # the numbers of the text's n-grams
    shares = []
    for n in range(1, min(LONGEST, len(text)) + 1):
        fits = starts + n <= len(ids)
        starts, numbers = starts[fits], numbers[fits]
        fits = owner[starts] == owner[starts + n - 1]
        starts, numbers = starts[fits], numbers[fits]
        # an n-gram's key: the number of its first n - 1 tokens, and its last token
        keys, own = np.unique(own[: len(text) - n + 1] * size + text[n - 1 :], return_inverse=True)
        wanted = numbers * size + ids[starts + n - 1]
        numbers = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        found = keys[numbers] == wanted
        starts, numbers = starts[found], numbers[found]
        pairs = np.unique(owner[starts] * len(keys) + numbers)
        shares.append(np.bincount(pairs // len(keys), minlength=len(stories)) / len(keys))
    return np.mean(shares[1:] or shares, axis=0)


def longest_match(text: np.ndarray, story: np.ndarray) -> tuple[int, int]:
    """Start, in the story, and length in tokens of the longest passage that the text has too (the first of several)."""
    best_start, best = 0, 0
    lengths = np.zeros(len(story) + 1, dtype=np.int64)  # of the matches that end at each token of the story
    for token in text:
        lengths[1:] = np.where(story == token, lengths[:-1] + 1, 0)
        end = int(lengths.argmax())
        if lengths[end] > best:
            best_start, best = end - int(lengths[end]), int(lengths[end])
    return best_start, best
