from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.config import EOT, TokenizerConfig
from talewright.errors import UserError
from talewright.tokenizer import Tokenizer, make_tokenizer
from talewright.tokenizer.base import BYTE_LETTERS, Merges
from talewright.tokenizer.gpt2 import load_gpt2
from talewright.tokenizer.most_frequent import most_frequent
from talewright.tokenizer.stats import count
from tests.tokenizer.cases import WORDS, made_up_stories


def _cut_as_before(whole: Tokenizer, reduced: Tokenizer, stories: list[str]) -> int:
    """How many stories hold kept tokens alone; each of them must be cut into the same tokens as before."""
    kept, same = set(reduced.token_bytes), 0
    for before, after in zip(whole.encode_batch(stories), reduced.encode_batch(stories), strict=True):
        pieces = [whole.token_bytes[i] for i in before]
        if kept.issuperset(pieces):
            same += 1
            assert [reduced.token_bytes[i] for i in after] == pieces
    return same


@given(seed=st.integers(0, 2**20), size=st.integers(256, 400), texts=st.lists(st.sampled_from(WORDS), max_size=30))
def test_text_of_kept_tokens_is_cut_as_before(small_folder: Path, seed: int, size: int, texts: list[str]):
    bpe = load_gpt2(str(small_folder))
    counts = np.random.default_rng(seed).integers(0, 5, len(bpe.vocab))
    reduced = Tokenizer.from_merges(most_frequent(bpe, counts, size))
    assert reduced.vocab_size == min(size + 1, len(bpe.vocab))
    _cut_as_before(Tokenizer.from_merges(bpe), reduced, [*texts, " ".join(texts)])


def test_every_kept_token_is_really_produced(small_folder: Path, small_top: Tokenizer):
    for token in small_top.token_bytes[256:-1]:
        text = token.decode()
        assert small_top.encode(text) == [small_top.token_bytes.index(token)]


@given(seed=st.integers(0, 2**20), size=st.integers(256, 400))
def test_the_most_frequent_are_kept_as_far_as_their_parts_fit(small_folder: Path, seed: int, size: int):
    bpe = load_gpt2(str(small_folder))
    counts = np.random.default_rng(seed).integers(0, 1000, len(bpe.vocab))
    kept = set(most_frequent(bpe, counts, size).vocab)
    made_of = {left + right: (left, right) for left, right in bpe.merges}

    def with_parts(token: str) -> set[str]:
        return {token}.union(*map(with_parts, made_of.get(token, ())))

    wanted = set(BYTE_LETTERS)
    for token in sorted(made_of, key=lambda token: (-counts[bpe.vocab[token]], bpe.vocab[token])):
        assert kept >= wanted
        wanted |= with_parts(token)
        if len(wanted) > size:
            break


def test_a_token_made_in_two_ways_keeps_both():
    letters = {letter: number for number, letter in enumerate(BYTE_LETTERS)}
    vocab = letters | {"ab": 256, "bc": 257, "abc": 258, "zz": 259, EOT: 260}
    bpe = Merges(vocab, [("a", "b"), ("b", "c"), ("ab", "c"), ("a", "bc"), ("z", "z")])
    counts = np.zeros(261, dtype=np.int64)
    counts[258] = 9
    assert set(most_frequent(bpe, counts, 259).vocab) == {*BYTE_LETTERS, "ab", "bc", "abc", EOT}
    assert set(most_frequent(bpe, counts, 258).vocab) == {*BYTE_LETTERS, "ab", "bc", EOT}  # abc did not fit


def test_ids_keep_their_order_and_end_with_the_end_of_text(small_folder: Path, small_top: Tokenizer):
    whole = Tokenizer.from_merges(load_gpt2(str(small_folder)))
    old = [whole.token_bytes.index(token) for token in small_top.token_bytes[:-1]]
    assert old == sorted(old)
    assert small_top.eos_id == small_top.vocab_size - 1 == 329


def test_room_for_all_keeps_all(small_folder: Path, stories: list[str]):
    config = TokenizerConfig(kind="gpt2-top", source=str(small_folder))
    whole = make_tokenizer(TokenizerConfig(kind="gpt2", source=str(small_folder)), 0, list)
    assert make_tokenizer(config, 9999, lambda: stories).fingerprint == whole.fingerprint


def test_without_stories_the_earliest_merges_are_kept(small_folder: Path):
    config = TokenizerConfig(kind="gpt2-top", source=str(small_folder))
    bpe = load_gpt2(str(small_folder))
    assert make_tokenizer(config, 300, list).merges().merges == bpe.merges[: 300 - 257]


def test_the_same_stories_give_the_same_tokens(small_folder: Path, small_top: Tokenizer):
    config = TokenizerConfig(kind="gpt2-top", source=str(small_folder))
    again = make_tokenizer(config, 330, lambda: reversed(made_up_stories()))
    assert again.fingerprint == small_top.fingerprint


@pytest.mark.parametrize("kind", ["bpe", "gpt2-top"])
def test_a_size_without_room_for_all_bytes_is_refused(kind, small_folder: Path):
    with pytest.raises(UserError, match=r"model\.vocab_size is 256; .* 257 or more"):
        make_tokenizer(TokenizerConfig(kind=kind, source=str(small_folder)), 256, list)


def test_8000_tokens_of_gpt2_on_real_stories(gpt2: Tokenizer, gpt2_folder: Path, real_stories: list[str]):
    config = TokenizerConfig(kind="gpt2-top", source=str(gpt2_folder))
    reduced = make_tokenizer(config, 8001, lambda: real_stories[:1000])
    assert (reduced.vocab_size, reduced.eos_id) == (8001, 8000)
    assert _cut_as_before(gpt2, reduced, real_stories) > 1000
    unseen = real_stories[1000:]
    assert reduced.decode_batch(reduced.encode_batch(unseen)) == unseen
    more = count(reduced, unseen).tokens / count(gpt2, unseen).tokens
    assert 1 <= more < 1.02
