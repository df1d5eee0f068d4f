"""ROUGE precision against Google's implementation. The n-grams of ids are tested by the models built on them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.evaluate.ngrams import rouge_precision, words_of

texts = st.text(alphabet="aAbB'1 .-,", max_size=60)


@given(texts, texts, st.integers(1, 4))
def test_rouge_equals_googles(generated, reference, n):
    scorer = pytest.importorskip("rouge_score.rouge_scorer", reason="rouge-score is not installed")
    theirs = scorer.RougeScorer([f"rouge{n}"], use_stemmer=False).score(reference, generated)[f"rouge{n}"].precision
    assert rouge_precision(words_of(generated), words_of(reference), n) == pytest.approx(theirs)
