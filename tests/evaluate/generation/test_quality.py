"""The figures of generated stories together: against what a reader would say, and on any text."""

from __future__ import annotations

import random
from typing import Any

import pytest

from talewright.evaluate.generation.classifier import RealStyle
from talewright.evaluate.generation.quality import quality_figures
from talewright.evaluate.ngrams import words_of


def test_real_stories_are_better_than_their_words_shuffled_in_every_figure(real):
    vocabulary = frozenset(word for text in real for word in words_of(text))
    style = RealStyle(real[:100])
    rng = random.Random(0)
    shuffled = [" ".join(rng.sample(text.split(), len(text.split()))) for text in real[100:200]]
    whole, broken = (quality_figures(texts, style, vocabulary) for texts in (real[100:200], shuffled))
    assert whole["names_reused"]["share"] > 2 * broken["names_reused"]["share"]
    assert whole["rule_errors"] < broken["rule_errors"]
    assert whole["classifier_accuracy"] < broken["classifier_accuracy"]
    assert whole["invented"]["share"] == broken["invented"]["share"] == 0


def test_invented_words_are_those_that_no_training_story_has():
    vocabulary = frozenset(["tom", "saw", "a"])
    figures = quality_figures(["Tom saw a glorp. A glorp!"], RealStyle(["Tom saw a dog."]), vocabulary)
    assert figures["invented"] == {"share": 2 / 6, "words": ["glorp"]}


def test_grammar_has_no_figure_if_many_words_are_invented():
    pytest.importorskip("harper", reason="harper-py is not installed: the extra `scores`")
    broken = "This is an test of the the linter."
    known, style = frozenset(words_of(broken)), RealStyle([broken])
    assert quality_figures([broken], style, known)["grammar"]["errors"] >= 250
    assert quality_figures([broken], style, known - {"this", "linter"})["grammar"] is None


def test_any_texts_have_figures(real):
    figures: dict[str, Any] = quality_figures(["", "...", "a"], RealStyle(real[:3]), None)
    assert figures["stories"] == 3
    assert figures["invented"] is None
