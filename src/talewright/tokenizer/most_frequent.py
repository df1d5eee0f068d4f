"""A BPE reduced to the tokens that a corpus uses most: few enough for a small model, and still lossless."""

from __future__ import annotations

import numpy as np

from talewright.config import EOT
from talewright.tokenizer.base import BYTE_LETTERS, Merges


def most_frequent(bpe: Merges, counts: np.ndarray, size: int) -> Merges:
    """The `size` most frequent tokens in their old order, then the end of text with id `size`.

    counts: occurrences of each old id, (vocab_size,). Tokens are taken by frequency, then by id, each with all tokens
    that it is merged from; a token is skipped if these do not all fit. The 256 bytes are always kept. Text of kept
    tokens is therefore cut as before, as every merge that made them is still there, in the old order. A dropped token
    is cut into kept ones.
    """
    sources = _merge_sources(bpe)
    kept = set(BYTE_LETTERS)
    tokens = [token for token in bpe.vocab if token in sources or token in kept]
    for token in sorted(tokens, key=lambda token: (-counts[bpe.vocab[token]], bpe.vocab[token])):
        missing = _missing(token, sources, kept)
        if len(kept) + len(missing) <= size:
            kept |= missing
    ordered = sorted(kept, key=bpe.vocab.__getitem__)
    vocab = {token: new_id for new_id, token in enumerate([*ordered, EOT])}
    return Merges(vocab, [pair for pair in bpe.merges if kept.issuperset((*pair, "".join(pair)))])


def _merge_sources(bpe: Merges) -> dict[str, set[str]]:
    """The tokens that each token is merged from, by any merge that makes it."""
    sources: dict[str, set[str]] = {}
    for left, right in bpe.merges:
        sources.setdefault(left + right, set()).update((left, right))
    return sources


def _missing(token: str, sources: dict[str, set[str]], kept: set[str]) -> set[str]:
    """The token and all that it is merged from, without what is kept already."""
    missing, stack = set(), [token]
    while stack:
        part = stack.pop()
        if part not in kept and part not in missing:
            missing.add(part)
            stack += sources.get(part, ())
    return missing
