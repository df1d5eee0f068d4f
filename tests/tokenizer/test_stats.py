from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.tokenizer import Tokenizer
from talewright.tokenizer.stats import count, coverage, describe, longest_tokens


def test_counts_equal_those_made_story_by_story(small_bpe: Tokenizer, stories: list[str]):
    counts = count(small_bpe, iter(stories))
    expected = Counter(i for story in stories for i in small_bpe.encode(story))
    assert {i: int(n) for i, n in enumerate(counts.by_id) if n} == expected
    assert counts.tokens == expected.total()
    assert counts.stories == len(stories)
    assert counts.n_bytes == sum(len(story.encode()) for story in stories)
    assert counts.words == sum(len(story.split()) for story in stories)


@given(by_id=st.lists(st.integers(0, 50), min_size=1, max_size=30), size=st.integers(1, 40))
def test_coverage_is_the_share_of_the_most_common(by_id: list[int], size: int):
    common = Counter(dict(enumerate(by_id))).most_common(size)
    expected = sum(n for _, n in common) / max(sum(by_id), 1)
    assert coverage(np.array(by_id), [size]) == {size: pytest.approx(expected)}


def test_a_long_stream_is_not_held(small_bpe: Tokenizer):
    alive = 0

    class Story(str):
        __slots__ = ()

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    most = 0

    def stream():
        nonlocal alive, most
        for _ in range(400):
            alive += 1
            most = max(most, alive)
            yield Story("the little fox " * 2000)  # 30,000 characters

    assert count(small_bpe, stream()).stories == 400
    assert most < 100  # some 35 make a batch


def test_longest_tokens_come_first(small_bpe: Tokenizer):
    lengths = [len(token.encode()) for token in longest_tokens(small_bpe, 30)]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] == small_bpe.byte_lengths.max()


def test_description_is_plain_json(small_bpe: Tokenizer, stories: list[str]):
    found = json.loads(json.dumps(describe(small_bpe, stories)))
    counts = count(small_bpe, stories)
    assert found["vocab_size"] == 400
    assert found["tokens_per_word"] == pytest.approx(counts.tokens / counts.words)
    assert found["bytes_per_token"] == pytest.approx(counts.n_bytes / counts.tokens)
    assert list(found["coverage"]) == ["1000", "2000", "4000", "8000", "10000"]
    assert found["coverage"]["1000"] == 1.0  # all 400 ids are among the 1,000 most frequent


def test_description_without_stories_says_nothing_of_them(small_bpe: Tokenizer):
    assert set(describe(small_bpe)) == {"vocab_size", "eos_id", "fingerprint", "longest_tokens"}


def test_no_stories_at_all_are_described_as_nothing(small_bpe: Tokenizer):
    found = describe(small_bpe, [])
    assert (found["stories"], found["tokens"], found["tokens_per_word"], found["bytes_per_token"]) == (0, 0, 0, 0)
