"""What a resumed run keeps, and the command that begins and continues a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from talewright.api import CALLBACKS
from talewright.config import recipe_to_yaml
from talewright.errors import UserError
from talewright.run.folder import with_absolute_paths
from talewright.train.session import budgets_of_same_command, resume_run, start_run
from tests.train.conftest import write_stories


@pytest.fixture
def run(small, tmp_path, monkeypatch) -> Path:
    """A run folder without checkpoints, of recipe.yaml with stories at a relative path."""
    monkeypatch.chdir(tmp_path)
    write_stories(tmp_path / "stories.txt", 30)
    recipe = small(data={"source": "stories.txt"})
    Path("small.yaml").write_text(recipe_to_yaml(recipe))
    Path("run").mkdir()
    Path("run/recipe.yaml").write_text(recipe_to_yaml(with_absolute_paths(recipe)))
    return Path("run")


@pytest.mark.parametrize(
    ("setting", "value", "was"),
    [
        ("model.n_layers", "3", "2"),
        ("model.dropout", "0.2", "0.1"),
        ("tokenizer.kind", "gpt2-top", "bpe"),
        ("data.layout", "rows", "packed"),
        ("data.limit", "7", "None"),
        ("optimizer.kind", "muon", "adamw"),
        ("train.average", "0.9", "None"),
        ("train.init_from", "other", "None"),
    ],
)
def test_a_resume_that_changes_what_a_run_is_made_of_is_refused_by_name(run, monkeypatch, setting, value, was):
    before = Path("run/recipe.yaml").read_text()
    monkeypatch.setattr("talewright.train.session.open_corpus", lambda recipe: pytest.fail("it went on"))
    with pytest.raises(UserError, match=f"run keeps the settings that it began with: {setting} is {was}, not "):
        resume_run(run, {setting: value}, None)  # pyright: ignore[reportArgumentType]
    assert Path("run/recipe.yaml").read_text() == before


def test_the_same_command_gives_its_budgets_and_nothing_else(run):
    assert budgets_of_same_command(run, "small.yaml", {}) == {}
    given = {"data.source": "stories.txt", "train.max_steps": "30", "seed": "3"}
    for recipe in ("small.yaml", None):
        assert budgets_of_same_command(run, recipe, given) == {"train.max_steps": "30"}
    assert budgets_of_same_command(run, None, {"train.max_minutes": "5"}) == {"train.max_minutes": "5"}


def test_another_command_is_refused_by_name(run):
    with pytest.raises(UserError, match=r"seed is 3, not 4; train.learning_rate is 0.01, not 0.1"):
        budgets_of_same_command(run, None, {"seed": "4", "train.learning-rate": "0.1"})
    Path("small.yaml").write_text(Path("small.yaml").read_text().replace("dropout: 0.1", "dropout: 0.3"))
    with pytest.raises(UserError, match=r"model.dropout is 0.1, not 0.3"):
        budgets_of_same_command(run, "small.yaml", {})


@pytest.mark.parametrize("notes", [False, True])
def test_a_mistake_before_the_first_step_leaves_no_run_and_the_corrected_command_works(small, tmp_path, notes, cache):
    write_stories(tmp_path / "stories.txt", 30)
    (tmp_path / "one.txt").write_text("Once upon a time there was a girl who lived in a house. " * 20)
    path = tmp_path / "run"
    if notes:
        path.mkdir()
        (path / "notes.md").write_text("mine")
    one = small(data={"source": str(tmp_path / "one.txt"), "separator": "***"})
    with pytest.raises(UserError, match=r"has no validation stories"):
        start_run(one, path, CALLBACKS)
    assert [entry.name for entry in path.glob("*")] == ["notes.md"] * notes

    def refuse(*_: object, **__: object) -> None:
        raise UserError("found late")

    stories = small(data={"source": str(tmp_path / "stories.txt")})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("talewright.train.session.fit", refuse)
        with pytest.raises(UserError, match="found late"):
            start_run(stories, path, CALLBACKS)
    assert not (path / "recipe.yaml").exists()
    assert path.exists() == notes
    assert start_run(stories, path, CALLBACKS).state.step == stories.train.max_steps
