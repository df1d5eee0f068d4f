"""Stories to token ids, in order and in bounded memory.

Byte-level BPE cuts a text into words and merges within each. Stories have few different words, so a word's ids are kept
when it was met: looking them up takes a fifth of the time of merging them again. Texts with other letters than English
ones go to the library, on all cores.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from talewright.data.shards import token_dtype
from talewright.tokenizer import Tokenizer
from talewright.tokenizer.pieces import LONGEST, pieces

BATCH = 1 << 20  # characters tokenised at once; a longer story is taken in pieces
MOST_WORDS, MOST_LETTERS = 1 << 18, 1 << 22  # kept at a time: some 50 MB
_WAITING = 3  # batches under way

# GPT-2's way of cutting a text into words, for texts where it has nothing to do with Unicode's classes: ASCII and the
# signs that typographers put in its place.
_WORD = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+", re.ASCII)
_OTHER = re.compile("[^\x00-\x7f“”‘’–—…]")
_PROBE = "It's  what they'LL\tsay: “No—1,234 (x)!”\n\n\x00\x1c\x0b end… "


class Encoded(NamedTuple):
    """Some stories as ids."""

    ids: np.ndarray
    """Back to back, the end of text after each; as narrow as the vocabulary allows."""
    lengths: np.ndarray
    """Ids of each story, its end of text counted: (n,) int64."""


def encode_stories(tokenizer: Tokenizer, stories: Iterable[str]) -> Iterator[Encoded]:
    """Ids of all stories, in order."""
    encoder = _Encoder(tokenizer)
    ready: deque[_Batch] = deque()
    with ThreadPoolExecutor(2, thread_name_prefix="tokenize") as pool:
        try:
            for batch in _batches(stories):
                ready.append(encoder.begin(batch, pool))
                if len(ready) == _WAITING:
                    yield encoder.end(ready.popleft())
            while ready:
                yield encoder.end(ready.popleft())
        finally:
            pool.shutdown(cancel_futures=True)


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


class _Batch(NamedTuple):
    """Stories under way: the ids of those that were looked up, and what the library will give for the others."""

    found: list[bytes | None]
    others: Future[list[bytes]] | None


class _Encoder:
    """Ids as bytes, little-endian and as narrow as the vocabulary allows: they go to the disk as they are."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._dtype = token_dtype(tokenizer.vocab_size)
        self._end = self._as_bytes([tokenizer.eos_id])
        self._words: dict[str, bytes] = {}
        self._letters = 0  # in all words that are kept
        # A tokenizer that cuts words otherwise than GPT-2 is left to the library.
        self._by_words = self._look_up([_PROBE])[0] == self._as_bytes(tokenizer.encode(_PROBE))

    def begin(self, batch: Sequence[str], pool: ThreadPoolExecutor) -> _Batch:
        """Look up what can be looked up, while the library has the others."""
        plain = [self._by_words and (story.isascii() or not _OTHER.search(story)) for story in batch]
        rest = [story for story, is_plain in zip(batch, plain, strict=True) if not is_plain]
        others = pool.submit(self._merge, rest) if rest else None
        found = iter(self._look_up([story for story, is_plain in zip(batch, plain, strict=True) if is_plain]))
        return _Batch([next(found) if is_plain else None for is_plain in plain], others)

    def end(self, batch: _Batch) -> Encoded:
        """The whole batch, once the library is done."""
        others = iter(batch.others.result() if batch.others else ())
        parts = [next(others) if part is None else part for part in batch.found]
        lengths = np.fromiter(map(len, parts), dtype=np.int64, count=len(parts)) // self._dtype.itemsize + 1
        ids = self._end.join((*parts, b""))
        return Encoded(np.frombuffer(ids, self._dtype), lengths)

    def _as_bytes(self, ids: Sequence[int]) -> bytes:
        return np.array(ids, dtype=self._dtype).tobytes()

    def _merge(self, stories: list[str]) -> list[bytes]:
        """Ids of stories by the library."""
        if sum(map(len, stories)) <= BATCH:
            return [self._as_bytes(ids) for ids in self._tokenizer.encode_batch(stories)]
        return [b"".join(self._as_bytes(self._tokenizer.encode(part)) for part in _pieces(story)) for story in stories]

    def _look_up(self, stories: list[str]) -> list[bytes]:
        """Ids of stories by their words; those with a word that was not met before come last, together."""
        if sum(map(len, stories)) > BATCH:
            return [b"".join(self._look_up([part])[0] for part in _pieces(story)) for story in stories]
        found, unknown = [], []
        for number, words in enumerate(map(_WORD.findall, stories)):
            try:
                found.append(b"".join(map(self._words.__getitem__, words)))
            except KeyError:
                found.append(b"")
                unknown.append((number, words))
        self._learn({word for _, words in unknown for word in words})
        for number, words in unknown:
            found[number] = b"".join(map(self._words.__getitem__, words))
        return found

    def _learn(self, words: set[str]) -> None:
        """Keep the ids of these words, and of the others as long as there is room."""
        if len(self._words) + len(words) > MOST_WORDS or self._letters > MOST_LETTERS:
            self._words.clear()
            self._letters = 0
        new = sorted(words.difference(self._words))
        self._letters += sum(map(len, new))
        self._words.update(zip(new, map(self._as_bytes, self._tokenizer.encode_batch(new)), strict=True))


def _pieces(story: str) -> Iterator[str]:
    return pieces(story, min(BATCH, LONGEST))
