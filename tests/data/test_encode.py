from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.data import encode
from talewright.data.encode import encode_stories, pieces
from talewright.tokenizer import Tokenizer, make_tokenizer

from .cases import BPE, VOCAB, tales


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return make_tokenizer(BPE, VOCAB, lambda: tales(100))


@pytest.mark.parametrize("batch", [1, 400, 1 << 20])
def test_stories_come_out_in_order_with_an_end_of_text_after_each(
    tokenizer: Tokenizer, batch: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(encode, "BATCH", batch)
    stories = ["", *tales(40), "x"]
    found = list(encode_stories(tokenizer, stories))
    expected = [[*tokenizer.encode(story), tokenizer.eos_id] for story in stories]
    assert np.concatenate([some.lengths for some in found]).tolist() == list(map(len, expected))
    if batch > 1:  # pieces of one character have other ids
        assert np.concatenate([some.ids for some in found]).tolist() == list(chain.from_iterable(expected))


@given(
    st.lists(st.sampled_from(["once", "upon", "", "\n", " ", "😀", "it's", "12", "a-b"]), max_size=60),
    st.integers(1, 40),
)
def test_a_long_story_in_pieces_is_the_story(words: list[str], longest: int):
    story = " ".join(words)
    found = list(pieces(story, longest))
    assert "".join(found) == story
    assert all(1 <= len(piece) <= longest for piece in found) or not story


@given(st.lists(st.sampled_from(["once", "upon", "it's", "12", "a-b", "😀!", "x\ny"]), max_size=60), st.integers(8, 40))
def test_pieces_have_the_ids_of_the_whole(tokenizer: Tokenizer, words: list[str], longest: int):
    story = " ".join(words)  # no word is longer than a piece, so all are cut between words
    found = [number for piece in pieces(story, longest) for number in tokenizer.encode(piece)]
    assert found == tokenizer.encode(story)
