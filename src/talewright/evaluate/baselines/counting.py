"""What a model has to beat: counting, and compressing. Scored on the same tokens and bytes by the same protocol."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Sequence

import numpy as np

from talewright.data import Split
from talewright.evaluate.baselines.kneser_ney import KneserNey, count_grams
from talewright.evaluate.multiple_choice.scoring import Row, Scorer
from talewright.tokenizer import Tokenizer

ORDERS = {"unigram": 1, "bigram": 2, "5-gram": 5}
TOKENS = 20_000_000
"""Training tokens that the n-gram models count at most, from the first story on: counting takes some 200 bytes each."""


def ngram_models(train: Split, tokenizer: Tokenizer) -> tuple[dict[str, KneserNey], int]:
    """Models of the training stories by their names in ORDERS, and the training tokens that they counted."""
    known, tokens = [], 0
    for i in range(train.n_stories):
        known.append(train.story(i))
        tokens += len(known[-1]) + 1
        if tokens >= TOKENS:
            break
    levels = count_grams(known, tokenizer.eos_id, tokenizer.vocab_size, max(ORDERS.values()))
    return {name: KneserNey(levels, order, tokenizer.eos_id) for name, order in ORDERS.items()}, tokens


def counted_by(model: KneserNey) -> Scorer:
    """An n-gram model as a scorer of questions. A row's first token, an end of text, is read and never scored."""

    def score(rows: Sequence[Row]) -> np.ndarray:
        found = model.score([row.ids[1:] for row in rows])
        parts = np.split(found.losses.astype(np.float64), np.cumsum(found.lengths)[:-1])
        return np.array([-part[row.start - 1 : -1].sum() for row, part in zip(rows, parts, strict=True)])

    return score


def compressed(texts: Sequence[str]) -> dict[str, float]:
    """Bits per byte of the texts, one after another in one file, that gzip and xz at their best make of it. They learn
    from these texts alone.
    """
    data = "\n".join(texts).encode()
    sizes = {
        "gzip": len(gzip.compress(data, 9, mtime=0)),
        "xz": len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)),
    }
    return {name: 8 * size / len(data) for name, size in sizes.items()}
