"""The Python API: a run in a few lines."""

from __future__ import annotations

import pytest

import talewright
from tests.train.conftest import write_stories


def test_a_run_in_six_lines(tmp_path, monkeypatch):
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(tmp_path / "cache"))
    stories = write_stories(tmp_path / "stories.txt", 150)
    small = {"model.n-layers": "2", "model.d-model": "16", "model.d-ff": "32", "model.vocab-size": "300"}
    small |= {"model.context-length": "32", "train.max-steps": "30", "train.precision": "fp32"}

    recipe = talewright.load_recipe("quickstart", {"data.source": str(stories), **small})
    run = talewright.fit(recipe, out=tmp_path / "run")
    score = run.evaluate()
    story = run.tell("Lily had", talewright.Sampling(max_new_tokens=8, seed=1))

    assert score.loss < run.evaluate_untrained().loss - 0.3
    assert story.text == "Lily had" + "".join(run.stream("Lily had", talewright.Sampling(max_new_tokens=8, seed=1)))
    again = talewright.load(tmp_path / "run")
    assert again.evaluate() == score
    assert again.recipe == recipe


def test_what_the_package_offers_is_there_and_nothing_else():
    for name in talewright.__all__:
        assert getattr(talewright, name) is not None
    with pytest.raises(AttributeError, match="has no absent"):
        talewright.absent  # noqa: B018
