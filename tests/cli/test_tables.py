"""What `recipes` computes and prints."""

from __future__ import annotations

import pytest

from talewright.cli.tables import TOKENS_PER_STORY, duration, recipe_page, training_tokens
from talewright.config import load_recipe


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
