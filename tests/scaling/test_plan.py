"""Plans: which size to train in a given time."""

from __future__ import annotations

import json

import pytest
import torch

from talewright.cli import main
from talewright.config import load_recipe
from talewright.model.cost import count_parameters, training_flops
from talewright.scaling.law import Law, best_batch, best_learning_rate
from talewright.scaling.plan import EMBEDDING, SIZES, Speed, plan_size, plan_sizes
from talewright.train.distributed import should_compile
from talewright.train.schedule import Budget

TRUE = Law(0.3, 40.0, 0.35, 300.0, 0.4)
SPEEDS = {1_090_624: 40_000.0, 5_065_792: 10_000.0, 15_146_368: 3_500.0, 40_384_512: 1_200.0, 125_856_512: 300.0}


def speed(recipe) -> Speed:
    return Speed(SPEEDS[count_parameters(recipe.model).total])


def test_more_time_gives_larger_models_and_lower_losses():
    best = [
        min(plan_sizes(minutes, speed=speed, law=TRUE), key=lambda each: each.bits_per_byte)
        for minutes in (1, 20, 600, 1e5)
    ]
    assert [SIZES.index(each.size) for each in best] == sorted(SIZES.index(each.size) for each in best)
    assert best[0].size != best[-1].size
    assert [each.bits_per_byte for each in best] == sorted((each.bits_per_byte for each in best), reverse=True)


def test_speed_is_measured_as_the_run_itself_would_train(monkeypatch):
    compiled = {}

    def bench(recipe, seconds):
        compiles = should_compile(recipe, torch.device("cpu"), Budget.of(recipe.train, 0, recipe.sequence_length))
        compiled[recipe.train.max_minutes] = compiles
        return {"tokens_per_second": 1000.0, "compiled": compiles, "warm_up_seconds": 60.0}

    monkeypatch.setattr("talewright.train.benchmark.bench_training", bench)
    monkeypatch.setattr("talewright.train.distributed.compiler", lambda: "g++")
    short, long = (plan_sizes(minutes, ("1m",), law=TRUE)[0] for minutes in (2, 10))
    assert compiled == {2: False, 10: True}
    assert (short.tokens, long.tokens) == (120_000, 540_000)


def test_a_plan_fits_its_time_and_its_command_is_a_recipe():
    found = plan_size("5m", 1230, Speed(10_000, 30), TRUE)
    assert found.tokens == 12_000_000
    config = load_recipe("story-5m").model
    assert found.flops == pytest.approx(12e6 * training_flops(config, 512))
    assert found.bits_per_byte == pytest.approx(0.3 + 40 / 5_065_792**0.35 + 300 / (12e6 * 3.75) ** 0.4)
    arguments = found.command.split()
    values = dict(zip(arguments[2::2], arguments[3::2], strict=True))
    overrides = {name[2:]: value for name, value in values.items() if "." in name}
    recipe = load_recipe(values["--recipe"], overrides)
    assert recipe.optimizer.matrix_learning_rate == pytest.approx(best_learning_rate(found.flops), rel=0.05)
    assert recipe.train.learning_rate == pytest.approx(EMBEDDING * best_learning_rate(found.flops), rel=0.1)
    batch = recipe.train.micro_batch * recipe.train.accumulation * 512
    assert 0.6 < batch / best_batch(found.flops) < 1.6
    assert found.steps == 12_000_000 // batch
    assert values["--max-minutes"] == "20.5"


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


def test_the_command_prints_the_plans_and_how_to_train_the_best(capsys, monkeypatch):
    monkeypatch.setattr("talewright.scaling.plan.measure_speed", speed)
    main(["plan", "--minutes", "20", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [each["size"] for each in found] == list(SIZES[: len(found)])
    main(["plan", "--minutes", "20"])
    text = capsys.readouterr().out
    assert text.count("<- this one") == 1
    assert min(found, key=lambda each: each["bits_per_byte"])["command"] == text.splitlines()[-1]
    for wrong in (["--minutes", "0"], ["--minutes", "5", "--size", "7m"]):
        with pytest.raises(SystemExit) as left:
            main(["plan", *wrong])
        assert left.value.code == 2
