"""Plans: which size to train in a given time on a given text."""

from __future__ import annotations

import json
import math
import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talewright.cli import main
from talewright.config import load_recipe
from talewright.errors import UserError
from talewright.machine.speeds import Speed
from talewright.model.cost import count_parameters, training_flops
from talewright.scaling.law import best_batch, best_learning_rate, effective_size, fitted_law
from talewright.scaling.plan import (
    EMBEDDING,
    EPOCHS,
    LADDERS,
    MOST_EPOCHS,
    Goal,
    best_plan,
    choose,
    dial_command,
    explicit_command,
    plan_size,
    plan_sizes,
    summary,
)
from talewright.scaling.text_size import TextSize

SIZES = LADDERS["story"]
MINUTES = st.floats(0.2, 1e5)
TEXT_BYTES = st.floats(1e4, 1e10)


def speed(recipe, flops_per_second=None) -> Speed:
    """A machine of 1e11 FLOP/s."""
    return Speed(1e11 / training_flops(recipe.model, recipe.sequence_length))


def goal(minutes=20.0, size=math.inf, is_tinystories=True, **overrides) -> Goal:
    return Goal(60 * minutes, TextSize(size, is_tinystories), {"data.source": "stories.txt", **overrides})


def best(*arguments, **options):
    return best_plan(plan_sizes(goal(*arguments, **options), speed=speed))


@settings(max_examples=15)
@given(minutes=st.tuples(MINUTES, MINUTES), size=TEXT_BYTES)
def test_more_time_never_gives_a_smaller_model_or_a_higher_loss(minutes, size):
    less, more = (best(each, size) for each in sorted(minutes))
    assert SIZES.index(less.size) <= SIZES.index(more.size)
    assert less.bits_per_byte >= more.bits_per_byte - 1e-9


@settings(max_examples=15)
@given(minutes=MINUTES, size=TEXT_BYTES)
def test_a_model_has_at_most_two_parameters_for_each_byte_of_text(minutes, size):
    found = best(minutes, size)
    assert found.size == "300k" or found.parameters <= 2 * size


@settings(max_examples=15)
@given(minutes=MINUTES, sizes=st.tuples(TEXT_BYTES, TEXT_BYTES))
def test_more_text_never_gives_a_size_a_smaller_vocabulary(minutes, sizes):
    less, more = (plan_size("1m", goal(minutes, each), Speed(1e4)) for each in sorted(sizes))
    assert less.vocab_size <= more.vocab_size


@settings(max_examples=15)
@given(minutes=MINUTES, size=TEXT_BYTES)
def test_a_plan_takes_no_more_time_than_there_is_and_repeats_the_text_only_so_often(minutes, size):
    found = best(minutes, size)
    assert found.seconds <= 60 * minutes * 1.001 + 1
    most = min(MOST_EPOCHS, EPOCHS * max(1.0, size / found.parameters) ** 0.5)
    assert found.epochs <= 1.001 * most
    recipe = found.recipe({"data.source": "stories.txt"})
    assert recipe.train.max_epochs == pytest.approx(most, rel=0.05)
    assert recipe.train.max_minutes == pytest.approx(minutes, rel=1e-5)


def test_a_tiny_text_gets_a_tiny_model_and_few_of_the_minutes():
    tiny, large = best(20.0, 42e3), best(600.0)
    assert (tiny.size, tiny.vocab_size) == ("300k", 1024)
    assert (large.size, large.vocab_size) == ("15m", 4096)
    assert tiny.seconds < 120
    assert "of the 20 min, enough for this text" in summary(tiny, goal(20.0, 42e3))
    assert "in 600 min; expected bits/byte" in summary(large, goal(600.0))


def test_repeated_text_teaches_less_than_new_text_and_ever_less():
    assert effective_size(100, 0.3) == 100
    gains = [effective_size(100, epochs + 1) - effective_size(100, epochs) for epochs in range(1, 60)]
    assert 95 < gains[0] < 100
    assert gains == sorted(gains, reverse=True)
    assert effective_size(100, 1e9) == pytest.approx(1640)


def test_a_plan_fits_its_time_and_its_explicit_command_is_its_recipe():
    target = goal(20.5, 1e9, True, **{"data.valid": json.dumps("my valid.txt"), "data.limit": "null"})
    found = plan_size("5m", target, Speed(10_000, 30))
    assert found.tokens == 12_000_000
    config = load_recipe("story-5m").model
    assert found.flops == pytest.approx(found.tokens * training_flops(config, 512))
    assert found.bits_per_byte == pytest.approx(fitted_law()(5_066_112, found.tokens * 3.97))
    words = shlex.split(explicit_command(found, target))
    values = dict(zip(words[2::2], words[3::2], strict=True))
    assert (values["--recipe"], values["--max-minutes"], values["--valid"]) == ("story-5m", "20.5", "my valid.txt")
    assert words[:2] == ["talewright", "train"]
    recipe = load_recipe("story-5m", {name[2:]: value for name, value in values.items() if "." in name})
    assert recipe.optimizer.matrix_learning_rate == pytest.approx(best_learning_rate(found.flops), rel=0.05)
    assert recipe.train.learning_rate == pytest.approx(EMBEDDING * best_learning_rate(found.flops), rel=0.1)
    batch = recipe.train.micro_batch * recipe.train.accumulation * 512
    assert 0.6 < batch / best_batch(found.flops) < 1.6
    assert found.steps == found.tokens // batch
    assert dial_command(target) == "talewright train --minutes 20.5 --data stories.txt --valid 'my valid.txt'"


@settings(max_examples=15)
@given(minutes=MINUTES, rate=st.floats(100, 1e6))
def test_twenty_evaluations_take_at_most_a_twentieth_of_the_time(minutes, rate):
    found = plan_size("1m", goal(minutes), Speed(rate))
    stories = int(found.settings["train.evaluate_stories"])
    assert 20 <= stories <= 500
    tokens = 20 * stories * 850 / 3.97
    assert stories == 20 or tokens / (3 * rate) <= 0.03 * 60 * minutes * 1.01


@pytest.mark.parametrize("size", SIZES)
def test_the_ladders_recipes_follow_the_rules(size):
    recipe = load_recipe(f"story-{size}")
    tokens = recipe.train.max_tokens
    assert tokens is not None
    flops = tokens * training_flops(recipe.model, recipe.sequence_length)
    assert recipe.optimizer.matrix_learning_rate == pytest.approx(best_learning_rate(flops), rel=0.06)
    assert recipe.train.learning_rate == pytest.approx(EMBEDDING * best_learning_rate(flops), rel=0.06)
    batch = recipe.train.micro_batch * recipe.train.accumulation * recipe.sequence_length
    assert 0.8 < batch / best_batch(flops) < 1.25


@pytest.fixture
def stories(tmp_path, monkeypatch):
    """A text of 60 kB, and a machine whose speed is known."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("talewright.train.speed.training_speed", speed)
    (tmp_path / "stories.txt").write_text("Call me Ishmael. <|endoftext|>\n" * 2000)
    return tmp_path


def test_the_other_ladder_has_recipes_of_its_own(stories):
    plan, target = choose(5, {"data.source": "stories.txt"}, "storyx")
    assert plan.recipe_name == f"storyx-{plan.size}"
    assert plan.recipe(target.overrides).model.value_residual
    assert dial_command(target) == "talewright train --minutes 5 --ladder storyx --data stories.txt"
    with pytest.raises(UserError, match="no ladder x; there are story and storyx"):
        choose(5, {"data.source": "stories.txt"}, "x")
    with pytest.raises(UserError, match="no size 40m; there are 300k, 1m, 3m, 5m, 15m"):
        plan_size("40m", target, Speed(1e4))


def test_the_users_settings_win(stories):
    overrides = {"data.source": "stories.txt", "model.vocab_size": "300", "train.patience": "9", "model.n_layers": "1"}
    plan, target = choose(5, overrides)
    recipe = plan.recipe(target.overrides)
    assert (recipe.model.vocab_size, recipe.train.patience, recipe.model.n_layers) == (300, 9, 1)
    assert plan.parameters == count_parameters(recipe.model).total


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"train.max-minutes": "3"}, "not both"),
        ({"train.devices": "2"}, "chooses for one process"),
        ({"data.source": "absent.txt"}, "no such file or folder: absent.txt"),
    ],
)
def test_what_a_plan_cannot_hold_is_refused(stories, overrides, message):
    with pytest.raises(UserError, match=message):
        choose(5, overrides)


def test_the_command_prints_a_narrow_table_why_and_how_to_train_the_best(stories, capsys):
    words = ["plan", "--minutes", "20", "--data", "stories.txt"]
    main([*words, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [each["size"] for each in found] == list(SIZES[: len(found)])
    assert {each["bits_per_byte"] for each in found} == {None}  # it is not TinyStories
    main(words)
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("> ") for line in lines) == 1
    assert "talewright train --minutes 20 --data stories.txt" in lines
    assert [each["command"] for each in found if each["best"]] == [lines[-1]]
    assert max(map(len, lines[:-4])) <= 80
    table = lines[2 : lines.index("", 3)]
    assert len(table) == 1 + len(found)
    assert max(map(len, table)) <= 80
    for wrong in (["--minutes", "0"], ["--minutes", "5", "--size", "7m"]):
        with pytest.raises(SystemExit) as left:
            main(["plan", *wrong])
        assert left.value.code == 2
