"""N-grams: of the words of a text, and of long sequences of ids.

N-grams of ids are counted exactly: level by level, each distinct one has a number. A 2-gram is numbered by (first id,
second id), a 3-gram by (number of its first two ids, third id), and so on. Such a pair fits into 64 bits for any n:
nothing is hashed, and no two n-grams are confused.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

Ngram = tuple[str, ...]
UNSPACED = (
    "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u1b00-\u1b7f\u3005-\u3007\u3040-\u312f\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\ua980-\ua9df\uaa60-\uaadf\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003ffff"
)
"""The scripts without blanks between words, as a class of characters: Thai, Lao, Khmer, Kana, Han ..."""
_MARKS = "".join(chr(code) for code in range(0x300, 0x3100) if unicodedata.category(chr(code)).startswith("M"))
"""Accents and vowel signs, which follow the letter that they belong to. They are no letters to `re`."""
WORD = rf"(?:[{UNSPACED}](?<=\w)|[^\W_{UNSPACED}]+)(?:[{_MARKS}]+(?:[^\W_{UNSPACED}]+)?)*"
"""A pattern: letters and digits between blanks or punctuation; each character of a script without blanks."""
_WORD = re.compile(WORD)

MISSING = -1
"""The number of an n-gram that does not occur."""


def words_of(text: str) -> list[str]:
    """Runs of letters and digits, in lower case; of scripts without blanks between words, each character is one.

    On ASCII text these are the words of ROUGE's own implementation.
    """
    return _WORD.findall(text.lower())


def ngrams(words: Sequence[str], n: int) -> list[Ngram]:
    """All n-grams, in order."""
    return list(zip(*(islice(words, i, None) for i in range(n)), strict=False))


def rouge_precision(generated: Sequence[str], reference: Sequence[str], n: int) -> float:
    """ROUGE-n precision (Lin 2004): share of the generated n-grams that occur in the reference, each at most as often
    as it does there. 0 if there are none.
    """
    own, theirs = Counter(ngrams(generated, n)), Counter(ngrams(reference, n))
    return sum((own & theirs).values()) / max(1, sum(own.values()))


@dataclass(frozen=True)
class IdSequences:
    """Sequences of ids, concatenated. An n-gram lies within one sequence."""

    ids: np.ndarray
    """(N,) int64, from 0; MISSING for an id that is part of no n-gram."""
    remaining: np.ndarray
    """Ids from each position to the end of its sequence, itself included: (N,) int64."""

    @classmethod
    def of(cls, ids: np.ndarray, lengths: np.ndarray) -> IdSequences:
        """Sequences of these lengths, concatenated in `ids`."""
        ends = np.repeat(np.cumsum(lengths), lengths)
        return cls(ids.astype(np.int64), ends - np.arange(len(ids)))

    def starts(self, shorter: np.ndarray, n: int) -> np.ndarray:
        """Positions where an n-gram of a known (n-1)-gram and a known id starts. `shorter` as for `number_ngrams`."""
        positions = np.flatnonzero((shorter != MISSING) & (self.remaining >= n))
        return positions[self.ids[positions + n - 1] != MISSING]


def number_ngrams(sequences: IdSequences, shorter: np.ndarray, n: int, size: int) -> tuple[np.ndarray, ...]:
    """Number the n-grams of sequences, n from 2, given the numbers (N,) of the (n-1)-grams that start at each position.

    Ids are below `size`. Returns the sorted keys, one for each distinct n-gram: number of its (n-1)-gram * size + last
    id; the position where each first starts; its count; and the number of the n-gram that starts at each position,
    (N,), MISSING where there is none.
    """
    positions = sequences.starts(shorter, n)
    keys = shorter[positions] * size + sequences.ids[positions + n - 1]
    order = np.argsort(keys)  # np.unique sorts stably, which takes twice as long
    keys = keys[order]
    is_new = np.append(True, keys[1:] != keys[:-1])[: len(keys)]
    starts = np.flatnonzero(is_new)
    numbers = np.full(len(sequences.ids), MISSING, dtype=np.int64)
    numbers[positions[order]] = np.cumsum(is_new) - 1
    first = positions[np.minimum.reduceat(order, starts)] if len(starts) else positions
    return keys[starts], first, np.diff(starts, append=len(keys)), numbers


def look_up(sequences: IdSequences, shorter: np.ndarray, n: int, size: int, keys: np.ndarray) -> np.ndarray:
    """The number, among n-grams with these keys, of the n-gram that starts at each position of other sequences: (N,),
    MISSING if it is not one of them. `shorter` as for `number_ngrams`.
    """
    positions = sequences.starts(shorter, n)
    numbers = np.full(len(sequences.ids), MISSING, dtype=np.int64)
    numbers[positions] = find(keys, shorter[positions] * size + sequences.ids[positions + n - 1])
    return numbers


def find(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The index of each wanted key among sorted keys, MISSING if it is not one of them."""
    if not len(keys):
        return np.full(len(wanted), MISSING, dtype=np.int64)
    order = np.argsort(wanted)  # sorted look-ups are four times as fast, because memory is read in order
    indices = np.empty(len(wanted), dtype=np.int64)
    indices[order] = np.searchsorted(keys, wanted[order])
    indices[indices == len(keys)] = 0
    return np.where(keys[indices] == wanted, indices, MISSING)
