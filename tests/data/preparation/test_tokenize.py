from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from talewright.config import EOT
from talewright.data.preparation import tokenize
from talewright.data.preparation.tokenize import tokenize_stories
from talewright.tokenizer import Tokenizer, make_tokenizer
from tests.data.cases import BPE, VOCAB, tales


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return make_tokenizer(BPE, VOCAB, lambda: tales(100))


def expected(tokenizer: Tokenizer, stories: list[str]) -> list[list[int]]:
    return [[*tokenizer.encode(story), tokenizer.eos_id] for story in stories]


def found(tokenizer: Tokenizer, stories: list[str]) -> list[list[int]]:
    return [
        part.tolist()
        for batch in tokenize_stories(tokenizer, stories)
        for part in np.split(batch.ids, np.cumsum(batch.lengths)[:-1])
    ]


@pytest.mark.parametrize("batch", [60, 400, 1 << 20])
def test_stories_come_out_in_order_with_an_end_of_text_after_each(
    tokenizer: Tokenizer, batch: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tokenize, "BATCH", batch)
    stories = ["", *tales(40), "x", *[tale.encode("ascii", "ignore").decode() for tale in tales(40)]]
    assert found(tokenizer, stories) == expected(tokenizer, stories)
    assert found(tokenizer, []) == []


plain = st.text(alphabet=st.sampled_from([*map(chr, range(128)), *"“”‘’–—…"])) | st.lists(
    st.sampled_from([" ", "  ", "It", "'ll", "'LL", "’s", "12", "\n", "\t", "...", "_", "\x1c", "\x85", "é", EOT])
).map("".join)


@given(st.lists(plain | st.text(), max_size=8), st.sampled_from([4, 1 << 18]), st.sampled_from([9, 1 << 22]))
def test_cached_words_have_the_ids_of_the_library(tokenizer: Tokenizer, stories: list[str], words: int, letters: int):
    stories = [story.encode("utf-8", "ignore").decode() for story in stories]
    with (
        mock.patch.object(tokenize, "MAX_CACHED_WORDS", words),
        mock.patch.object(tokenize, "MAX_CACHED_LETTERS", letters),
    ):
        assert found(tokenizer, stories) == expected(tokenizer, stories)


def test_a_tokenizer_that_cuts_words_otherwise_is_left_to_the_library():
    backend = tokenizers.Tokenizer.from_str(make_tokenizer(BPE, VOCAB, lambda: tales(50))._json)
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    other = Tokenizer(backend.to_str())
    assert found(other, ["In 1234 steps"] * 3) == expected(other, ["In 1234 steps"] * 3)
