"""Tokenizers small enough to be made in each test run, and GPT-2's where its files are."""

from __future__ import annotations

from pathlib import Path

import pytest

from talewright.config import EOT, TokenizerConfig
from talewright.tokenizer import Tokenizer, make_tokenizer
from talewright.tokenizer.base import Merges
from tests.tokenizer.cases import made_up_stories


@pytest.fixture(scope="session")
def stories() -> list[str]:
    return made_up_stories()


@pytest.fixture(scope="session")
def small_bpe(stories: list[str]) -> Tokenizer:
    return make_tokenizer(TokenizerConfig(kind="bpe"), 400, lambda: stories)


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory: pytest.TempPathFactory, small_bpe: Tokenizer) -> Path:
    """A folder with vocab.json and merges.txt alone, laid out as GPT-2's: the end of text has the last id."""
    bpe = small_bpe.merges()
    tokens = [token for token in bpe.vocab if token != EOT]
    vocab = {token: number for number, token in enumerate([*tokens, EOT])}
    folder = tmp_path_factory.mktemp("small")
    Tokenizer.from_merges(Merges(vocab, bpe.merges)).save(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    return folder


@pytest.fixture(scope="session")
def small_top(small_folder: Path, stories: list[str]) -> Tokenizer:
    return make_tokenizer(TokenizerConfig(kind="gpt2-top", source=str(small_folder)), 330, lambda: stories)


@pytest.fixture(scope="session")
def gpt2(gpt2_folder: Path) -> Tokenizer:
    return make_tokenizer(TokenizerConfig(kind="gpt2", source=str(gpt2_folder)), 50257, list)


@pytest.fixture(params=["small_bpe", "small_top", "gpt2"], scope="session")
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    """Each kind of tokenizer in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def real_stories(shared: Path) -> list[str]:
    """The first 1,500 real training stories."""
    path = shared / "tinystories" / "train.txt"
    if not path.is_file():
        pytest.skip(f"no {path}")
    with path.open(encoding="utf-8") as file:
        return [story.strip() for story in file.read(3_000_000).split(EOT)[:1500]]
