"""A small run with everything that an inspection needs, trained in a second, with its corpus in its own cache."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from talewright.cli import main
from tests.test_cli import SMALL
from tests.train.conftest import write_stories


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder; its stories and its cache are beside it."""
    home = tmp_path_factory.mktemp("inside")
    recipe, stories = home / "small.yaml", write_stories(home / "stories.txt", 120)
    recipe.write_text(SMALL)
    before = os.environ.get("TALEWRIGHT_CACHE")
    os.environ["TALEWRIGHT_CACHE"] = str(home / "cache")
    try:
        main(["train", "--recipe", str(recipe), "--data", str(stories), "--out", str(home / "run")])
    finally:
        os.environ.pop("TALEWRIGHT_CACHE")
        if before is not None:
            os.environ["TALEWRIGHT_CACHE"] = before
    return home / "run"


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it that a test may damage."""
    import shutil

    monkeypatch.setenv("TALEWRIGHT_CACHE", str(trained.parent / "cache"))
    return Path(shutil.copytree(trained, tmp_path / "run"))
