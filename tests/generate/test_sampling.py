"""The default settings: every command, page and file takes them from `Sampling`. The studio's: tests/studio."""

from __future__ import annotations

import inspect
import json
from types import SimpleNamespace
from typing import Any

import pytest

from talewright import api
from talewright.cli.generate import generate
from talewright.config import ModelConfig
from talewright.evaluate.context import GenerationOptions
from talewright.evaluate.judge import judge
from talewright.export import card
from talewright.export.adapters import NativeAdapter
from talewright.export.pretrained import write_config
from talewright.export.web import sampling_settings
from talewright.generate import engine as engine_module
from talewright.generate.batching import Request
from talewright.generate.engine import Engine
from talewright.generate.sampling import Sampling
from tests.export.sources import source_of
from tests.generate.cases import byte_tokenizer

DEFAULT = Sampling()
SOURCE = source_of(ModelConfig(n_layers=1, n_heads=1, d_model=8, d_ff=8, vocab_size=257), byte_tokenizer())


@pytest.fixture
def used(monkeypatch) -> list[Sampling]:
    """The settings of every generation."""
    settings = []

    def spied(**values: Any) -> Request:
        settings.append(values["sampling"])
        return Request(**values)

    monkeypatch.setattr(engine_module, "Request", spied)
    return settings


def test_the_command_has_the_defaults():
    parameters = inspect.signature(generate).parameters
    assert {name: parameters[name].default for name in vars(DEFAULT)} == vars(DEFAULT)


def test_python_the_evaluation_the_judge_and_the_card_use_the_defaults(used, tmp_path):
    engine = Engine(SOURCE.model, SOURCE.tokenizer, notify=lambda message: None)
    run = SimpleNamespace(tokenizer=SOURCE.tokenizer, load_model=lambda which, device: (SOURCE.model, tmp_path))
    engine.generate(["a"])
    list(engine.stream("a"))
    judge._exercises(run, judge.JudgeOptions(prompts=("a",)))  # pyright: ignore[reportArgumentType]
    card._samples(SOURCE)
    assert len(used) >= 4
    assert all(sampling == DEFAULT for sampling in used)
    assert GenerationOptions().sampling == DEFAULT


def test_samples_of_training_are_only_shorter(used):
    api.CALLBACKS.generate(SOURCE.model, SOURCE.tokenizer, "a", 7)
    assert used == [Sampling(max_new_tokens=200, seed=7)]


def test_exported_files_hold_the_defaults(tmp_path):
    write_config(tmp_path, NativeAdapter(), SOURCE.recipe.model, SOURCE.tokenizer, "f32")
    values = json.loads((tmp_path / "generation_config.json").read_text())
    assert (values["temperature"], values["top_p"]) == (DEFAULT.temperature, DEFAULT.top_p)
    assert values["top_k"] == (DEFAULT.top_k or 0)
    assert values.get("min_p") == DEFAULT.min_p
    assert values.get("repetition_penalty", 1) == DEFAULT.repetition_penalty
    page = sampling_settings()
    assert (page["temperature"], page["top-p"], page["penalty"]) == (
        DEFAULT.temperature,
        DEFAULT.top_p,
        DEFAULT.repetition_penalty,
    )
    assert (page["top-k"], page["new-tokens"]) == (DEFAULT.top_k or 0, DEFAULT.max_new_tokens)
