"""Duplicate stories, found by a digest of their text."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

DIGEST_BYTES = 16
_GROUP = 1 << 22  # digests compared at a time


def digest(story: bytes) -> bytes:
    """16 bytes of BLAKE2b of a story's cleaned text in UTF-8."""
    return blake2b(story, digest_size=DIGEST_BYTES).digest()


def first_occurrences(sources: Sequence[np.ndarray]) -> list[np.ndarray]:
    """For each source, given its digests (n, 2), which stories are the first with their text: (n,) bool.

    Compares about four million digests at a time, so that memory beside the result does not grow with the corpus.
    """
    first = np.ones(sum(map(len, sources)), dtype=bool)
    n_groups = len(first) // _GROUP + 1
    for group in range(n_groups):
        indices, digests = _group_members(sources, n_groups, group)
        order = np.lexsort((digests[:, 1], digests[:, 0]))  # stable: the first of equal digests stays first
        equal = (digests[order][1:] == digests[order][:-1]).all(axis=1)
        first[indices[order[1:][equal]]] = False
    return np.split(first, np.cumsum([len(source) for source in sources])[:-1])


def _group_members(sources: Sequence[np.ndarray], n_groups: int, group: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices and digests of the stories in a group; equal digests are in the same one."""
    indices, digests, begin = [np.zeros(0, dtype=np.int64)], [np.zeros((0, 2), dtype=np.uint64)], 0
    for source in sources:
        for start in range(0, len(source), _GROUP):
            some = source[start : start + _GROUP]
            members = np.flatnonzero(some[:, 0] % np.uint64(n_groups) == group)
            indices.append(begin + start + members)
            digests.append(some[members])
        begin += len(source)
    return np.concatenate(indices), np.concatenate(digests)
