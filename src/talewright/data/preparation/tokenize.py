"""Stories to token ids, in order and in bounded memory.

Byte-level BPE cuts a text into words and merges within each. Stories have few different words, so the ids of a word are
cached: looking them up takes a fifth of the time of merging again. Texts with other than English letters go to the
library, on all cores.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from talewright.data.layout import token_dtype
from talewright.tokenizer import Tokenizer
from talewright.tokenizer.pieces import LONGEST, group_texts, pieces

BATCH = 1 << 20  # characters tokenized at once; a longer story is taken in pieces
MAX_CACHED_WORDS, MAX_CACHED_LETTERS = 1 << 18, 1 << 22  # about 50 MB

# GPT-2's way of cutting a text into words, for texts in which it does not depend on Unicode classes: ASCII and
# typographic punctuation.
_WORD = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+", re.ASCII)
_OTHER = re.compile("[^\x00-\x7f“”‘’–—…]")


class TokenizedStories(NamedTuple):
    """The ids of some stories."""

    ids: np.ndarray
    """One story after another, each with the separator after it, in the smallest dtype that holds the vocabulary."""
    lengths: np.ndarray
    """Ids of each story with the separator: (n,) int64."""


def tokenize_stories(tokenizer: Tokenizer, stories: Iterable[str]) -> Iterator[TokenizedStories]:
    """Ids of all stories, in order."""
    encoder = _CachedEncoder(tokenizer)
    return map(encoder.encode, group_texts(stories, BATCH))


class _CachedEncoder:
    """Ids as bytes in the format of the shards."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._dtype = token_dtype(tokenizer.vocab_size)
        self._separator = self._as_bytes(tokenizer.separator)
        self._cache: dict[str, bytes] = {}
        self._cached_letters = 0
        # A tokenizer that cuts words in another way than GPT-2 is left to the library.
        self._by_words = tokenizer.splits_as_gpt2

    def encode(self, stories: Sequence[str]) -> TokenizedStories:
        plain = [self._by_words and (story.isascii() or not _OTHER.search(story)) for story in stories]
        looked_up = iter(self._look_up([story for story, is_plain in zip(stories, plain, strict=True) if is_plain]))
        merged = iter(self._merge([story for story, is_plain in zip(stories, plain, strict=True) if not is_plain]))
        ids = [next(looked_up) if is_plain else next(merged) for is_plain in plain]
        sizes = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids)) + len(self._separator)
        ids = np.frombuffer(self._separator.join((*ids, b"")), self._dtype)
        return TokenizedStories(ids, sizes // self._dtype.itemsize)

    def _as_bytes(self, ids: Sequence[int]) -> bytes:
        return np.array(ids, dtype=self._dtype).tobytes()

    def _merge(self, stories: list[str]) -> list[bytes]:
        """Ids of stories from the library."""
        if sum(map(len, stories)) <= BATCH or not self._by_words:
            return [self._as_bytes(ids) for ids in self._tokenizer.encode_batch(stories)]
        return [b"".join(self._as_bytes(self._tokenizer.encode(piece)) for piece in _cut(story)) for story in stories]

    def _look_up(self, stories: list[str]) -> list[bytes]:
        """Ids of stories from those of their words; the words that are not cached are encoded together."""
        if sum(map(len, stories)) > BATCH:
            return [b"".join(self._look_up([piece])[0] for piece in _cut(story)) for story in stories]
        ids, unknown = [], []
        for number, words in enumerate(map(_WORD.findall, stories)):
            try:
                ids.append(b"".join(map(self._cache.__getitem__, words)))
            except KeyError:
                ids.append(b"")
                unknown.append((number, words))
        self._add(set().union(*(words for _, words in unknown)))
        for number, words in unknown:
            ids[number] = b"".join(map(self._cache.__getitem__, words))
        return ids

    def _add(self, words: set[str]) -> None:
        """Cache the ids of these words; if there are too many words, remove the others first."""
        if len(self._cache) + len(words) > MAX_CACHED_WORDS or self._cached_letters > MAX_CACHED_LETTERS:
            self._cache.clear()
            self._cached_letters = 0
        new = sorted(words.difference(self._cache))
        self._cached_letters += sum(map(len, new))
        self._cache.update(zip(new, map(self._as_bytes, self._tokenizer.encode_batch(new)), strict=True))


def _cut(story: str) -> Iterator[str]:
    return pieces(story, min(BATCH, LONGEST))
