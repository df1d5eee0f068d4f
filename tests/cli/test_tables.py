"""What `recipes` computes and prints."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.cli.tables import (
    TOKENS_PER_STORY,
    duration,
    print_recipes,
    recipe_page,
    text_table,
    training_tokens,
)
from talewright.config import load_recipe, recipe_names
from talewright.machine import peak


@pytest.mark.parametrize(
    ("overrides", "tokens"),
    [
        ({"train.max_steps": "10"}, 10 * 16 * 16 * 256),
        ({"train.max_tokens": "1000"}, 1000),
        ({"train.max_steps": "10", "train.max_tokens": "1000"}, 1000),
        ({"train.max_minutes": "5"}, None),
        ({"train.max_epochs": "2"}, int(2 * 50_000 * 0.95 * TOKENS_PER_STORY)),
        ({"train.max_epochs": "2", "data.limit": "null", "data.source": "mine.txt"}, None),
    ],
)
def test_tokens_are_those_of_the_smallest_budget(overrides: dict[str, str], tokens: int | None) -> None:
    assert training_tokens(load_recipe("mini-2m", overrides)) == tokens


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (90, "90 s"),
        (150, "2 min"),
        (7199, "120 min"),
        (7200, "2 h"),
        (12 * 86400, "12 days"),
        (3 * 365 * 86400, "3 years"),
    ],
)
def test_a_duration_is_in_a_unit_of_which_there_are_at_least_two(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_page_shows_shares_of_the_parameters_that_add_up() -> None:
    lines = [line.split() for line in recipe_page(load_recipe("mini-2m")).splitlines() if line.startswith("#   ")]
    assert sum(int(line[2].replace(",", "")) for line in lines) == 1_848_064
    assert sum(float(line[3]) for line in lines) == pytest.approx(100, abs=0.2)


def test_the_page_says_where_the_model_can_go() -> None:
    pages = {name: recipe_page(load_recipe(name)) for name in ("quickstart", "story-1m")}
    lines = {name: next(line for line in page.splitlines() if "exports to" in line) for name, page in pages.items()}
    assert lines["quickstart"].startswith("# exports to: hf, ")
    assert "llama2c" in lines["quickstart"]
    assert "llama2c" not in lines["story-1m"]  # it normalizes queries and keys


def test_a_list_whose_reader_left_is_a_broken_pipe_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak, "known_peak", lambda device, precision: 5e11)
    reading, writing = os.pipe()
    os.close(reading)
    with suppress(OSError), os.fdopen(writing, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        print_recipes([load_recipe("quickstart")])
        with pytest.raises(BrokenPipeError):
            stream.flush()


def test_recipes_that_take_over_a_month_are_hidden_and_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(peak, "known_peak", lambda device, precision: 5e11)
    recipes = [load_recipe(name) for name in recipe_names()]
    print_recipes(recipes)
    printed = capsys.readouterr()
    assert "gpt2-124m" in printed.out
    assert "llama2c-110m" not in printed.out
    assert max(map(len, printed.out.splitlines())) <= 80
    hidden = len(recipes) - sum(recipe.name in printed.out.split() for recipe in recipes)
    assert f"{hidden} more would take over a month here; --all shows them." in printed.err
    assert "train --data stories.txt --minutes 20" in " ".join(printed.err.split())
    print_recipes(recipes, every=True)
    assert all(recipe.name in capsys_words for capsys_words in [capsys.readouterr().out.split()] for recipe in recipes)


@given(
    columns=st.dictionaries(st.text("abc", min_size=1, max_size=9), st.lists(st.text("x1", max_size=9), min_size=3)),
    width=st.integers(5, 60),
)
def test_a_text_table_drops_columns_only_until_it_fits(columns: dict[str, list[str]], width: int) -> None:
    columns = {title: cells[:3] for title, cells in columns.items()}
    if not columns:
        return
    first, *others = columns
    lines = text_table(columns, width, droppable=others).splitlines() + [""] * 4
    kept = lines[0].split()
    assert kept == [first, *others][:1] + [title for title in others if title in kept]
    full = max(map(len, text_table(columns, 1000).splitlines()), default=0)
    if full <= width:
        assert kept == [*columns]
