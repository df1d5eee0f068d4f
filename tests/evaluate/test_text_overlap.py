"""What texts share with a corpus, against a naive search; the nearest text against Google's ROUGE."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talewright.evaluate import text_overlap
from talewright.evaluate.ngrams import ngrams, words_of
from talewright.evaluate.text_overlap import OverlapSearch

texts = st.lists(st.lists(st.sampled_from("abcd"), max_size=14).map(" ".join), max_size=6)


@settings(max_examples=200)
@given(texts, texts, st.integers(1, 30), st.integers(1, 6))
def test_matches_and_shares_are_those_of_a_naive_search(own, corpus, slice_words, max_match):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_overlap, "SLICE_WORDS", slice_words)
        search = OverlapSearch(own, max_match)
        search.read(map(words_of, corpus[:2]))
        search.read(map(words_of, corpus[2:]))
    matches, position = search.matches(), 0
    for i, text in enumerate(own):
        words = words_of(text)
        for start in range(len(words)):
            lengths = range(1, min(max_match, len(words) - start) + 1)
            length = max((n for n in lengths if holders(words[start : start + n], corpus)), default=0)
            assert matches[position] == length
            if length:
                assert search.source(position, length) == holders(words[start : start + length], corpus)[0]
            position += 1
        for n in range(1, max_match + 1):
            every = ngrams(words, n)
            found = sum(bool(holders(list(ngram), corpus)) for ngram in every)
            assert search.ngram_shares(n)[i] == pytest.approx(found / max(1, len(every)))


def holders(words: list[str], corpus: list[str]) -> list[int]:
    """The texts that have these consecutive words."""
    return [i for i, text in enumerate(corpus) if tuple(words) in ngrams(words_of(text), len(words))]


@settings(max_examples=200)
@given(texts, texts, st.integers(1, 30))
def test_the_nearest_text_is_the_one_with_the_highest_rouge(own, corpus, slice_words):
    scorer = pytest.importorskip("rouge_score.rouge_scorer", reason="rouge-score is not installed")
    rouge = scorer.RougeScorer(["rouge2"], use_stemmer=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_overlap, "SLICE_WORDS", slice_words)
        search = OverlapSearch(own)
        search.read(map(words_of, corpus))
    nearest, precision = search.nearest()
    for i, text in enumerate(own):
        scores = [rouge.score(other, text)["rouge2"].precision for other in corpus]
        best = max(scores, default=0)
        assert precision[i] == pytest.approx(best)
        assert nearest[i] == (scores.index(best) if best else -1)
