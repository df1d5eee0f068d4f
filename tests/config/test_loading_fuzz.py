"""Loading a recipe from any text, values or overrides gives a recipe or a UserError, nothing else."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from talewright.config import load_recipe, recipe_from_dict, setting_names
from talewright.errors import UserError
from tests.config.strategies import SECTIONS, TEXTS

# fmt: off
ODD_WORDS = [
    "0x_", "0b_", "2001-99-99", "0001-01-01T00:00:00+23:59", "1e999", ".inf", "-.inf", ".nan", "~", "null", "yes",
    "1_000", "190:20:30", "!!int", "!!bool", "!!timestamp", "!!binary", "!!set", "!!omap", "!!float",
    "!!python/name:os.system", "&a", "*a", "<<:", "?", "|", ">", "'", '"', "#", "%", "@", "`", "-", ":", ",", "[", "]",
    "{", "}", "---", "...", "\t", "\\", "\0", "\ufeff", "\ud800",
]
# fmt: on
FRAGMENTS = st.sampled_from([*ODD_WORDS, " ", "\n", "\n  ", ": ", "- "]) | st.sampled_from(setting_names()).map(
    lambda name: name.rpartition(".")[2] + ": "
)

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.binary(max_size=3) | st.dates()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=2), max_leaves=5
)
KEYS = st.sampled_from([name.rpartition(".")[2] for name in setting_names()]) | SCALARS
MAPPINGS = st.dictionaries(
    st.sampled_from(SECTIONS) | KEYS, st.dictionaries(KEYS, VALUES, max_size=4) | VALUES, max_size=4
)


NAMES = setting_names()
WORDS = TEXTS | st.lists(FRAGMENTS, max_size=5).map("".join) | VALUES.map(str)

LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in pairwise(["a", "b", "c", "d", "e", "f", "g", "h", "seed"])
)
"""A list of lists of lists ... with 9**8 pairs at its ends (a "billion laughs")."""


def only_a_user_error(load: Any) -> None:
    """Load, and assert that the result is a recipe without problems or a UserError of readable length."""
    try:
        recipe = load()
    except UserError as error:
        message = str(error)
    else:
        message = " "
        assert list(recipe.problems()) == []
    assert 0 < len(message) < 20_000


@settings(max_examples=400)
@given(text=st.lists(FRAGMENTS, max_size=25).map("".join) | st.text(max_size=60))
@example(text="[" * 3000)
@example(text="seed: 0x" + "f" * 5000)
@example(text="model: &m {bias: [*m, *m], attention: &l [*l]}")
@example(text="&r {model: *r, train: {max_steps: 1}}")
@example(text="train: {max_steps: 1}\nmodel: {d_model: 1000000000000000000, n_heads: 7}")
@example(text=LAUGHS)
@example(text="!!python/object/apply:os.system [exit 1]")
def test_hostile_yaml_is_a_recipe_or_a_user_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "hostile.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    only_a_user_error(lambda: load_recipe(file))


@settings(max_examples=300)
@given(values=MAPPINGS)
def test_hostile_values_are_a_recipe_or_a_user_error(values: dict[Any, Any]) -> None:
    only_a_user_error(lambda: recipe_from_dict(values))


@settings(max_examples=300)
@given(key=st.sampled_from(NAMES) | TEXTS, word=WORDS)
def test_hostile_overrides_are_a_recipe_or_a_user_error(key: str, word: str) -> None:
    only_a_user_error(lambda: load_recipe("mini-2m", {key: word}))


@pytest.mark.slow
@settings(max_examples=2000)
@given(
    text=st.lists(FRAGMENTS, max_size=40).map("".join), words=st.dictionaries(st.sampled_from(NAMES), WORDS, max_size=3)
)
def test_hostile_yaml_and_words_together_are_a_recipe_or_a_user_error(
    tmp_path_factory: pytest.TempPathFactory, text: str, words: dict[str, str]
) -> None:
    file = tmp_path_factory.getbasetemp() / "hostile.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    only_a_user_error(lambda: load_recipe(file, words))
