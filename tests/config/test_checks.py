"""Every problem of a recipe is reported at once, each in one sentence."""

from __future__ import annotations

import ast
import difflib
import inspect
import re
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talewright.config import ModelConfig, Recipe, load_recipe, recipe_from_dict, setting_names
from talewright.errors import UserError
from tests.config.strategies import SECTIONS, error_of


def test_every_problem_is_reported_at_once(tmp_path: Path) -> None:
    text = """
        seed: -1
        colour: red
        tokenizer: {kind: words}
        data: {limit: 0, splits: [1]}
        model: {n_layer: 4, n_heads: 5, d_model: 128, dropout: 1.5, positions: [rotary]}
        train: {micro_batch: many, accumulation: 0, max_steps: 10}
    """
    message = error_of(tmp_path, text, {"model.d-ff": "-1", "train.lerning-rate": "1e-3"})
    head, *lines = message.splitlines()
    names = ["seed", "data.limit", "data.splits", "model.n_heads", "model.dropout", "model.positions", "model.d_ff"]
    names += ["tokenizer.kind", "train.micro_batch", "train.accumulation"]
    for name in names:
        assert sum(line.startswith(f"  - {name} is ") for line in lines) == 1, name
    for unknown in ("colour", "model.n_layer", "train.lerning_rate"):
        assert sum(line.startswith(f"  - no setting {unknown}; ") for line in lines) == 1, unknown
    assert len(lines) == 13
    assert head.endswith("mine.yaml has 13 problems:")


@pytest.mark.parametrize(
    ("text", "message"),
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
def test_a_value_of_a_wrong_type_brings_no_problems_of_the_default_in_its_place(
    tmp_path: Path, text: str, message: str
) -> None:
    assert error_of(tmp_path, text) == message


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
def test_an_unknown_name_suggests_the_nearest_one(wrong: str, right: str) -> None:
    with pytest.raises(UserError) as caught:
        load_recipe("mini-2m", {wrong: "1"})
    assert str(caught.value) == f"no setting {wrong}; did you mean {right}?"


def test_a_name_like_no_other_lists_those_of_its_section() -> None:
    with pytest.raises(
        UserError, match=r"^no setting schedule\.zz; there are schedule\.kind, schedule\.warmup_steps, "
    ):
        load_recipe("mini-2m", {"schedule.zz": "1"})


@pytest.mark.parametrize(
    ("setting", "text", "message"),
    [
        ("model.n_heads", "5", "model.n_heads is 5, which does not divide model.d_model 128; use 1, 2, 4 or 8"),
        ("model.n_kv_heads", "3", "model.n_kv_heads is 3, which does not divide model.n_heads 4"),
        ("model.n_layers", "0", "model.n_layers is 0; it must be 1 or more"),
        ("model.n_layers", "2.5", "model.n_layers is 2.5; it is a whole number"),
        ("model.n_layers", "true", "model.n_layers is true; it is a whole number"),
        ("model.tied", "1", "model.tied is 1; it is true or false"),
        ("model.norm", "batchnorm", "model.norm is batchnorm; it is one of layernorm, rmsnorm"),
        ("model.bias", "[qkv, k]", "model.bias is ['qkv', 'k']; it is one of qkv, out, mlp"),
        ("model.dropout", "1", "model.dropout is 1.0; it is a probability, from 0 to below 1"),
        ("model.dropout", ".nan", "model.dropout is nan; it is a finite number"),
        ("model.vocab_size", "256", "model.vocab_size is 256; a byte-level BPE needs 257 or more"),
        ("model.attention", "[]", "model.attention is empty; use [global], or [global, local]"),
        ("data.splits", "[90, 5, 5, 0]", "data.splits is [90.0, 5.0, 5.0, 0.0]; it holds two or three shares"),
        ("data.splits", "[95, -5]", "data.splits is [95.0, -5.0]; it holds two or three shares"),
        ("data.stride", "300", "data.stride is 300, beyond data.sequence_length 256"),
        ("data.sequence_length", "300", "data.sequence_length is 300, beyond model.context_length 256"),
        ("optimizer.betas", "[0.9]", "optimizer.betas is [0.9]; it is a list of 2"),
        ("optimizer.clip", "0", "optimizer.clip is 0.0; it must be above 0"),
        ("train.max_minutes", ".inf", "train.max_minutes is inf; it is a finite number, or null leaves it unset"),
        ("train.max_steps", "null", "train has no budget; set one of train.max_steps, "),
        ("train.learning_rate", "-1e-3", "train.learning_rate is -0.001; it must be above 0"),
        ("train.compile", "maybe", "train.compile is maybe; it is one of auto, or it is true or false"),
        ("train.teacher_weight", "1.5", "train.teacher_weight is 1.5; it is a fraction, from 0 to 1"),
        ("train.average", "1", "train.average is 1.0; it is a decay, above 0 and below 1"),
        ("train.keep", "0", "train.keep is 0; it must be 1 or more"),
        (
            "train.short_steps",
            "9",
            "train.short_steps is 9, but this setting was removed in version 0.2; version 0.1 has it",
        ),
        (
            "model.logit_cap",
            "30",
            "model.logit_cap is 30, but this setting was removed in version 0.2; version 0.1 has it",
        ),
        ("train.devices", "3", "train.devices x train.nodes is 3, which divides neither"),
        ("seed", "-1", "seed is -1; it is a whole number from 0 to 9223372036854775807"),
        ("name", "../elsewhere", "name is '../elsewhere'; the run's folder gets this name"),
    ],
)
def test_a_wrong_value_is_reported_in_one_sentence(setting: str, text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        load_recipe("mini-2m", {setting: text})
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("model.residual_scalars", False),
        ("model.logit_cap", None),
        ("train.ramp_steps", 0),
        ("train.short_length", None),
    ],
)
def test_a_removed_setting_that_was_turned_off_still_loads(setting: str, value: Any) -> None:
    assert recipe_from_dict(nested({setting: value})) == recipe_from_dict(nested({}))


def test_the_switch_for_tensorboard_of_an_earlier_version_is_read_as_a_logger(caplog: pytest.LogCaptureFixture) -> None:
    assert recipe_from_dict(nested({"train.tensorboard": False})).train.loggers == ()
    assert not caplog.messages
    assert recipe_from_dict(nested({"train.tensorboard": True}), "mine.yaml").train.loggers == ("tensorboard",)
    assert caplog.messages == ["mine.yaml: train.tensorboard is now train.loggers: [tensorboard]"]
    assert load_recipe("mini-2m", {"train.loggers": "wandb"}).train.loggers == ("wandb",)
    with pytest.raises(UserError, match="it is one of tensorboard, wandb, trackio, mlflow"):
        load_recipe("mini-2m", {"train.loggers": "[wandb, comet]"})


def test_suggested_numbers_of_heads_fit() -> None:
    with pytest.raises(UserError) as caught:
        load_recipe("mini-2m", {"model.n_heads": "7", "model.d_model": "96"})
    suggested = [int(n) for n in re.findall(r"\d+", str(caught.value).split("; use ")[1])]
    assert len(suggested) == 4
    for n in suggested:
        assert list(ModelConfig(n_heads=n, d_model=96).problems()) == []


WRONG_VALUES = ["many words", 2.5, True, None, -1, 0, 10**9, [["x"]], {"a": 1}, [], "", float("nan"), "12 apples"]
UNKNOWN = ["e", "n", "colour", "model.layer", "train.n", "data.", "modle.n_layers", "tokenizer.kinds", "schedule.zz"]


def nested(pairs: dict[str, Any]) -> dict[str, Any]:
    """Settings by their dotted names as nested values, with a budget."""
    values: dict[str, Any] = {"train": {"max_steps": 10}}
    for name, value in pairs.items():
        section, _, last = name.rpartition(".")
        (values.setdefault(section, {}) if section else values)[last] = value
    return values


def problems_of(load: Callable[[], Any]) -> list[str]:
    """The problems that the error lists; none if there is no error."""
    try:
        load()
    except UserError as error:
        lines = str(error).splitlines()
        return [line.removeprefix("  - ") for line in lines[1:]] if len(lines) > 1 else lines
    return []


@cache
def alone(name: str, number: int) -> list[str]:
    """The problems if only this setting has that wrong value."""
    return problems_of(lambda: recipe_from_dict(nested({name: WRONG_VALUES[number]})))


WRONG_PAIRS = st.dictionaries(
    st.sampled_from([*setting_names(), *UNKNOWN]), st.integers(0, len(WRONG_VALUES) - 1), max_size=7
)


def check_problems_together(pairs: dict[str, int]) -> None:
    together = problems_of(lambda: recipe_from_dict(nested({name: WRONG_VALUES[n] for name, n in pairs.items()})))
    assert len(together) == len(set(together))
    # a misspelled section (modle) may stand for the one that it resembles, which is then not judged
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
def test_what_is_reported_alone_is_reported_together(pairs: dict[str, int]) -> None:
    """Except problems that mention a setting that is itself wrong or not understood."""
    check_problems_together(pairs)


@pytest.mark.slow
@settings(max_examples=1000)
@given(pairs=WRONG_PAIRS)
def test_all_of_many_problems_are_named(pairs: dict[str, int]) -> None:
    check_problems_together(pairs)


def test_a_name_of_one_letter_hides_nothing() -> None:
    found = problems_of(lambda: recipe_from_dict(nested({"e": 1, "model.n_heads": 5, "data.limit": 0})))
    assert [problem.split()[0] for problem in found] == ["no", "data.limit", "model.n_heads"]


def test_every_setting_has_a_docstring() -> None:
    """It is the setting's help text."""
    sections = {"": Recipe, **{name: type(getattr(Recipe(), name)) for name in SECTIONS}}
    found = set()
    for section, cls in sections.items():
        body = ast.parse(inspect.getsource(cls)).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, after in pairwise(body.body):
            if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr):
                assert isinstance(ast.literal_eval(after.value), str)
                found.add(f"{section}.{ast.unparse(field.target)}".lstrip("."))
    assert found == set(setting_names())
