"""The stories that a parity check compares."""

from __future__ import annotations

import dataclasses

from talewright.config import DataConfig
from talewright.data import prepare
from talewright.export.parity import bundled_stories, parity_stories
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
