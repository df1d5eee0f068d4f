from __future__ import annotations

from collections import Counter
from itertools import chain, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.config import EOT
from talewright.tokenizer import Tokenizer
from talewright.tokenizer.bpe import train_bpe
from talewright.tokenizer.pieces import LONGEST_WORD, group_texts, pieces, training_pieces
from tests.tokenizer.cases import made_up_stories, story_texts
from tests.tokenizer.test_bpe import GPT2_WORDS

WORDS = ["once", "upon", "it's", "12", "a-b", "😀!", "x\ny", "\x1c", "\x85", "\u2003", "\n\n", "", "!", "é", EOT]
texts = st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join) | st.lists(st.sampled_from(WORDS)).map("".join)


@given(texts | story_texts(), st.integers(1, 40))
def test_pieces_joined_are_the_text(text: str, longest: int):
    cut = list(pieces(text, longest))
    assert "".join(cut) == text
    assert all(1 <= len(piece) <= longest for piece in cut) or not text


@given(texts | story_texts(), st.integers(1, 40))
def test_a_text_is_cut_between_words_where_it_can_be(text: str, longest: int):
    """Against GPT-2's own expression: a cut within a word means that the piece is nothing but its beginning."""
    cut = list(pieces(text, longest))
    for piece, following in pairwise(cut):
        if GPT2_WORDS.findall(piece) + GPT2_WORDS.findall(following) != GPT2_WORDS.findall(piece + following):
            assert len(piece) == longest
            assert not any(b in " \n\r\t" and not a.isspace() for a, b in pairwise(piece))


def test_a_text_of_megabytes_has_the_ids_of_its_words(tokenizer: Tokenizer):
    text = " ".join(made_up_stories(1500))
    assert len(text) > 150_000
    words = GPT2_WORDS.findall(text)
    ids = dict(zip(dict.fromkeys(words), tokenizer.encode_batch(list(dict.fromkeys(words))), strict=True))
    expected = list(chain.from_iterable(ids[word] for word in words))
    assert tokenizer.encode(text) == expected
    assert tokenizer.encode_batch(["fox", text]) == [tokenizer.encode("fox"), expected]


@given(st.lists(texts | story_texts(), max_size=4), st.sampled_from([" ", "x", "\n", "é😀"]), st.integers(0, 700))
def test_a_bpe_is_trained_on_the_words_that_are_there_and_no_endless_one(stories: list[str], letter: str, number: int):
    def words(some: list[str]) -> Counter[str]:
        return Counter(word for story in some for word in GPT2_WORDS.findall(story))

    assert words(list(training_pieces(stories))) == words(stories)
    long = [*stories, f"a {letter * number} b"]
    parts = list(training_pieces(long))
    assert "".join(parts) == "".join(long)
    assert max(map(len, words(parts))) <= LONGEST_WORD + 1  # a blank goes before a word


@pytest.mark.parametrize("letter", ["a", "é", "!?", " "])
def test_a_million_letters_without_a_blank_are_learned_in_no_time(letter: str):
    """Whole, each merge would go through all of them: minutes."""
    tokenizer = train_bpe([letter * (1_000_000 // len(letter)), *made_up_stories(20)], 300)
    assert tokenizer.vocab_size == 300
    assert tokenizer.encode(letter * 600)


@given(texts=st.lists(st.text(max_size=9)), chars=st.integers(1, 20))
def test_groups_hold_all_texts_in_order_and_few_characters(texts: list[str], chars: int):
    groups = list(group_texts(iter(texts), chars))
    assert [text for group in groups for text in group] == texts
    assert all(len(group) == 1 or (group and sum(map(len, group)) <= chars) for group in groups)
