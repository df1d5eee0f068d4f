"""Stories to token ids, on all cores, in order and in bounded memory."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from typing import NamedTuple

import numpy as np

from talewright.data.shards import token_dtype
from talewright.tokenizer import Tokenizer

BATCH = 1 << 20  # characters tokenised at once; a longer story is taken in pieces
_WAITING = 3  # batches under way: two being tokenised or turned into arrays, one ready


class Encoded(NamedTuple):
    """Some stories as ids."""

    ids: np.ndarray
    """Back to back, the end of text after each; as narrow as the vocabulary allows."""
    lengths: np.ndarray
    """Ids of each story, its end of text counted: (n,) int64."""


def encode_stories(tokenizer: Tokenizer, stories: Iterable[str]) -> Iterator[Encoded]:
    """Ids of all stories, in order. The library's own threads tokenise while others turn lists into arrays."""
    ready: deque[Future[Encoded]] = deque()
    pool = ThreadPoolExecutor(2, thread_name_prefix="tokenize")
    try:
        for batch in _batches(stories):
            ready.append(pool.submit(encode_batch, tokenizer, batch))
            if len(ready) == _WAITING:
                yield ready.popleft().result()
        while ready:
            yield ready.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def encode_batch(tokenizer: Tokenizer, stories: Sequence[str]) -> Encoded:
    """Ids of a few stories."""
    if sum(map(len, stories)) > BATCH:
        parts = [_encode_long(tokenizer, story) if len(story) > BATCH else tokenizer.encode(story) for story in stories]
    else:
        parts = tokenizer.encode_batch(stories)
    lengths = np.fromiter(map(len, parts), dtype=np.int64, count=len(parts)) + 1
    end = (tokenizer.eos_id,)
    ids = chain.from_iterable(chain.from_iterable((part, end) for part in parts))
    return Encoded(np.fromiter(ids, token_dtype(tokenizer.vocab_size), int(lengths.sum())), lengths)


def _encode_long(tokenizer: Tokenizer, story: str) -> np.ndarray:
    dtype = token_dtype(tokenizer.vocab_size)
    return np.concatenate([np.array(tokenizer.encode(piece), dtype=dtype) for piece in pieces(story)])


def _batches(stories: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for story in stories:
        if batch and size + len(story) > BATCH:
            yield batch
            batch, size = [], 0
        batch.append(story)
        size += len(story)
    if batch:
        yield batch


_WORD_START = re.compile(r"(?<=\S) (?=\S)")


def pieces(story: str, longest: int = BATCH) -> Iterator[str]:
    """Cut a long story before a single space, where a byte-level BPE begins a new word anyhow.

    So the ids are those of the whole. Only where a piece of that length has no such place it is cut anywhere.
    """
    start = 0
    while len(story) - start > longest:
        cut = max(_last_word_start(story, start, start + longest), start)
        cut = cut if cut > start else start + longest
        yield story[start:cut]
        start = cut
    yield story[start:]


def _last_word_start(story: str, start: int, stop: int) -> int:
    space = story.rfind(" ", start + 1, stop)
    while space > start and not _WORD_START.match(story, space):
        space = story.rfind(" ", start + 1, space)
    return space
