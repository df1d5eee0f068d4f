"""A recipe is read from its file and from overrides, and written back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from talewright.config import (
    Recipe,
    flat,
    load_recipe,
    recipe_from_dict,
    recipe_names,
    recipe_to_dict,
    recipe_to_yaml,
    setting_names,
)
from talewright.errors import UserError
from tests.config.strategies import error_of, load_text, recipes


@settings(max_examples=150)
@given(recipe=recipes())
def test_property_17_configuration_survives_yaml(recipe: Recipe) -> None:
    assert list(recipe.problems()) == []
    assert recipe_from_dict(yaml.safe_load(recipe_to_yaml(recipe))) == recipe


@settings(max_examples=25)
@given(recipe=recipes())
def test_a_recipe_survives_its_file(tmp_path_factory: pytest.TempPathFactory, recipe: Recipe) -> None:
    assert load_text(tmp_path_factory.mktemp("recipe"), recipe_to_yaml(recipe)) == recipe


@pytest.mark.parametrize("name", recipe_names())
def test_every_packaged_recipe_loads_and_survives_yaml(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe_from_dict(yaml.safe_load(recipe_to_yaml(recipe))) == recipe


@settings(max_examples=50)
@given(recipe=recipes())
def test_the_yaml_holds_every_setting(recipe: Recipe) -> None:
    found: set[str] = set()
    for key, value in yaml.safe_load(recipe_to_yaml(recipe)).items():
        found |= {f"{key}.{inner}" for inner in value} if isinstance(value, dict) else {key}
    assert found == set(setting_names())


def as_yaml(value: Any) -> str:
    """A value as a YAML scalar for the command line, texts in quotes."""
    style = '"' if isinstance(value, str) else None
    return yaml.safe_dump(value, default_flow_style=True, default_style=style, width=10**6).removesuffix("\n...\n")


@settings(max_examples=50)
@given(recipe=recipes(), dashes=st.booleans())
def test_every_value_can_be_set_by_an_override(recipe: Recipe, dashes: bool) -> None:
    overrides = {}
    for key, value in recipe_to_dict(recipe).items():
        for inner, v in value.items() if isinstance(value, dict) else [("", value)]:
            name = f"{key}.{inner}".rstrip(".")
            overrides[name.replace("_", "-") if dashes else name] = as_yaml(v)
    assert load_recipe("mini-2m", overrides) == recipe


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("model.n-layers", "6", 6),
        ("train.learning-rate", "3e-4", 3e-4),
        ("train.max_steps", "1e4", 10_000),
        ("model.tied", "false", False),
        ("model.n_kv_heads", "null", None),
        ("model.attention", "local", ("local",)),
        ("model.attention", "[global, local]", ("global", "local")),
        ("model.bias", "[]", ()),
        ("train.compile", "auto", "auto"),
        ("data.source", "my: stories.txt", "my: stories.txt"),
        ("data.source", "2024-01-31", "2024-01-31"),
        ("data.source", "tales #2.txt", "tales #2.txt"),
        ("data.source", "[draft", "[draft"),
        ("about", "", ""),
        ("about", "# not a comment", "# not a comment"),
        ("data.text_key", "12", "12"),
    ],
)
def test_an_override_is_read_as_expected(key: str, text: str, value: Any) -> None:
    section, _, name = key.replace("-", "_").rpartition(".")
    recipe = load_recipe("mini-2m", {key: text})
    assert getattr(getattr(recipe, section) if section else recipe, name) == value


def test_a_budget_given_replaces_the_recipes_own() -> None:
    train = load_recipe("mini-2m", {"train.max-minutes": "10"}).train
    assert (train.max_minutes, train.max_steps) == (10.0, None)
    train = load_recipe("mini-2m", {"train.micro_batch": "2"}).train
    assert train.max_steps == 10_000


def test_an_override_changes_nothing_else() -> None:
    before, after = (
        recipe_to_dict(load_recipe("neo-41m")),
        recipe_to_dict(load_recipe("neo-41m", {"model.tied": "true"})),
    )
    assert before["model"].pop("tied") is False
    assert after["model"].pop("tied") is True
    assert before == after


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    message = error_of(tmp_path, "train: {max_steps: 1}\nmodel: {n_layers: 2}\nmodel: {n_heads: 2}\n")
    assert "model is given twice" in message
    assert "line 3" in message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mini2m", "no recipe mini2m; did you mean mini-2m?"),
        ("zzzz", "no recipe zzzz; `talewright recipes` lists them; a file's name ends in .yaml."),
        ("absent.yaml", "no recipe file absent.yaml here"),
        ("nul\0.yaml", "cannot be read"),
        ("a" * 5000, "no recipe aaa"),
        ("folder.yaml", "cannot be read"),
    ],
)
def test_a_missing_recipe_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(UserError) as caught:
        load_recipe(name)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_file_named_like_a_packaged_recipe_does_not_hide_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mini-2m").write_text("train: {max_steps: 1}")
    assert load_recipe("mini-2m").train.max_steps == 10_000
    assert load_recipe("./mini-2m").train.max_steps == 1


def test_reading_a_recipe_and_counting_its_cost_loads_nothing_heavy() -> None:
    code = (
        "import sys, talewright; from talewright.model.cost import count_parameters;"
        "count_parameters(talewright.load_recipe('mini-2m').model);"
        "print(sorted({'torch', 'numpy', 'datasets', 'pyarrow', 'matplotlib', 'transformers'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_a_recipe_is_flattened_to_dotted_names():
    assert dict(flat({"a": 1, "b": {"c": [1], "d": {"e": None}}})) == {"a": 1, "b.c": [1], "b.d.e": None}
