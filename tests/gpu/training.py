"""What the tests of training share."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from talewright.config import Recipe
from talewright.data import Batches, open_corpus
from talewright.train.benchmark import RandomBatches
from talewright.train.distributed import launch
from talewright.train.results import StepResult
from talewright.train.trainer import Trainer, training_batches


class SameBatch(RandomBatches):
    """The same random tokens in every batch."""

    def samples(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        return super().samples(0, count)


def make_trainer(recipe: Recipe, batches: Any = None, checkpoint: Path | None = None) -> Trainer:
    """A trainer on the recipe's stories, or on other batches."""
    batches = batches or training_batches(recipe, open_corpus(recipe).split("train"))
    return Trainer(recipe, launch(recipe), cast(Batches, batches), checkpoint=checkpoint)


def make_fp16_trainer(recipe: Recipe, checkpoint: Path | None = None) -> tuple[Trainer, torch.amp.GradScaler]:
    """A trainer in fp16 on the recipe's stories, and its gradient scaler."""
    trainer = make_trainer(recipe, checkpoint=checkpoint)
    assert trainer.scaler is not None
    return trainer, trainer.scaler


def train(trainer: Trainer, steps: int) -> list[StepResult]:
    """The results of that many steps, those not made included."""
    results: list[StepResult] = []
    for _ in range(steps):
        results += trainer.update()
    return results + trainer.finish()


def losses(results: list[StepResult]) -> list[float]:
    """The losses of the steps made."""
    return [result.figures["loss"] for result in results if result.updated]
