from __future__ import annotations

from collections import Counter
from unittest import mock

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from talewright.config import DataConfig
from talewright.data.preparation import deduplicate
from talewright.data.preparation.deduplicate import digest, first_occurrences
from talewright.data.preparation.split import assign, assign_by_position, split_stories

stories = st.lists(st.text(max_size=20), max_size=200)
shares = st.floats(0, 0.45)


def digests(texts: list[str]) -> np.ndarray:
    return np.frombuffer(b"".join(digest(text.encode()) for text in texts), dtype="<u8").reshape(-1, 2)


@given(stories, shares, shares, st.randoms())
def test_a_storys_split_depends_on_its_text_alone(texts: list[str], valid: float, test: float, draw):
    before = dict(zip(texts, assign(digests(texts), valid, test).tolist(), strict=True))
    others = draw.sample(texts, len(texts) // 2)
    assert assign(digests(others), valid, test).tolist() == [before[text] for text in others]


@given(stories, shares, shares)
def test_a_validation_story_stays_one_when_the_share_grows(texts: list[str], one: float, other: float):
    small, large = sorted((one, other))
    in_small, in_large = (assign(digests(texts), share, 0.0) == 1 for share in (small, large))
    assert not (in_small & ~in_large).any()


def test_shares_are_those_that_were_asked_for():
    numbers = assign(digests([f"story {n}" for n in range(20_000)]), 0.2, 0.1)
    share = np.bincount(numbers) / len(numbers)
    np.testing.assert_allclose(share, [0.7, 0.2, 0.1], atol=0.012)  # four standard deviations


def test_shares_of_nothing_and_of_half_are_exact():
    some = digests([f"story {n}" for n in range(1000)])
    assert set(assign(some, 0.0, 0.0)) == {0}
    assert set(assign(some, 0.5, 0.5)) == {1, 2}


@given(st.lists(st.lists(st.sampled_from([f"story {n}" for n in range(30)]), max_size=40), min_size=1, max_size=3))
def test_the_first_of_each_text_is_kept_across_sources(parts: list[list[str]]):
    seen: Counter[str] = Counter()
    expected = []
    for part in parts:
        expected.append([not seen.update([text]) and seen[text] == 1 for text in part])
    for group in (4, 1 << 22):  # in many groups, and in one
        with mock.patch.object(deduplicate, "_GROUP", group):
            found = first_occurrences([digests(part) for part in parts])
        assert [list(some) for some in found] == expected


class Staged:
    """Stories as they are staged."""

    def __init__(self, texts: list[str]) -> None:
        self.digests, self.sizes = digests(texts), np.array([len(text.encode()) for text in texts], dtype=np.int64)


@given(st.sets(st.text(min_size=1), min_size=2, max_size=120), st.randoms())
def test_two_stories_or_more_always_give_some_to_training_and_to_validation(texts: set[str], draw):
    ordered = sorted(texts)
    splits, _ = split_stories(DataConfig(), {"train": Staged(ordered)})  # type: ignore[dict-item]
    assert len(splits["valid"]) >= max(1, min(5, len(texts) // 10))
    assert len(splits["train"]) + len(splits["valid"]) == len(texts)
    shuffled = draw.sample(ordered, len(ordered))
    again, _ = split_stories(DataConfig(), {"train": Staged(shuffled)})  # type: ignore[dict-item]
    assert {shuffled[n] for n in again["valid"].indices} == {ordered[n] for n in splits["valid"].indices}


@given(st.lists(st.integers(1, 4000), min_size=2, max_size=200), st.floats(0.01, 0.4), st.floats(0, 0.4))
def test_documents_are_split_in_order_by_their_share_of_the_text(sizes: list[int], valid: float, test: float):
    numbers = assign_by_position(np.array(sizes), valid, test)
    assert numbers.tolist() == sorted(numbers.tolist())
    assert (numbers == 0).any()
    assert test or (numbers == 1).any()
    assert abs(np.array(sizes)[numbers == 2].sum() / sum(sizes) - test) <= 2 * max(sizes) / sum(sizes)
