"""How fast a recipe trains here: the cache first, then a short measurement; and what a run adds to the cache."""

from __future__ import annotations

import json

import pytest
import torch

from talewright.config import load_recipe
from talewright.machine.speeds import Speed, read_speed, record_speed
from talewright.model.cost import training_flops
from talewright.train import speed as module
from talewright.train.compilation import CACHED_SECONDS, CPU_SECONDS, compiled_gain
from talewright.train.setup_name import setup_name
from talewright.train.speed import LEAST_GAIN, record_run, training_speed

SMALL = {
    "model.n_layers": "1",
    "model.n_heads": "1",
    "model.d_model": "16",
    "model.d_ff": "16",
    "model.vocab_size": "300",
    "model.context_length": "16",
    "train.accelerator": "cpu",
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def no_measuring(monkeypatch):
    def measured(*arguments):
        raise AssertionError("measured")

    monkeypatch.setattr(module, "_measured", measured)


def recipe(**overrides):
    return load_recipe("story-300k", {**SMALL, "train.compile": "false", **overrides})


def test_a_speed_is_measured_once(monkeypatch):
    found = training_speed(recipe())
    assert found.tokens_per_second > 100
    monkeypatch.setattr(module, "_measured", None)  # calling it would raise
    assert training_speed(recipe()) == found


@pytest.mark.parametrize("name", ["model.d_ff", "model.vocab_size"])
def test_another_shape_is_another_setup(name):
    assert setup_name(recipe(), False) != setup_name(recipe(**{name: "512"}), False)
    assert setup_name(recipe(), False) != setup_name(recipe(), True)
    assert setup_name(recipe(), False) == setup_name(recipe(**{"train.learning_rate": "1", "seed": "8"}), False)


def test_compiling_is_assumed_until_a_run_was_timed(no_measuring, monkeypatch):
    monkeypatch.setattr("talewright.train.speed.should_compile", lambda recipe, device, budget: True)
    compiled = recipe(**{"train.compile": "true"})
    record_speed(setup_name(compiled, False), 4, Speed(100.0))
    gain = compiled_gain(compiled, torch.device("cpu"))
    assert gain > 1
    assert training_speed(compiled) == Speed(100 * gain, CPU_SECONDS)
    record_speed(setup_name(compiled, True), 4, Speed(170.0, 20.0))
    assert training_speed(compiled) == Speed(170.0, CACHED_SECONDS)  # its code is kept


def test_a_model_that_is_far_too_large_is_not_measured(no_measuring):
    large = load_recipe("story-125m", {"train.compile": "false", "train.accelerator": "cpu"})
    slow, fast = (training_speed(large, flops) for flops in (1e9, 2e9))
    assert fast.tokens_per_second == pytest.approx(2 * slow.tokens_per_second)


@pytest.mark.parametrize("compiled", [False, True])
def test_what_was_measured_beside_other_programs_is_raised_to_a_smaller_models_rate(monkeypatch, compiled):
    monkeypatch.setattr("talewright.train.speed.should_compile", lambda recipe, device, budget: compiled)
    monkeypatch.setattr(module, "_measured", lambda recipe, flops: Speed(100.0))
    flops = training_flops(recipe().model, recipe().sequence_length)
    gain = compiled_gain(recipe(), torch.device("cpu")) if compiled else 1
    assert training_speed(recipe(), 1000 * flops).tokens_per_second == pytest.approx(1000 * LEAST_GAIN)
    assert training_speed(recipe(), 50 * flops).tokens_per_second == pytest.approx(100 * gain)


def write_log(path, seconds=0.5, compiled=False):
    path.mkdir()
    events = [{"event": "run", "compiled": compiled}]
    rates = [10.0, *[64 / seconds] * 30]
    events += [{"event": "step", "tokens": 64 * (i + 1), "tokens_per_second": rate} for i, rate in enumerate(rates)]
    (path / "log.jsonl").write_text("\n".join(map(json.dumps, events)))


@pytest.mark.parametrize("compiled", [False, True])
def test_a_run_adds_the_median_of_its_steps_and_the_time_of_compiling(tmp_path, compiled):
    write_log(tmp_path / "run", compiled=compiled)
    record_run(tmp_path / "run", recipe(), share=1.0)
    found = read_speed(setup_name(recipe(), compiled), 4)
    assert found == Speed(128.0, 6.4 if compiled else 0.0)
    assert read_speed(setup_name(recipe(), not compiled), 4) is None


def test_a_run_beside_other_work_does_not_replace_what_was_known(tmp_path):
    record_speed(setup_name(recipe(), False), 4, Speed(100.0))
    write_log(tmp_path / "run")
    record_run(tmp_path / "run", recipe(), share=0.3)
    assert read_speed(setup_name(recipe(), False), 4) == Speed(128.0)  # it was faster all the same
    slow = tmp_path / "slow"
    write_log(slow, seconds=5.0)
    record_run(slow, recipe(), share=0.3)
    assert read_speed(setup_name(recipe(), False), 4) == Speed(128.0)
