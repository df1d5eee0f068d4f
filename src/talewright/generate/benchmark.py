"""How fast this machine generates with a recipe's model: the engine's own steps, with random weights."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

from talewright.config import Recipe
from talewright.generate.batching import Request, generate_all
from talewright.generate.quantization import BYTES, WeightPrecision, decoder_at
from talewright.generate.sampling import Sampling
from talewright.machine import Precision, default_device, keep_heap
from talewright.machine.throughput import throughput
from talewright.model.cost import forward_flops
from talewright.model.gpt import GPT

PRODUCTS: dict[WeightPrecision, Precision] = {"fp32": "fp32", "bf16": "bf16", "fp16": "fp16", "int8": "bf16"}
"""The precision of the matrix products with weights of each precision: int8 ones meet bfloat16 activations."""


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
        requests = [Request(prompt=[0], sampling=sampling, index=index) for index in range(batch)]
        started = time.perf_counter()
        generate_all(decoder, requests, [-1])
        rates.append(batch * length / (time.perf_counter() - started))
    rate = statistics.median(rates[1:])
    weights = sum(p.numel() for p in model.parameters()) * BYTES[precision]
    facts = {"batch": batch, "precision": precision, "weight_bytes_per_second": rate / batch * weights}
    return throughput(rate, forward_flops(recipe.model), device, PRODUCTS[precision]) | facts
