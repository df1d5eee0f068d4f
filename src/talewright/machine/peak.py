"""The measured peak throughput of matrix products."""

from __future__ import annotations

import time

import torch

from talewright.machine.device import default_device, synchronize
from talewright.machine.precision import Precision, torch_dtype


def matmul_peak(device: torch.device, dtype: torch.dtype, seconds: float = 0.3) -> float:
    """FLOP/s of large matrix products: the best of several, measured now."""
    n = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    best, end = float("inf"), time.perf_counter() + seconds
    torch.mm(a, b)
    while best == float("inf") or time.perf_counter() < end:  # at least once, however busy the machine
        synchronize(device)
        start = time.perf_counter()
        torch.mm(a, b)
        synchronize(device)
        best = min(best, time.perf_counter() - start)
    return 2 * n**3 / best


def machine_peaks() -> dict[str, float]:
    """Peak FLOP/s of matrix products on the default device, by precision."""
    device = default_device()
    precisions: tuple[Precision, ...] = ("fp32", "bf16", "fp16") if device.type == "cuda" else ("fp32", "bf16")
    return {precision: matmul_peak(device, torch_dtype(precision), seconds=1.0) for precision in precisions}
