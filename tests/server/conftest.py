"""An untrained run: two checkpoints of a small model, a log, samples; and schedulers over it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from talewright.config import ModelConfig, load_recipe
from talewright.data import bundled
from talewright.export.importers import write_run
from talewright.run.checkpoint import TrainState, save_checkpoint
from talewright.run.retention import point
from talewright.server.registry import ModelRegistry
from talewright.server.scheduler import GenerationScheduler
from talewright.tokenizer.bpe import train_bpe
from tests.model.shapes import lively_model

SMALL = ModelConfig(n_layers=2, n_heads=2, d_model=16, d_ff=32, vocab_size=300, context_length=32)


def write_log(run: Path, steps: int) -> None:
    """A log as training writes it, and a sample."""
    lines = []
    for step in range(1, steps + 1):
        values = {"step": step, "tokens": 64 * step, "seconds": 0.1 * step, "loss": 5 / step, "learning_rate": 1e-3}
        lines.append({"event": "step", **values, "gradient_norm": 1.0, "tokens_per_second": 640.0})
    lines.append({"event": "evaluation", "step": steps, "loss": 2.5, "perplexity": 12.2, "bits_per_byte": 1.1})
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    sample = {"step": steps, "prompt": "A cat", "text": f"A cat of step {steps}."}
    (run / "samples.jsonl").write_text(json.dumps(sample) + "\n")


@pytest.fixture(scope="session")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that every test gets a copy of."""
    run = tmp_path_factory.mktemp("runs") / "tales"
    recipe = dataclasses.replace(load_recipe("quickstart"), model=SMALL)
    tokenizer = train_bpe(bundled.stories(40), 300)
    write_run(run, recipe, lively_model(SMALL, 0), tokenizer, 10)
    other = lively_model(SMALL, 1)
    save_checkpoint(run, other, torch.optim.AdamW(other.parameters()), TrainState(step=20, best_step=10))
    point(run, "last", 20)
    write_log(run, 20)
    return run


@pytest.fixture
def run(pattern: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pattern, tmp_path / "tales"))


@pytest.fixture
def registry(run: Path) -> ModelRegistry:
    return ModelRegistry([run])


@pytest.fixture
def make_scheduler(registry: ModelRegistry) -> Iterator[Callable[..., GenerationScheduler]]:
    """Starts schedulers over the run, and closes them."""
    started: list[GenerationScheduler] = []

    def make(**options: int) -> GenerationScheduler:
        started.append(GenerationScheduler(registry, **options))
        return started[-1]

    yield make
    for scheduler in started:
        scheduler.close()
