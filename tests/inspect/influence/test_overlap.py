"""Shared n-grams and longest matches against a count by hand and by brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.inspect.influence.overlap import longest_match, shared_ngrams

TOKENS = st.lists(st.integers(0, 4), min_size=1, max_size=12).map(np.array)


def ngrams(ids: np.ndarray, n: int) -> set[tuple[int, ...]]:
    return {tuple(ids[i : i + n].tolist()) for i in range(len(ids) - n + 1)}


def test_shares_of_a_small_case_counted_by_hand() -> None:
    text = np.array([1, 2, 3, 4])  # 2-grams 12 23 34, 3-grams 123 234, the 4-gram 1234
    stories = [np.array([1, 2, 3, 4]), np.array([9, 2, 3, 4]), np.array([4, 3, 2, 1]), np.array([1, 2])]
    shares = shared_ngrams(text, stories)
    assert shares.tolist() == pytest.approx([1, (2 / 3 + 1 / 2 + 0) / 3, 0, 1 / 9])


@given(text=TOKENS, stories=st.lists(TOKENS, min_size=1, max_size=5))
def test_shares_equal_those_of_sets(text: np.ndarray, stories: list[np.ndarray]) -> None:
    lengths = [n for n in (2, 3, 4) if len(text) >= n] or [1]
    expected = [
        np.mean([len(ngrams(text, n) & ngrams(story, n)) / len(ngrams(text, n)) for n in lengths]) for story in stories
    ]
    assert shared_ngrams(text, stories).tolist() == pytest.approx(expected)


@given(text=TOKENS, story=TOKENS)
def test_the_longest_match_is_in_both_and_no_longer_one_is(text: np.ndarray, story: np.ndarray) -> None:
    start, length = longest_match(text, story)
    common = [n for n in range(1, len(text) + 1) if ngrams(text, n) & ngrams(story, n)]
    assert length == max(common, default=0)
    assert not length or tuple(story[start : start + length].tolist()) in ngrams(text, length)
