"""What is wrong with a recipe: all of it is told at once, in words."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talewright.config import (
    ModelConfig,
    load_recipe,
    recipe_from_dict,
    setting_names,
)
from talewright.errors import UserError
from tests.config.drawn import SECTIONS, complaint


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    text = """
        seed: -1
        colour: red
        tokenizer: {kind: words}
        data: {limit: 0, splits: [1]}
        model: {n_layer: 4, n_heads: 5, d_model: 128, dropout: 1.5, positions: [rotary]}
        train: {micro_batch: many, accumulation: 0, max_steps: 10}
    """
    told = complaint(tmp_path, text, {"model.d-ff": "-1", "train.lerning-rate": "1e-3"})
    head, *lines = told.splitlines()
    names = ["seed", "data.limit", "data.splits", "model.n_heads", "model.dropout", "model.positions", "model.d_ff"]
    names += ["tokenizer.kind", "train.micro_batch", "train.accumulation"]
    for name in names:
        assert sum(line.startswith(f"  - {name} is ") for line in lines) == 1, name
    for unknown in ("colour", "model.n_layer", "train.lerning_rate"):
        assert sum(line.startswith(f"  - no setting {unknown}; ") for line in lines) == 1, unknown
    assert len(lines) == 13
    assert head.endswith("mine.yaml has 13 problems:")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("train: {max_step: 10}", "no setting train.max_step; did you mean train.max_steps?"),
        ("train: {max_steps: ten}", "train.max_steps is ten; it is a whole number, or null leaves it unset"),
        ("train: 10", "train is a number; it is a section of settings"),
        (
            "{train: {max_steps: 1}, model: {d_model: wide, n_heads: 3}}",
            "model.d_model is wide; it is a whole number",
        ),
    ],
)
def test_a_misunderstood_value_brings_no_complaints_about_the_defaults_in_its_place(
    tmp_path: Path, text: str, told: str
) -> None:
    assert complaint(tmp_path, text) == told


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("model.layer", "model.n_layers"),
        ("model.heads", "model.n_heads"),
        ("modle.n_layers", "model.n_layers"),
        ("n_layers", "model.n_layers"),
        ("modle", "model"),
        ("optimizer.learning_rate", "train.learning_rate"),
        ("train.batch", "train.micro_batch"),
        ("data.sourse", "data.source"),
        ("sed", "seed"),
    ],
)
def test_a_wrong_name_brings_the_nearest_right_one(wrong: str, right: str) -> None:
    with pytest.raises(UserError) as caught:
        load_recipe("mini-2m", {wrong: "1"})
    assert str(caught.value) == f"no setting {wrong}; did you mean {right}?"


def test_a_name_like_no_other_brings_those_of_its_section() -> None:
    with pytest.raises(
        UserError, match=r"^no setting schedule\.zz; there are schedule\.kind, schedule\.warmup_steps, "
    ):
        load_recipe("mini-2m", {"schedule.zz": "1"})


@pytest.mark.parametrize(
    ("setting", "word", "told"),
    [
        ("model.n_heads", "5", "model.n_heads is 5, which does not divide model.d_model 128; 1, 2, 4, 8 would"),
        ("model.n_kv_heads", "3", "model.n_kv_heads is 3, which does not divide model.n_heads 4"),
        ("model.n_layers", "0", "model.n_layers is 0; it counts from 1 up"),
        ("model.n_layers", "2.5", "model.n_layers is 2.5; it is a whole number"),
        ("model.n_layers", "true", "model.n_layers is true; it is a whole number"),
        ("model.tied", "1", "model.tied is 1; it is true or false"),
        ("model.norm", "batchnorm", "model.norm is batchnorm; it is one of layernorm, rmsnorm"),
        ("model.bias", "[qkv, k]", "model.bias is ['qkv', 'k']; it is one of qkv, out, mlp"),
        ("model.dropout", "1", "model.dropout is 1.0; it is a probability, from 0 to below 1"),
        ("model.dropout", ".nan", "model.dropout is nan; it is a finite number"),
        ("model.vocab_size", "256", "model.vocab_size is 256; a byte-level BPE needs 257 or more"),
        ("model.attention", "[]", "model.attention is empty; [global] or [global, local] would do"),
        ("data.splits", "[90, 5, 5, 0]", "data.splits is [90.0, 5.0, 5.0, 0.0]; it holds two or three shares"),
        ("data.splits", "[95, -5]", "data.splits is [95.0, -5.0]; it holds two or three shares"),
        ("data.stride", "300", "data.stride is 300, beyond data.sequence_length 256"),
        ("data.sequence_length", "300", "data.sequence_length is 300, beyond model.context_length 256"),
        ("optimizer.betas", "[0.9]", "optimizer.betas is [0.9]; it is a list of 2"),
        ("optimizer.clip", "0", "optimizer.clip is 0.0; it is above 0, or null for none"),
        ("train.max_minutes", ".inf", "train.max_minutes is inf; it is a finite number, or null leaves it unset"),
        ("train.max_steps", "null", "train has no budget; set one of train.max_steps, "),
        ("train.learning_rate", "-1e-3", "train.learning_rate is -0.001; it must be above 0"),
        ("train.compile", "maybe", "train.compile is maybe; it is one of auto, or it is true or false"),
        ("train.teacher_weight", "1.5", "train.teacher_weight is 1.5; it is a share of the loss, from 0 to 1"),
        ("train.short_steps", "-1", "train.short_steps is -1; it counts steps, so 0 or more"),
        ("train.short_steps", "9", "train.short_steps is 9, and train.short_length is unset; 64 would be a length"),
        ("train.short_length", "0", "train.short_length is 0; it counts tokens, from 1 up"),
        ("train.devices", "3", "train.devices x train.nodes is 3, which divides neither"),
        ("seed", "-1", "seed is -1; it is a whole number from 0 up"),
        ("name", "../elsewhere", "name is '../elsewhere'; the run's folder is called after it"),
    ],
)
def test_a_wrong_value_is_told_in_one_sentence(setting: str, word: str, told: str) -> None:
    with pytest.raises(UserError) as caught:
        load_recipe("mini-2m", {setting: word})
    assert str(caught.value).startswith(told)
    assert "\n" not in str(caught.value)


def test_short_windows_divide_the_whole_ones() -> None:
    short = {"train.short_steps": "9", "train.short_length": "100"}
    with pytest.raises(UserError, match="100, which does not divide the windows' 256 tokens; 128 would"):
        load_recipe("mini-2m", short)
    recipe = load_recipe("mini-2m", {**short, "data.sequence_length": "200"})
    assert [recipe.length_at(step) for step in (0, 8, 9, 10)] == [100, 100, 200, 200]
    assert load_recipe("mini-2m", {"train.short_length": "100"}).length_at(0) == 256


def test_heads_that_are_suggested_would_do() -> None:
    with pytest.raises(UserError) as caught:
        load_recipe("mini-2m", {"model.n_heads": "7", "model.d_model": "96"})
    for n in str(caught.value).split("; ")[1].removesuffix(" would").split(", "):
        assert list(ModelConfig(n_heads=int(n), d_model=96).problems()) == []


WRONG_VALUES = ["many words", 2.5, True, None, -1, 0, 10**9, [["x"]], {"a": 1}, [], "", float("nan"), "12 apples"]
UNKNOWN = ["e", "n", "colour", "model.layer", "train.n", "data.", "modle.n_layers", "tokenizer.kinds", "schedule.zz"]


def placed(pairs: dict[str, Any]) -> dict[str, Any]:
    """Settings by their dotted names as nested values, with a budget."""
    values: dict[str, Any] = {"train": {"max_steps": 10}}
    for name, value in pairs.items():
        section, _, last = name.rpartition(".")
        (values.setdefault(section, {}) if section else values)[last] = value
    return values


def problems_of(load: Callable[[], Any]) -> list[str]:
    """What the error lists, one by one; nothing where there is none."""
    try:
        load()
    except UserError as error:
        lines = str(error).splitlines()
        return [line.removeprefix("  - ") for line in lines[1:]] if len(lines) > 1 else lines
    return []


@cache
def alone(name: str, number: int) -> list[str]:
    """What is complained of where this setting alone has that wrong value."""
    return problems_of(lambda: recipe_from_dict(placed({name: WRONG_VALUES[number]})))


WRONG_PAIRS = st.dictionaries(
    st.sampled_from([*setting_names(), *UNKNOWN]), st.integers(0, len(WRONG_VALUES) - 1), max_size=7
)


def complaints_in_company(pairs: dict[str, int]) -> None:
    together = problems_of(lambda: recipe_from_dict(placed({name: WRONG_VALUES[n] for name, n in pairs.items()})))
    assert len(together) == len(set(together))
    # a section that is misspelt (modle) may be meant for the one that it is like, which is then not judged
    foreign = {name.partition(".")[0] for name in pairs if "." in name} - set(SECTIONS)
    meant = {near for name in foreign for near in difflib.get_close_matches(name, SECTIONS, 1)}
    for name, number in pairs.items():
        for problem in alone(name, number):
            others = [other for other in pairs if other != name and other.rpartition(".")[2] in problem]
            assert problem in together or others or name.partition(".")[0] in meant
    if not any(alone(name, number) for name, number in pairs.items()):
        assert all(sum(name in problem for name in pairs) > 1 for problem in together)


@settings(max_examples=150)
@given(pairs=WRONG_PAIRS)
def test_what_is_complained_of_alone_is_complained_of_in_company(pairs: dict[str, int]) -> None:
    """But for what was said of a setting that is wrong itself, or not understood."""
    complaints_in_company(pairs)


@pytest.mark.slow
@settings(max_examples=1000)
@given(pairs=WRONG_PAIRS)
def test_all_of_many_problems_are_named(pairs: dict[str, int]) -> None:
    complaints_in_company(pairs)


def test_a_name_of_one_letter_hides_nothing() -> None:
    told = problems_of(lambda: recipe_from_dict(placed({"e": 1, "model.n_heads": 5, "data.limit": 0})))
    assert [problem.split()[0] for problem in told] == ["no", "data.limit", "model.n_heads"]
