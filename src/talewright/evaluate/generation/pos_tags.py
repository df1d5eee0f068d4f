"""Whether told stories have their parts of speech as real ones do: a noun behind an adjective, no two verbs in a row.

The tagger is TextBlob's: a lexicon and Brill's rules, text files in its wheel, so that nothing is fetched. It takes a
word for what it mostly is, in told and in real stories alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from talewright.evaluate.context import AbsentError
from talewright.evaluate.generation.ngrams import Gram, grams

N = 3
"""Parts of speech in a row that are counted."""
TAGS = 20_000
"""Of all texts together: fewer look less alike, so that only equal numbers can be compared."""


def speech_of(texts: Sequence[str]) -> Counter[Gram]:
    """How often each row of N parts of speech or marks stands in the texts, up to TAGS of them. Raises AbsentError
    where there is no tagger.
    """
    try:
        from textblob.en import tag
    except ImportError:
        raise AbsentError('parts of speech are found by textblob: pip install "talewright[scores]"') from None
    found, left = Counter[Gram](), TAGS
    for text in texts:
        tags = [kind for _, kind in tag(text)][:left]
        found.update(grams(tags, N))
        left -= len(tags)
        if not left:
            break
    return found


def speech_agrees(told: Counter[Gram], real: Counter[Gram]) -> float:
    """What two distributions have in common: 1 less their Jensen-Shannon divergence in bits (Lin 1991). 0 where one of
    them has nothing.
    """
    if not told or not real:
        return 0.0
    every = sorted({*told, *real})
    first, second = (np.array([counts[row] for row in every]) / counts.total() for counts in (told, real))
    middle = (first + second) / 2
    return 1 - (_divergence(first, middle) + _divergence(second, middle)) / 2


def _divergence(shares: np.ndarray, others: np.ndarray) -> float:
    """Kullback-Leibler divergence, in bits. `others` are 0 nowhere."""
    some = shares > 0
    return float((shares[some] * np.log2(shares[some] / others[some])).sum())
