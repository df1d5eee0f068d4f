"""The Python API: a run in a few lines."""

from __future__ import annotations

import subprocess
import sys

import pytest

import talewright
from talewright.config import ModelConfig, recipe_from_dict
from talewright.errors import UserError
from talewright.run import RunFolder
from tests.train.conftest import write_stories


def test_an_import_of_the_package_loads_nothing_beside_the_standard_library():
    code = "import sys; before = set(sys.modules); import talewright\n"
    code += "print({name.partition('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{'talewright'}"


def test_a_run_in_six_lines(tmp_path, monkeypatch):
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(tmp_path / "cache"))
    stories = write_stories(tmp_path / "stories.txt", 150)
    small = {"model.n-layers": "2", "model.d-model": "16", "model.d-ff": "32", "model.vocab-size": "300"}
    small |= {"model.context-length": "32", "train.max-steps": "30", "train.precision": "fp32"}

    recipe = talewright.load_recipe("quickstart", {"data.source": str(stories), **small})
    run = talewright.fit(recipe, out=tmp_path / "run")
    score = run.evaluate()
    story = run.generate("Lily had", talewright.Sampling(max_new_tokens=8, seed=1))

    assert score.loss < run.evaluate(untrained=True).loss - 0.3
    assert story.text == "Lily had" + "".join(run.stream("Lily had", talewright.Sampling(max_new_tokens=8, seed=1)))
    again = talewright.load(tmp_path / "run")
    assert again.evaluate() == score
    assert again.recipe == recipe


def test_a_run_of_a_relative_path_is_opened_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here [1]").mkdir()
    (tmp_path / "elsewhere").mkdir()
    write_stories(tmp_path / "here [1]" / "stories.txt", 100)
    write_stories(tmp_path / "here [1]" / "others.txt", 20)
    shape = {"n_layers": 1, "n_heads": 2, "d_model": 16, "d_ff": 32, "vocab_size": 300, "context_length": 32}
    train = {"max_steps": 2, "precision": "fp32"}
    for number, source in enumerate(("stories.txt", "./st*.txt")):
        values = {"data": {"source": source, "valid": "others.txt"}, "model": shape, "train": train}
        monkeypatch.chdir(tmp_path / "here [1]")
        recipe = recipe_from_dict(values)
        score = talewright.fit(recipe, out=tmp_path / f"run-{number}").evaluate()
        monkeypatch.chdir(tmp_path / "elsewhere")
        again = talewright.load(tmp_path / f"run-{number}")
        assert again.evaluate() == score
        assert again.corpus().split("valid").n_stories == 20


def test_a_run_of_another_version_is_refused_by_its_settings_or_takes_their_defaults(tmp_path):
    (tmp_path / "recipe.yaml").write_text("train: {max_steps: 1, batch_tokens: 9}\nmodel: {rope: true}\n")
    with pytest.raises(UserError) as error:
        RunFolder(tmp_path)
    message = str(error.value)
    assert message.startswith(
        f"{tmp_path}/recipe.yaml does not fit talewright {talewright.__version__}; it may be another"
    )
    assert "no setting train.batch_tokens" in message
    assert "no setting model.rope" in message
    (tmp_path / "recipe.yaml").write_text("name: old\ntrain: {max_steps: 1}\n")
    assert RunFolder(tmp_path).recipe == talewright.load_recipe(tmp_path / "recipe.yaml")
    assert RunFolder(tmp_path).recipe.model == ModelConfig()


def test_what_the_package_offers_is_there_and_nothing_else():
    for name in talewright.__all__:
        assert getattr(talewright, name) is not None
    with pytest.raises(AttributeError, match="has no absent"):
        talewright.absent  # noqa: B018
