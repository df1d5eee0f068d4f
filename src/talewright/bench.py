"""How fast this machine is: its matrix products, and a recipe's training and telling against them.

The training that is timed is the loop's own, on random tokens; the telling is the engine's own, with random weights.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from talewright.config import Recipe
from talewright.data import Batches
from talewright.generate.batching import Rows
from talewright.generate.quantization import BYTES, Precision, decoder_at
from talewright.generate.sampling import Sampling
from talewright.machine import choose_precision, default_device, keep_heap, matmul_peak, torch_dtype
from talewright.model.cost import forward_flops, training_flops
from talewright.model.gpt import GPT

WARM_UP_STEPS = 3


class RandomBatches:
    """Stands in for prepared stories: random tokens of the recipe's vocabulary."""

    samples_per_epoch = 2**40

    def __init__(self, recipe: Recipe) -> None:
        self.vocab_size, self.length = recipe.model.vocab_size, recipe.sequence_length

    def samples(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        window = np.random.default_rng(first).integers(self.vocab_size, size=(count, self.length + 1))
        return window[:, :-1].copy(), window[:, 1:].copy()


def machine_peaks() -> dict[str, float]:
    """Floating-point operations a second of large matrix products, by precision, on the default device."""
    device = default_device()
    names = ("fp32", "bf16", "fp16") if device.type == "cuda" else ("fp32", "bf16")
    return {name: matmul_peak(device, torch_dtype(name), seconds=1.0) for name in names}


def bench_training(recipe: Recipe, seconds: float) -> dict[str, Any]:
    """Train on random tokens for so many seconds, and say how fast: medians over the optimiser steps."""
    from talewright.run.checkpoint import State
    from talewright.train.distillation import Teacher, teacher_shape
    from talewright.train.distributed import launch
    from talewright.train.loop import Trainer, Watch
    from talewright.train.optimizer import make_optimizer
    from talewright.train.progress import Display

    keep_heap()
    launched = launch(recipe)
    fabric, precision = launched
    torch.manual_seed(recipe.seed)
    model = GPT(recipe.model)
    optimizer = make_optimizer(model, recipe.optimizer, recipe.train.learning_rate)
    batches = cast(Batches, RandomBatches(recipe))
    shape = teacher_shape(recipe)
    teacher = shape and Teacher(GPT(shape), recipe.train.teacher_weight)
    past_short = recipe.train.short_steps  # what most of the run is like
    watch = Watch(evaluate=cast(Any, None), tell=cast(Any, None), display=Display())
    with tempfile.TemporaryDirectory() as run:
        trainer = Trainer(
            recipe, launched, model, optimizer, batches, Path(run), watch, State(past_short), None, teacher
        )
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
    return _figures(rate, training_flops(recipe.model, recipe.sequence_length), peak) | facts


def bench_telling(recipe: Recipe, seconds: float, batch: int, precision: Precision) -> dict[str, Any]:
    """Tell stories of the context's length with random weights for so many seconds, and say how fast."""
    keep_heap()
    device = default_device()
    torch.manual_seed(recipe.seed)
    model = GPT(recipe.model).to(device).eval()
    decoder = decoder_at(model, recipe.model.vocab_size, precision)
    length = recipe.model.context_length - 1
    rates, end = [], time.perf_counter() + seconds
    while len(rates) < 2 or time.perf_counter() < end:  # the first warms up
        sampling = Sampling(max_new_tokens=length, seed=len(rates))
        rows = Rows(decoder, [[0]] * batch, list(range(batch)), sampling, -1)
        started = time.perf_counter()
        while rows.running:
            rows.step()
        rates.append(batch * rows.steps / (time.perf_counter() - started))
    rate = statistics.median(rates[1:])
    peak = matmul_peak(device, torch.float32)
    weights = sum(p.numel() for p in model.parameters()) * BYTES[precision]
    facts = {"batch": batch, "precision": precision, "weight_bytes_per_second": rate / batch * weights}
    return _figures(rate, forward_flops(recipe.model), peak) | facts


def _figures(rate: float, flops: float, peak: float) -> dict[str, Any]:
    return {
        "tokens_per_second": rate,
        "flops_per_second": rate * flops,
        "percent_of_peak": 100 * rate * flops / peak,
        "peak_flops_per_second": peak,
        "peak_memory_bytes": _peak_memory(),
    }


def _peak_memory() -> int:
    """Most memory held so far: the GPU's by torch, else the whole process's."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    import resource

    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024


def machine_facts() -> dict[str, Any]:
    """What `talewright doctor` says: what the machine has, and what will be used of it."""
    import os
    import platform
    import shutil
    from importlib.util import find_spec

    from talewright.machine import compiler, device_words, versions

    device = default_device()
    extras = ("datasets", "pyarrow", "zstandard", "tensorboard", "lightning", "transformers")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else None
    return {
        **versions(),
        "system": platform.platform(),
        "device": device_words(device),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_bytes": memory,
        "free_disk_bytes": shutil.disk_usage(Path.cwd()).free,
        "precision": choose_precision("auto", device),
        "peaks": machine_peaks(),
        "compiler": compiler(),
        "extras": {name: find_spec(name) is not None for name in extras},
    }
