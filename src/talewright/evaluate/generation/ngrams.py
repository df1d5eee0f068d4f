"""Texts as words, and what they share: the counting that scores of told stories stand on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import islice

WORD = re.compile(r"[^\W_]+")
Gram = tuple[str, ...]


def words_of(text: str) -> list[str]:
    """Runs of letters and digits, in small letters: on ASCII what ROUGE's own implementation takes for words."""
    return WORD.findall(text.lower())


def grams(words: Sequence[str], n: int) -> list[Gram]:
    """All n-grams, as they follow one another."""
    return list(zip(*(islice(words, i, None) for i in range(n)), strict=False))


def rouge_precision(told: Sequence[str], other: Sequence[str], n: int) -> float:
    """ROUGE-n precision (Lin 2004): share of the told n-grams that stand in the other text, each at most as often as
    it does there. 0 where there are none.
    """
    own, theirs = Counter(grams(told, n)), Counter(grams(other, n))
    return sum((own & theirs).values()) / max(1, sum(own.values()))
