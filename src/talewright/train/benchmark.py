"""How fast this machine trains a recipe: the loop's own steps, on random tokens."""

from __future__ import annotations

import statistics
import time
from typing import Any, cast

import numpy as np

from talewright.config import Recipe
from talewright.data import Batches
from talewright.machine import keep_heap
from talewright.machine.throughput import throughput
from talewright.model.cost import training_flops
from talewright.model.gpt import GPT
from talewright.train.distillation import Teacher, teacher_shape
from talewright.train.distributed import launch
from talewright.train.trainer import Trainer

WARMUP_STEPS = 3


class RandomBatches:
    """Random tokens of the recipe's vocabulary in place of prepared stories."""

    samples_per_epoch = 2**40

    def __init__(self, recipe: Recipe) -> None:
        self.vocab_size, self.length = recipe.model.vocab_size, recipe.sequence_length

    def samples_with(self, tokens: int) -> int:
        return -(-tokens // self.length)

    def count_tokens(self, first: int, count: int) -> int:
        return count * self.length

    def samples(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        window = np.random.default_rng(first).integers(self.vocab_size, size=(count, self.length + 1))
        return window[:, :-1].copy(), window[:, 1:].copy()


def bench_training(recipe: Recipe, seconds: float) -> dict[str, Any]:
    """Train on random tokens for `seconds` and return the throughput, the median over the optimizer steps."""
    keep_heap()
    distributed = launch(recipe)
    shape = teacher_shape(recipe)
    teacher = shape and Teacher(GPT(shape), recipe.train.teacher_weight)
    trainer = Trainer(recipe, distributed, cast(Batches, RandomBatches(recipe)), teacher)
    started = time.perf_counter()
    for _ in range(WARMUP_STEPS):
        trainer.update()
    trainer.finish()
    rates, end = [], time.perf_counter() + seconds
    warmup_seconds = time.perf_counter() - started
    while not rates or time.perf_counter() < end:
        rates += [result.figures["tokens_per_second"] for result in trainer.update() if result.updated]
    flops = training_flops(recipe.model, recipe.sequence_length)
    return {
        **throughput(statistics.median(rates), flops, distributed.fabric.device, distributed.precision),
        "precision": distributed.precision,
        "compiled": trainer.compiled,
        "warm_up_seconds": warmup_seconds,
        "steps": len(rates),
    }
