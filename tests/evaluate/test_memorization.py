"""Copied stories are found with their source, and stories in two splits are counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from talewright.evaluate.memorization import overlap_figures
from talewright.evaluate.ngrams import words_of
from talewright.evaluate.split_overlap import SplitOverlap
from talewright.evaluate.text_overlap import OverlapSearch


def figures_of(texts: Sequence[str], training: Sequence[str]) -> dict[str, Any]:
    search = OverlapSearch(texts)
    search.read(map(words_of, training))
    return overlap_figures(search, range(len(texts)))


def test_a_copied_story_is_found_and_its_source_named():
    training = [f"Tom had {n} red balls and {n} blue kites in the big old house by the sea {n}." for n in range(50)]
    copied = "Well. " + training[31].upper() + " The end."
    figures = figures_of([copied, "A cat sat."], training)
    assert figures["longest"] == len(words_of(training[31]))
    assert figures["nearest"][0] == 31
    assert figures["examples"][0]["training_story"] == 31
    assert figures["examples"][0]["text"] == " ".join(words_of(training[31]))
    assert figures["half_copied"] == 0.5
    assert figures["copied_10grams"] == pytest.approx(9 / 12)


def test_a_match_never_crosses_stories():
    assert figures_of(["a b c d"], ["x a b", "c d y"])["longest"] == 2


def test_stories_in_two_splits_and_twice_in_one_are_counted():
    long = "once there was a cat who sat on the mat by the door of the old red house"
    held_out = ["A cat sat!", "Nobody has told this one before.", long + " and slept"]
    splits = SplitOverlap(held_out)
    observed = list(splits.observe(map(words_of, ["a cat sat", long, "A dog ran.", "a dog ran"])))
    assert len(observed) == 4
    assert splits.figures() == {
        "training_stories": 4,
        "held_out_stories": 3,
        "duplicates_in_training": 1,
        "in_both": 1,
        "half_in_training": 1,
    }


def test_stories_without_words_share_nothing():
    figures = figures_of(["...", ""], ["a b c"])
    assert (figures["longest"], figures["copied_10grams"], figures["nearest"]) == (0, 0, [-1, -1])
