"""The stories that a parity check compares."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from talewright.config import DataConfig
from talewright.data import prepare
from talewright.errors import UserError
from talewright.export.parity import bundled_stories, parity_stories, reader_logits
from tests.train.conftest import write_stories


def test_the_runs_own_validation_stories_are_used_while_they_are_on_this_machine(make_source, tmp_path):
    stories = write_stories(tmp_path / "stories.txt", 120)
    source = make_source()
    recipe = dataclasses.replace(source.recipe, data=DataConfig(source=str(stories), splits=(80.0, 20.0)))
    corpus = prepare(recipe.data, recipe.tokenizer, recipe.model.vocab_size, progress=False)
    prepared = parity_stories(recipe, corpus.tokenizer)
    valid = corpus.split("valid")
    assert [story[1:] for story in prepared] == [valid.story(i).tolist()[:23] for i in range(4)]
    assert all(story[0] == corpus.tokenizer.eos_id for story in prepared)
    bundled = bundled_stories(source.tokenizer, 24)
    assert parity_stories(recipe, source.tokenizer) == bundled  # the corpus was prepared with another tokenizer
    stories.unlink()
    assert parity_stories(recipe, corpus.tokenizer) == bundled_stories(corpus.tokenizer, 24)


def test_a_python_that_does_not_start_is_not_taken_for_a_folder_that_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(UserError, match=r"cannot be read in a fresh process: .*python does not start \(No such file"):
        reader_logits("llama2c", tmp_path, [[1, 2]])
