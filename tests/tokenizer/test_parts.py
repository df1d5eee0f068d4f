from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from talewright.config import EOT
from talewright.data.preparation.tokenize import tokenize_stories
from talewright.errors import UserError
from talewright.tokenizer import Tokenizer
from talewright.tokenizer.stats import count
from tests.tokenizer.cases import story_texts
from tests.tokenizer.foreign import GPT4, added, byte_level, changed, lossless_changes, sequence, split

texts = st.lists(
    st.one_of(
        story_texts(),
        st.lists(st.sampled_from(["<pad>", "fox", "the river", "It'LL", "12345", ".\n", "!!", " "]), max_size=9).map(
            "".join
        ),
    ),
    max_size=4,
)


@given(data=st.data(), stories=texts)
def test_the_ids_are_those_of_the_library_and_lose_nothing_wherever_a_text_is_split(
    small_bpe: Tokenizer, data: st.DataObject, stories: list[str]
):
    text = changed(small_bpe, data.draw(lossless_changes(small_bpe.vocab_size)))
    ours = Tokenizer(text)
    library = tokenizers.Tokenizer.from_str(text)
    library.encode_special_tokens = True
    library.no_truncation()
    expected = [library.encode(story, add_special_tokens=False).ids for story in stories]
    assert ours.encode_batch(stories) == expected
    assert ours.decode_batch(expected) == stories
    prepared = [ids.tolist() for batch in tokenize_stories(ours, stories) for ids in _parts(batch)]
    assert prepared == [[*ids, ours.eos_id] for ids in expected]
    every = np.array([number for ids in expected for number in ids], dtype=np.int64)
    assert count(ours, stories).by_id.tolist() == np.bincount(every, minlength=ours.vocab_size).tolist()


def _parts(batch: Any) -> list[np.ndarray]:
    return np.split(batch.ids, np.cumsum(batch.lengths)[:-1])


def test_a_long_text_is_cut_only_where_its_tokenizer_cuts(small_bpe: Tokenizer, monkeypatch: pytest.MonkeyPatch):
    for module in ("talewright.tokenizer.base", "talewright.data.preparation.tokenize"):
        monkeypatch.setattr(f"{module}.LONGEST", 10)
    monkeypatch.setattr("talewright.tokenizer.pieces.LONGEST", 10)
    monkeypatch.setattr("talewright.data.preparation.tokenize.BATCH", 40)
    splitter = sequence(split({"Regex": GPT4}), byte_level(use_regex=False))
    merged = json.loads(changed(small_bpe, {"pre_tokenizer": splitter}))
    place = max(merged["model"]["vocab"].values()) + 1
    merged["model"]["vocab"][".\u010a"] = place
    merged["model"]["merges"].append([".", "\u010a"])
    ours, story = Tokenizer(json.dumps(merged)), "a fox ran.\n" * 20
    assert place in ours.encode(story)  # a line end that belongs to the sentence before it
    library = tokenizers.Tokenizer.from_str(json.dumps(merged))
    assert ours.encode(story) == library.encode(story).ids
    [batch] = tokenize_stories(ours, [story])
    assert batch.ids.tolist() == [*ours.encode(story), ours.eos_id]
    assert count(ours, [story]).by_id[place] == 20


LLAMA_SPACES = {
    "type": "Sequence",
    "normalizers": [
        {"type": "Prepend", "prepend": "\u2581"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
    ],
}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"normalizer": {"type": "NFC"}}, "its normalizer NFC changes text"),
        ({"normalizer": {"type": "Sequence", "normalizers": [{"type": "Lowercase"}]}}, "normalizer Lowercase"),
        ({"normalizer": LLAMA_SPACES}, "normalizer Prepend"),
        ({"pre_tokenizer": byte_level(add_prefix_space=True)}, "ByteLevel has add_prefix_space"),
        ({"pre_tokenizer": sequence(split({"String": "x"}, "Removed"), byte_level())}, "Split removes"),
        ({"pre_tokenizer": sequence({"type": "Whitespace"}, byte_level())}, "pre_tokenizer Whitespace"),
        ({"pre_tokenizer": sequence({"type": "UnicodeScripts"}, byte_level())}, "pre_tokenizer UnicodeScripts"),
        ({"pre_tokenizer": sequence(byte_level(), byte_level())}, "two ByteLevel"),
        ({"pre_tokenizer": None}, "no ByteLevel step"),
        ({"model": {"dropout": 0.1}}, "dropout 0.1"),
        ({"model": {"continuing_subword_prefix": "##"}}, "continuing_subword_prefix '##'"),
        ({"model": {"end_of_word_suffix": "</w>"}}, "end_of_word_suffix '</w>'"),
        ({"added_tokens": [added(400, "<x>", lstrip=True)]}, "added token '<x>' removes the spaces"),
        ({"added_tokens": [added(400, "<x>", rstrip=True)]}, "added token '<x>' removes the spaces"),
        ({"added_tokens": [added(400, "<x>"), added(401, "<x>")]}, "added token '<x>' twice"),
        ({"added_tokens": [added(450, "<x>")]}, "'<x>' the id 450"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_part_that_would_lose_something_is_refused_by_its_name(small_bpe: Tokenizer, changes: dict, named: str):
    with pytest.raises(UserError, match=f"the tokenizer .*{named}"):
        Tokenizer(changed(small_bpe, changes))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"added_tokens": [added(0, "\u0104")]}, "added token '\u0104' is also"),
        ({"pre_tokenizer": byte_level(use_regex=False), "model": {"ignore_merges": True}}, "endoftext.* made of text"),
    ],
    ids=["a byte", "a word"],
)
def test_a_token_of_two_meanings_is_refused(small_bpe: Tokenizer, changes: dict, named: str):
    with pytest.raises(UserError, match=named):
        Tokenizer(changed(small_bpe, changes))


def test_a_special_token_that_merges_make_is_refused(small_bpe: Tokenizer):
    number = small_bpe.token_bytes.index(b"he")
    with pytest.raises(UserError, match="special token 'he' is also made of text"):
        Tokenizer(changed(small_bpe, {"added_tokens": [added(number, "he", special=True)]}))


@pytest.mark.parametrize("kind", ["Unigram", "WordPiece", "WordLevel"])
def test_another_kind_of_model_is_refused_by_its_name(small_bpe: Tokenizer, kind: str):
    with pytest.raises(UserError, match=f"its model is {kind}; only BPE"):
        Tokenizer(changed(small_bpe, {"model": {"type": kind}}))


def test_what_the_message_on_a_normalizer_says_holds(small_bpe: Tokenizer):
    values = json.loads(changed(small_bpe, {"normalizer": {"type": "NFC"}}))
    library = tokenizers.Tokenizer.from_str(json.dumps(values))
    without = Tokenizer(json.dumps(values | {"normalizer": None}))
    text = "The caf\u00e9 of the little fox."
    assert without.encode(text) == library.encode(text).ids


@given(text=st.text())
def test_the_end_of_text_is_never_a_part_of_a_text(small_bpe: Tokenizer, text: str):
    ours = Tokenizer(changed(small_bpe, {"added_tokens": [added(400, "<|im_end|>", special=True)]}))
    assert {400, ours.eos_id}.isdisjoint(ours.encode(f"{text}{EOT}<|im_end|>{text}"))
