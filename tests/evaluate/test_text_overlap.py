"""What stands in other texts, against a naive search; the nearest text against Google's ROUGE."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talewright.evaluate import text_overlap as module
from talewright.evaluate.generation.ngrams import grams, rouge_precision, words_of
from talewright.evaluate.memorization import Splits, copied_figures
from talewright.evaluate.text_overlap import Copies

texts = st.lists(st.lists(st.sampled_from("abcd"), max_size=14).map(" ".join), max_size=6)


@settings(max_examples=200)
@given(texts, texts, st.integers(1, 30), st.integers(1, 6))
def test_passages_and_shares_are_those_of_a_naive_search(told, many, slice_words, longest):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SLICE_WORDS", slice_words)
        copies = Copies(told, longest)
        copies.read(map(words_of, many[:2]))
        copies.read(map(words_of, many[2:]))
    passages, place = copies.passages(), 0
    for i, text in enumerate(told):
        words = words_of(text)
        for start in range(len(words)):
            lengths = [
                n for n in range(1, min(longest, len(words) - start) + 1) if holder(words[start : start + n], many)
            ]
            length = max(lengths, default=0)
            assert passages[place] == length
            if length:
                assert copies.source(place, length) == holder(words[start : start + length], many)[0]
            place += 1
        for n in range(1, longest + 1):
            own = grams(words, n)
            met = sum(bool(holder(list(gram), many)) for gram in own)
            assert copies.shares(n)[i] == pytest.approx(met / max(1, len(own)))


def holder(words: list[str], many: list[str]) -> list[int]:
    """Which texts hold the words, one after another."""
    return [i for i, text in enumerate(many) if tuple(words) in grams(words_of(text), len(words))]


@settings(max_examples=200)
@given(texts, texts, st.integers(1, 30))
def test_the_nearest_text_is_the_one_with_the_highest_rouge(told, many, slice_words):
    scorer = pytest.importorskip("rouge_score.rouge_scorer", reason="rouge-score is not installed")
    rouge = scorer.RougeScorer(["rouge2"], use_stemmer=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SLICE_WORDS", slice_words)
        copies = Copies(told)
        copies.read(map(words_of, many))
    nearest, precision = copies.nearest()
    for i, text in enumerate(told):
        scores = [rouge.score(other, text)["rouge2"].precision for other in many]
        best = max(scores, default=0)
        assert precision[i] == pytest.approx(best)
        assert nearest[i] == (scores.index(best) if best else -1)


@given(st.text(alphabet="aAbB'1 .-,", max_size=60), st.text(alphabet="aAbB'1 .-,", max_size=60), st.integers(1, 4))
def test_rouge_is_googles(told, other, n):
    scorer = pytest.importorskip("rouge_score.rouge_scorer", reason="rouge-score is not installed")
    theirs = scorer.RougeScorer([f"rouge{n}"], use_stemmer=False).score(other, told)[f"rouge{n}"].precision
    assert rouge_precision(words_of(told), words_of(other), n) == pytest.approx(theirs)


def test_a_copied_story_is_found_and_its_source_named():
    training = [f"Tom had {n} red balls and {n} blue kites in the big old house by the sea {n}." for n in range(50)]
    copied = "Well. " + training[31].upper() + " The end."
    found = copied_figures([copied, "A cat sat."], training)
    assert found["longest"] == len(words_of(training[31]))
    assert found["nearest"][0] == 31
    assert found["examples"][0]["training_story"] == 31
    assert found["examples"][0]["passage"] == " ".join(words_of(training[31]))
    assert found["half_copied"] == 0.5
    assert found["copied_10grams"] == pytest.approx(9 / 12)


def test_a_passage_never_runs_from_one_story_into_the_next():
    assert copied_figures(["a b c d"], ["x a b", "c d y"])["longest"] == 2


def test_stories_in_two_splits_and_twice_in_one_are_counted():
    long = "once there was a cat who sat on the mat by the door of the old red house"
    held_out = ["A cat sat!", "Nobody has told this one before.", long + " and slept"]
    splits = Splits(held_out)
    passed = list(splits.passing(map(words_of, ["a cat sat", long, "A dog ran.", "a dog ran"])))
    assert len(passed) == 4
    assert splits.figures() == {
        "training_stories": 4,
        "held_out_stories": 3,
        "doubled_in_training": 1,
        "in_both": 1,
        "half_in_training": 1,
    }


def test_stories_without_words_copy_nothing():
    found = copied_figures(["...", ""], ["a b c"])
    assert (found["longest"], found["copied_10grams"], found["nearest"]) == (0, 0, [-1, -1])
