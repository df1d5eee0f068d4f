"""A BPE reduced to the tokens that a corpus uses most: few enough for a small model, and still lossless."""

from __future__ import annotations

import numpy as np

from talewright.config import EOT
from talewright.tokenizer.base import BYTE_LETTERS, Merges


def most_frequent(bpe: Merges, counts: np.ndarray, size: int) -> Merges:
    """The `size` tokens that occur most, then the end of text: ids 0 .. size - 1 in the old order, and size.

    counts: times that each old id occurs, (vocab_size,). A token is kept with all that it is merged from, and all
    bytes are kept. Text made of kept tokens is therefore cut as before: each merge that made them is still there, in
    the old order, and none was added. Other tokens fall back into their parts. The frequent ones come first, of
    equals the lower id; one whose parts do not all fit is passed over. All of them where there are no more than `size`.
    """
    parts = _parts(bpe)
    kept = set(BYTE_LETTERS)
    tokens = [token for token in bpe.vocab if token in parts or token in kept]
    for token in sorted(tokens, key=lambda token: (-counts[bpe.vocab[token]], bpe.vocab[token])):
        needed = _needed(token, parts, kept)
        if len(kept) + len(needed) <= size:
            kept |= needed
    ordered = sorted(kept, key=bpe.vocab.__getitem__)
    vocab = {token: new_id for new_id, token in enumerate([*ordered, EOT])}
    return Merges(vocab, [pair for pair in bpe.merges if kept.issuperset((*pair, "".join(pair)))])


def _parts(bpe: Merges) -> dict[str, set[str]]:
    """What each merged token is made of; where several merges give the same token, the parts of all."""
    parts: dict[str, set[str]] = {}
    for left, right in bpe.merges:
        parts.setdefault(left + right, set()).update((left, right))
    return parts


def _needed(token: str, parts: dict[str, set[str]], kept: set[str]) -> set[str]:
    """The token and all that it is merged from, without what is kept already."""
    needed, waiting = set(), [token]
    while waiting:
        part = waiting.pop()
        if part not in kept and part not in needed:
            needed.add(part)
            waiting += parts.get(part, ())
    return needed
