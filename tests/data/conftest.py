"""A cache of its own for every test, and small corpora."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from talewright.config import DataConfig
from talewright.data import Corpus, prepare

from .cases import BPE, VOCAB, tales, write_txt


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(folder))
    return folder


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Corpus]:
    """Prepare stories, given as texts, with the settings given."""

    def made(stories: Sequence[str] = tuple(tales(60)), **settings: object) -> Corpus:
        source = write_txt(tmp_path / "stories.txt", stories)
        return prepare(DataConfig(source=str(source), **settings), BPE, VOCAB, progress=False)  # type: ignore[arg-type]

    return made


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """A corpus of 200 stories; do not change its folder."""
    folder = tmp_path_factory.mktemp("small")
    source = write_txt(folder / "stories.txt", tales(200))
    return prepare(DataConfig(source=str(source)), BPE, VOCAB, folder / "corpus", progress=False)
