"""The classifier two-sample test on real stories, on the same ones, and on their words shuffled."""

from __future__ import annotations

import random

from talewright.evaluate.generation.classifier import RealStyle, classifier_accuracy


def test_shuffled_words_are_recognized_and_other_real_stories_are_not(real):
    rng = random.Random(0)
    shuffled = [" ".join(rng.sample(text.split(), len(text.split()))).lower() for text in real[100:200]]
    style = RealStyle(real[:100])
    assert classifier_accuracy(shuffled, style) > 0.95
    assert 0.3 < classifier_accuracy(real[100:200], style) < 0.7


def test_the_same_stories_cannot_be_distinguished(real):
    assert classifier_accuracy(real[:50], RealStyle(real[:50])) <= 0.5
