"""The tool that makes the included model of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from talewright import api
from talewright.config import DataConfig
from talewright.errors import UserError
from talewright.files import write_json
from talewright.run import RunFolder
from talewright.run.log import read_log
from tests.train.conftest import small, small_values, write_stories  # noqa: F401, fixtures
from tools import include_model


@pytest.fixture
def run(small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:  # noqa: F811
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(tmp_path / "cache"))
    recipe = small(name="story-3m", model={"context_length": 32}, train={"max_steps": 45})
    run = api.fit(recipe, tmp_path / "run")
    write_json(run.path / "scores.json", {"run": {"folder": "run"}, "tasks": {"memorization": {"text": "Tom had"}}})
    return run


def held_out(folder: Path) -> DataConfig:
    return DataConfig(source=str(write_stories(folder / "valid.txt", 30)), limit=20)


def test_the_folder_is_a_run_with_the_same_stories_and_no_name_of_this_machine(run: RunFolder, tmp_path: Path) -> None:
    checks = include_model.include(run, held_out(tmp_path), tmp_path / "out")
    made = RunFolder(tmp_path / "out")
    assert made.recipe == include_model.neutral(run.recipe)
    assert made.tokenizer.fingerprint == run.tokenizer.fingerprint
    assert made.history().evaluations == run.history().evaluations
    assert made.history().training["step"] == [1, 20, 40]
    assert made.draft() is not None
    assert abs(checks["8-bit"]["loss"] - checks["float32"]["loss"]) < 0.02
    assert checks["8-bit"]["stories"] == 20
    assert api.load(made.path).generate("Tom").text.startswith("Tom")
    for path in made.path.rglob("*"):
        assert not path.is_file() or str(tmp_path).encode() not in path.read_bytes(), path
    assert json.loads((made.path / "scores.json").read_text())["tasks"] == {"memorization": {}}
    assert next(read_log(made.path / "log.jsonl"))["recipe"]["data"]["source"] == "TinyStories"
    assert f"{checks['8-bit']['bits_per_byte']:.4f}" in (made.path / "README.md").read_text()


def test_a_folder_that_would_be_too_large_leaves_the_old_one(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "kept").write_text("")
    monkeypatch.setattr(include_model, "MAX_BYTES", 1000)
    with pytest.raises(UserError, match="more than 1,000"):
        include_model.include(run, held_out(tmp_path), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["kept"]
