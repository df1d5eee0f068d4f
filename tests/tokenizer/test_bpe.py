from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import regex

from talewright.config import EOT, TokenizerConfig
from talewright.tokenizer import Tokenizer, make_tokenizer
from talewright.tokenizer.base import BYTE_LETTERS
from talewright.tokenizer.bpe import train_bpe
from tests.tokenizer.cases import made_up_stories, plain_bpe

# How GPT-2's published encoder cuts text into words.
GPT2_WORDS = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")


def test_ids_are_the_end_of_text_then_the_bytes_then_what_was_merged(small_bpe: Tokenizer):
    assert small_bpe.eos_id == 0
    assert sorted(small_bpe.token_bytes[1:257]) == [bytes([n]) for n in range(256)]
    assert all(len(token) >= 2 for token in small_bpe.token_bytes[257:])
    assert small_bpe.vocab_size == 400


def test_the_first_merge_is_the_most_frequent_pair():
    tokenizer = train_bpe(["xyxyxy ab"] * 5, 257 + 1)
    assert tokenizer.token_bytes[257:] == [b"xy"]


def test_a_small_corpus_gives_a_smaller_vocabulary():
    assert train_bpe([], 1000).vocab_size == 257
    assert train_bpe(["abcdefg"], 1000).vocab_size == 257  # no pair stands there twice
    assert 257 < train_bpe(["fox and hen", "hen and fox"], 1000).vocab_size < 300


def test_training_again_gives_the_same_tokenizer(small_bpe: Tokenizer, stories: list[str]):
    assert train_bpe(iter(stories), 400).fingerprint == small_bpe.fingerprint


def test_training_in_another_process_gives_the_same_tokenizer(small_bpe: Tokenizer):
    program = """
from talewright.tokenizer.bpe import train_bpe
from tests.tokenizer.cases import made_up_stories
print(train_bpe(made_up_stories(), 400).fingerprint)
"""
    environment = os.environ | {"PYTHONHASHSEED": "7", "TOKENIZERS_PARALLELISM": "false"}
    root = Path(__file__).parents[2]
    out = subprocess.run([sys.executable, "-c", program], env=environment, cwd=root, capture_output=True, check=True)
    assert out.stdout.decode().strip() == small_bpe.fingerprint


def test_ids_equal_those_of_a_plain_bpe(small_bpe: Tokenizer):
    bpe = small_bpe.merges()
    for story in made_up_stories(20, seed=1):
        expected: list[int] = []
        for word in GPT2_WORDS.findall(story):
            expected += plain_bpe("".join(BYTE_LETTERS[byte] for byte in word.encode()), bpe)
        assert small_bpe.encode(story) == expected


def test_the_end_of_text_spelled_in_the_stories_is_learned_as_text():
    tokenizer = train_bpe([f"a {EOT} b"] * 50, 300)
    assert EOT.encode() not in tokenizer.token_bytes
    assert b"endoftext" in tokenizer.token_bytes


def test_a_mistake_in_the_stories_comes_through_unchanged():
    def broken() -> Iterator[str]:
        yield "a story"
        raise KeyError("text")

    with pytest.raises(KeyError, match="text"):
        train_bpe(broken(), 300)


def test_stories_are_read_once_and_only_by_the_kinds_that_learn_from_them(small_folder: Path):
    reads = []

    def stories() -> Iterator[str]:
        reads.append(1)
        return iter(made_up_stories(20))

    source = str(small_folder)
    make_tokenizer(TokenizerConfig(kind="gpt2", source=source), 300, stories)
    assert len(reads) == 0
    make_tokenizer(TokenizerConfig(kind="bpe"), 300, stories)
    assert len(reads) == 1
    make_tokenizer(TokenizerConfig(kind="gpt2-top", source=source), 300, stories)
    assert len(reads) == 2
