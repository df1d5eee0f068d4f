"""How fast this machine generates with a recipe's model: the engine's own steps, with random weights."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

from talewright.config import Recipe
from talewright.generate.batching import GenerationBatch
from talewright.generate.quantization import BYTES, WeightPrecision, decoder_at
from talewright.generate.sampling import Sampling
from talewright.machine import default_device, keep_heap
from talewright.machine.peak import matmul_peak
from talewright.machine.throughput import throughput
from talewright.model.cost import forward_flops
from talewright.model.gpt import GPT


def bench_generation(recipe: Recipe, seconds: float, batch: int, precision: WeightPrecision) -> dict[str, Any]:
    """Generate samples of the context's length with random weights for that many seconds; return the speed."""
    keep_heap()
    device = default_device()
    torch.manual_seed(recipe.seed)
    model = GPT(recipe.model).to(device).eval()
    decoder = decoder_at(model, recipe.model.vocab_size, precision)
    length = recipe.model.context_length - 1
    rates, end = [], time.perf_counter() + seconds
    while len(rates) < 2 or time.perf_counter() < end:  # the first warms up
        sampling = Sampling(top_p=None, max_new_tokens=length, seed=len(rates))  # top-p is slow on random weights
        samples = GenerationBatch(decoder, [[0]] * batch, list(range(batch)), sampling, -1)
        started = time.perf_counter()
        while samples.running:
            samples.step()
        rates.append(batch * samples.steps / (time.perf_counter() - started))
    rate = statistics.median(rates[1:])
    peak = matmul_peak(device, torch.float32)
    weights = sum(p.numel() for p in model.parameters()) * BYTES[precision]
    facts = {"batch": batch, "precision": precision, "weight_bytes_per_second": rate / batch * weights}
    return throughput(rate, forward_flops(recipe.model), peak) | facts
