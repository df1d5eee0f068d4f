"""The measured peak throughput of matrix products."""

from __future__ import annotations

import platform
import time
from contextlib import suppress

import torch

from talewright.files import cache_dir, read_json, write_json
from talewright.machine.device import default_device, device_name, synchronize
from talewright.machine.precision import Precision, torch_dtype

MEASUREMENTS = 5
"""How often `known_peak` measures before it relies on what it has: other programs may be busy at the first time."""


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


def known_peak(device: torch.device, precision: Precision) -> float:
    """FLOP/s of large matrix products: the best of the first measurements ever made here, so that it hardly changes.

    They are kept in `peaks.json` of the cache folder; a cache that cannot be written is not an error.
    """
    path = cache_dir() / "peaks.json"
    key = " | ".join((platform.node(), device_name(device), f"torch {torch.__version__}", precision))
    peaks = read_json(path)
    peaks = peaks if isinstance(peaks, dict) else {}
    measured = peaks.get(key)
    measured = [value for value in measured if isinstance(value, float)] if isinstance(measured, list) else []
    if len(measured) < MEASUREMENTS:
        measured.append(matmul_peak(device, torch_dtype(precision)))
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, {**peaks, key: measured})
    return max(measured)


def machine_peaks() -> dict[str, float]:
    """Peak FLOP/s of matrix products on the default device, by precision."""
    device = default_device()
    precisions: tuple[Precision, ...] = ("fp32", "bf16", "fp16") if device.type == "cuda" else ("fp32", "bf16")
    return {precision: matmul_peak(device, torch_dtype(precision), seconds=1.0) for precision in precisions}
