"""How fast this machine trains a recipe: the loop's own steps, on random tokens."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from talewright.config import Recipe
from talewright.data import Batches
from talewright.machine import keep_heap, torch_dtype
from talewright.machine.peak import matmul_peak
from talewright.machine.throughput import throughput
from talewright.model.cost import training_flops
from talewright.model.gpt import GPT
from talewright.run.checkpoint import TrainState
from talewright.train.distillation import Teacher, teacher_shape
from talewright.train.distributed import launch
from talewright.train.loop import Trainer, Watch
from talewright.train.optimizer import make_optimizer
from talewright.train.progress import Display

WARM_UP_STEPS = 3


class RandomBatches:
    """Stands in for prepared stories: random tokens of the recipe's vocabulary."""

    samples_per_epoch = 2**40

    def __init__(self, recipe: Recipe) -> None:
        self.vocab_size, self.length = recipe.model.vocab_size, recipe.sequence_length

    def samples(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        window = np.random.default_rng(first).integers(self.vocab_size, size=(count, self.length + 1))
        return window[:, :-1].copy(), window[:, 1:].copy()


def bench_training(recipe: Recipe, seconds: float) -> dict[str, Any]:
    """Train on random tokens for so many seconds, and say how fast: medians over the optimiser steps."""

    keep_heap()
    launched = launch(recipe)
    fabric, precision = launched
    torch.manual_seed(recipe.seed)
    model = GPT(recipe.model)
    optimizer = make_optimizer(model, recipe.optimizer, recipe.train.learning_rate)
    batches = cast(Batches, RandomBatches(recipe))
    shape = teacher_shape(recipe)
    teacher = shape and Teacher(GPT(shape), recipe.train.teacher_weight)
    watch = Watch(evaluate=cast(Any, None), generate=cast(Any, None), display=Display())
    with tempfile.TemporaryDirectory() as run:
        trainer = Trainer(recipe, launched, model, optimizer, batches, Path(run), watch, TrainState(), None, teacher)
        started = time.perf_counter()
        for _ in range(WARM_UP_STEPS):
            trainer.update()
        warm_up, rates, end = time.perf_counter() - started, [], time.perf_counter() + seconds
        while not rates or time.perf_counter() < end:
            if figures := trainer.update():
                rates.append(figures["tokens_per_second"])
    rate = statistics.median(rates)
    peak = matmul_peak(fabric.device, torch_dtype(precision))
    facts = {"precision": precision, "compiled": trainer.compiled, "warm_up_seconds": warm_up, "steps": len(rates)}
    return throughput(rate, training_flops(recipe.model, recipe.sequence_length), peak) | facts
