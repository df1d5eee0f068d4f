"""The configuration of a recipe: strict, whole, and readable when it is wrong."""

from __future__ import annotations

import difflib
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from talewright.config import (
    DataConfig,
    ModelConfig,
    OptimizerConfig,
    Recipe,
    ScheduleConfig,
    TokenizerConfig,
    TrainConfig,
    load_recipe,
    recipe_from_dict,
    recipe_names,
    recipe_to_dict,
    recipe_to_yaml,
    setting_names,
)
from talewright.errors import UserError
from tests.model.shapes import model_configs

COUNTS = st.integers(1, 10**9)
MAYBE = st.none() | COUNTS
TEXTS = st.text(max_size=30)
POSITIVE = st.floats(1e-12, 1e12)
SHARES = st.floats(0, 1)
SPLITS = st.lists(st.floats(0.1, 100), min_size=2, max_size=3).map(tuple)


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    """Any recipe without a problem."""
    model = draw(model_configs(vocab_size=draw(st.integers(257, 60000)), dropout=draw(st.floats(0, 0.99))))
    length = draw(st.none() | st.integers(1, model.context_length))
    layout: Any = draw(st.sampled_from(["packed", "aligned", "rows"]))
    budgets = {"max_steps": COUNTS, "max_epochs": POSITIVE, "max_tokens": COUNTS, "max_minutes": POSITIVE}
    chosen = draw(st.lists(st.sampled_from(sorted(budgets)), min_size=1, unique=True))
    devices, nodes = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    return Recipe(
        name=draw(TEXTS.filter(lambda name: name.strip() and name.isprintable() and not set(name) & set("/\\"))),
        about=draw(TEXTS),
        seed=draw(st.integers(0, 2**63 - 1)),
        tokenizer=draw(st.builds(TokenizerConfig, kind=st.sampled_from(["bpe", "gpt2", "gpt2-top"]), source=TEXTS)),
        data=DataConfig(
            source=draw(TEXTS),
            valid=draw(st.none() | TEXTS),
            splits=draw(st.none() | SPLITS),
            limit=draw(MAYBE),
            text_key=draw(TEXTS),
            separator=draw(TEXTS.filter(str.strip)),
            min_chars=draw(st.integers(0, 10**6)),
            layout=layout,
            sequence_length=length,
            stride=draw(st.none() | st.integers(1, length or model.context_length)) if layout == "packed" else None,
        ),
        model=model,
        optimizer=OptimizerConfig(
            kind=draw(st.sampled_from(["adamw", "muon"])),
            cautious_decay=draw(st.booleans()),
            betas=(draw(st.floats(0, 0.999)), draw(st.floats(0, 0.999))),
            weight_decay=draw(st.floats(0, 10)),
            clip=draw(st.none() | POSITIVE),
        ),
        schedule=ScheduleConfig(
            kind=draw(st.sampled_from(["constant", "cosine", "linear", "wsd"])),
            warmup_steps=draw(st.integers(0, 10**6)),
            final_fraction=draw(SHARES),
        ),
        train=TrainConfig(
            learning_rate=draw(POSITIVE),
            accumulation=devices * nodes * draw(st.integers(1, 8)),
            devices=devices,
            nodes=nodes,
            patience=draw(MAYBE),
            prompts=tuple(draw(st.lists(TEXTS, max_size=3))),
            compile=draw(st.sampled_from(["auto", True, False])),
            tensorboard=draw(st.booleans()),
            **{budget: draw(budgets[budget]) for budget in chosen},
        ),
    )


def load_text(folder: Path, text: str, overrides: dict[str, str] | None = None) -> Recipe:
    file = folder / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    return load_recipe(file, overrides)


def complaint(folder: Path, text: str, overrides: dict[str, str] | None = None) -> str:
    with pytest.raises(UserError) as caught:
        load_text(folder, text, overrides)
    return str(caught.value)


# --- round trips -------------------------------------------------------------------------------------------------


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
def test_every_setting_stands_in_the_yaml(recipe: Recipe) -> None:
    found: set[str] = set()
    for key, value in yaml.safe_load(recipe_to_yaml(recipe)).items():
        found |= {f"{key}.{inner}" for inner in value} if isinstance(value, dict) else {key}
    assert found == set(setting_names())


def as_word(value: Any) -> str:
    """A value as one would write it on the command line, texts in quotes."""
    style = '"' if isinstance(value, str) else None
    return yaml.safe_dump(value, default_flow_style=True, default_style=style, width=10**6).removesuffix("\n...\n")


@settings(max_examples=50)
@given(recipe=recipes(), dashes=st.booleans())
def test_every_value_can_be_set_by_an_override(recipe: Recipe, dashes: bool) -> None:
    words = {}
    for key, value in recipe_to_dict(recipe).items():
        for inner, v in value.items() if isinstance(value, dict) else [("", value)]:
            name = f"{key}.{inner}".rstrip(".")
            words[name.replace("_", "-") if dashes else name] = as_word(v)
    assert load_recipe("mini-2m", words) == recipe


# --- overrides ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "word", "value"),
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
def test_an_override_reads_as_one_would_expect(key: str, word: str, value: Any) -> None:
    section, _, name = key.replace("-", "_").rpartition(".")
    recipe = load_recipe("mini-2m", {key: word})
    assert getattr(getattr(recipe, section) if section else recipe, name) == value


def test_a_budget_given_replaces_the_recipes_own() -> None:
    train = load_recipe("mini-2m", {"train.max-minutes": "10"}).train
    assert (train.max_minutes, train.max_steps) == (10.0, None)
    train = load_recipe("mini-2m", {"train.micro_batch": "2"}).train
    assert train.max_steps == 10_000


def test_an_override_leaves_all_else_as_it_was() -> None:
    before, after = (
        recipe_to_dict(load_recipe("neo-41m")),
        recipe_to_dict(load_recipe("neo-41m", {"model.tied": "true"})),
    )
    assert before["model"].pop("tied") is False
    assert after["model"].pop("tied") is True
    assert before == after


# --- complaints --------------------------------------------------------------------------------------------------


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


def test_heads_that_are_suggested_would_do() -> None:
    with pytest.raises(UserError) as caught:
        load_recipe("mini-2m", {"model.n_heads": "7", "model.d_model": "96"})
    for n in str(caught.value).split("; ")[1].removesuffix(" would").split(", "):
        assert list(ModelConfig(n_heads=int(n), d_model=96).problems()) == []


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    told = complaint(tmp_path, "train: {max_steps: 1}\nmodel: {n_layers: 2}\nmodel: {n_heads: 2}\n")
    assert "model stands there twice" in told
    assert "line 3" in told


def test_short_windows_divide_the_whole_ones() -> None:
    short = {"train.short_steps": "9", "train.short_length": "100"}
    with pytest.raises(UserError, match="100, which does not divide the windows' 256 tokens; 128 would"):
        load_recipe("mini-2m", short)
    recipe = load_recipe("mini-2m", {**short, "data.sequence_length": "200"})
    assert [recipe.length_at(step) for step in (0, 8, 9, 10)] == [100, 100, 200, 200]
    assert load_recipe("mini-2m", {"train.short_length": "100"}).length_at(0) == 256


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("mini2m", "no recipe mini2m; did you mean mini-2m?"),
        ("zzzz", "no recipe zzzz; `talewright recipes` lists them; a file's name ends in .yaml."),
        ("absent.yaml", "no recipe file absent.yaml here"),
        ("nul\0.yaml", "cannot be read as a recipe"),
        ("a" * 5000, "cannot be read as a recipe"),
        ("folder.yaml", "cannot be read as a recipe"),
    ],
)
def test_a_recipe_that_is_not_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(UserError) as caught:
        load_recipe(name)
    assert told in str(caught.value)


def test_a_file_called_like_a_packaged_recipe_does_not_hide_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mini-2m").write_text("train: {max_steps: 1}")
    assert load_recipe("mini-2m").train.max_steps == 10_000
    assert load_recipe("./mini-2m").train.max_steps == 1


# --- every problem is named --------------------------------------------------------------------------------------

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


# --- hostile YAML ------------------------------------------------------------------------------------------------

# fmt: off
ODD_WORDS = [
    "0x_", "0b_", "2001-99-99", "0001-01-01T00:00:00+23:59", "1e999", ".inf", "-.inf", ".nan", "~", "null", "yes",
    "1_000", "190:20:30", "!!int", "!!bool", "!!timestamp", "!!binary", "!!set", "!!omap", "!!float",
    "!!python/name:os.system", "&a", "*a", "<<:", "?", "|", ">", "'", '"', "#", "%", "@", "`", "-", ":", ",", "[", "]",
    "{", "}", "---", "...", "\t", "\\", "\0", "\ufeff", "\ud800",
]
# fmt: on
FRAGMENTS = st.sampled_from([*ODD_WORDS, " ", "\n", "\n  ", ": ", "- "]) | st.sampled_from(list(setting_names())).map(
    lambda name: name.rpartition(".")[2] + ": "
)
SECTIONS = ["tokenizer", "data", "model", "optimizer", "schedule", "train"]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.binary(max_size=3) | st.dates()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=2), max_leaves=5
)
KEYS = st.sampled_from([name.rpartition(".")[2] for name in setting_names()]) | SCALARS
MAPPINGS = st.dictionaries(
    st.sampled_from(SECTIONS) | KEYS, st.dictionaries(KEYS, VALUES, max_size=4) | VALUES, max_size=4
)


NAMES = [*setting_names()]
WORDS = TEXTS | st.lists(FRAGMENTS, max_size=5).map("".join) | VALUES.map(str)

LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in pairwise(["a", "b", "c", "d", "e", "f", "g", "h", "seed"])
)
"""A list of lists of lists ... with 9 to the power of 8 pairs at its ends."""


def only_a_user_error(load: Any) -> None:
    """Load, and see that what comes is a recipe without problems or a UserError of readable length."""
    try:
        recipe = load()
    except UserError as error:
        told = str(error)
    else:
        told = " "
        assert list(recipe.problems()) == []
    assert 0 < len(told) < 20_000


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


# --- lightness ---------------------------------------------------------------------------------------------------


def test_reading_a_recipe_and_counting_its_cost_loads_nothing_heavy() -> None:
    code = (
        "import sys, talewright; from talewright.model.cost import count_parameters;"
        "count_parameters(talewright.load_recipe('mini-2m').model);"
        "print(sorted({'torch', 'numpy', 'datasets', 'pyarrow', 'matplotlib', 'transformers'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
