"""The classifier two-sample test on real stories, on the same ones, and on their words shuffled."""

from __future__ import annotations

import random

from talewright.evaluate.generation.classifier import RealStyle, classifier_accuracy


def test_shuffled_words_are_recognized_and_other_real_stories_are_not(real):
    rng = random.Random(0)
    shuffled = [" ".join(rng.sample(text.split(), len(text.split()))).lower() for text in real[100:200]]
    style = RealStyle(real[:100])
    accuracies = [classifier_accuracy(texts, style) or 0 for texts in (shuffled, real[100:200])]
    assert accuracies[0] > 0.95
    assert 0.3 < accuracies[1] < 0.7


def test_the_same_stories_cannot_be_distinguished(real):
    assert (classifier_accuracy(real[:50], RealStyle(real[:50])) or 1) <= 0.5


def test_too_few_stories_have_no_figure(real):
    assert classifier_accuracy(["xyzzy " * 50] * 50, RealStyle(real[:9])) is None
    assert classifier_accuracy(["xyzzy " * 50] * 9, RealStyle(real)) is None
    assert classifier_accuracy(["xyzzy " * 50] * 10, RealStyle(real)) == 1
