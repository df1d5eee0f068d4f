"""What every setting means."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from talewright import cli
from talewright.cli.settings import explain, settings, settings_page
from talewright.config import load_recipe, recipe_to_dict, setting_names

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_page_of_settings_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == settings_page(), (
        "make it again: python -m talewright.cli.settings > docs/settings.md"
    )


def test_every_setting_is_explained_by_its_docstring() -> None:
    found = list(settings())
    assert [".".join(filter(None, (each.section, each.name))) for each in found] == sorted(
        setting_names(), key=[f"{each.section}.{each.name}".lstrip(".") for each in found].index
    )
    assert all(each.meaning and each.values for each in found)
    by_name = {each.name: each for each in found}
    assert by_name["n_layers"].meaning == "Number of transformer blocks."
    assert by_name["clip"].values == "number or null: it must be above 0"
    assert by_name["betas"].default == [0.9, 0.95]


def test_a_recipe_is_explained_with_its_own_values(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    cli.main(["recipes", "quickstart", "--explain", "--model.n-layers", "7"])
    shown = capsys.readouterr().out
    assert "model.n_layers: 7   (default: 4)\n    Number of transformer blocks." in shown
    assert "\nseed: 0\n" in shown
    assert max(map(len, shown.splitlines())) <= 80
    values = recipe_to_dict(load_recipe("quickstart"))
    named = re.findall(r"^(\w+)\.(\w+): ", explain(load_recipe("quickstart"), 100), re.MULTILINE)
    assert {(section, name) for section, name in named} == {
        (section, name) for section in values if isinstance(values[section], dict) for name in values[section]
    }


def test_explaining_needs_a_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main(["recipes", "--explain"])
    assert exit_.value.code == 2
    assert "talewright recipes quickstart --explain" in capsys.readouterr().err
