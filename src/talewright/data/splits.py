"""Which split a story belongs to: a function of its text, so that it is in one split for ever; and copies found."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Literal

import numpy as np

SplitName = str  # one of SPLITS
SPLITS: tuple[Literal["train", "valid", "test"], ...] = ("train", "valid", "test")
DROPPED = 255  # in place of a split's number
DIGEST_BYTES = 16
_AT_ONCE = 1 << 22  # digests compared in memory together


def digest(story: bytes) -> bytes:
    """What a story is known by: 16 bytes of BLAKE2b of its cleaned text in UTF-8."""
    return blake2b(story, digest_size=DIGEST_BYTES).digest()


def assign(digests: np.ndarray, valid: float, test: float) -> np.ndarray:
    """The number in SPLITS of each story, (n,) uint8, of its digest (n, 2) and the shares of validation and test.

    Depends on nothing but the text and the shares, and a story of validation stays there when its share grows.
    """
    place = (digests[:, 0] >> np.uint64(11)).astype(np.float64) / 2.0**53  # uniform in [0, 1)
    numbers = np.zeros(len(digests), dtype=np.uint8)
    numbers[place >= 1.0 - test] = 2
    numbers[place < valid] = 1
    return numbers


def first_of_each(parts: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Which stories are the first with their text, (n,) bool for each part, of their digests, (n, 2) each.

    Compares some four million at a time, so that memory beside the result does not grow with the corpus.
    """
    first = np.ones(sum(map(len, parts)), dtype=bool)
    groups = len(first) // _AT_ONCE + 1
    for group in range(groups):
        index, digests = _members(parts, groups, group)
        order = np.lexsort((digests[:, 1], digests[:, 0]))  # stable: of copies, the first stays first
        ordered = digests[order]
        same = (ordered[1:] == ordered[:-1]).all(axis=1)
        first[index[order[1:][same]]] = False
    return np.split(first, np.cumsum([len(part) for part in parts])[:-1])


def _members(parts: Sequence[np.ndarray], groups: int, group: int) -> tuple[np.ndarray, np.ndarray]:
    """Places and digests of the stories that fall into a group; copies fall into the same one."""
    places, found, begin = [np.zeros(0, dtype=np.int64)], [np.zeros((0, 2), dtype=np.uint64)], 0
    for part in parts:
        for start in range(0, len(part), _AT_ONCE):
            some = part[start : start + _AT_ONCE]
            members = np.flatnonzero(some[:, 0] % np.uint64(groups) == group)
            places.append(begin + start + members)
            found.append(some[members])
        begin += len(part)
    return np.concatenate(places), np.concatenate(found)
