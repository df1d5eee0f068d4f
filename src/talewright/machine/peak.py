"""The peak throughput of matrix products on this machine, kept in the cache folder: `peaks.json`.

The best rate that was ever seen here counts: other programs can only slow a product down. It is measured until
several measurements in a row found nothing better, and raised where a training is faster still; so what is shown hardly
changes. On a machine that others share, a second in which it is wholly ours may be minutes away.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from talewright.files import read_json, write_json
from talewright.locks import wait_for_lock
from talewright.machine.device import default_device, device_name, synchronize
from talewright.machine.precision import Precision, torch_dtype
from talewright.machine.speeds import optional_cache_file, processor_name

logger = logging.getLogger(__name__)

SETTLED = 5
"""Measurements in a row that found nothing better, after which the peak counts as known."""
INTERVAL = 120.0
"""Seconds between two measurements, at least."""
RAISED = 1.02
"""A rate that is less than that many times the best is no better: the clock and the cooling vary."""
FIRST_SECONDS = 4.0
"""Seconds of the first measurement, about."""
SECONDS = 1.5
"""Seconds of a later one."""
SIZES, GPU_SIZES = (1024, 2048, 4096), (4096, 8192, 16384)
"""Rows and columns of the matrices. Which is the fastest depends on the caches, and on how busy the machine is."""


class Peak(NamedTuple):
    """The best rate that is known, how many measurements since found nothing better, and the last one's time (seconds
    since 1970).
    """

    flops_per_second: float = 0.0
    confirmed: int = 0
    time: float = 0.0


_seen: dict[str, float] = {}
"""The best rates that this process knows: it measures once at most, also where the cache cannot be written."""


def known_peak(device: torch.device, precision: Precision) -> float:
    """FLOP/s of large matrix products: the best ever seen on this machine, measured now if that is due."""
    key = _key(device, precision)
    peak = _peak(_read().get(key))
    due = peak.confirmed < SETTLED and abs(time.time() - peak.time) >= INTERVAL and key not in _seen
    if due or max(peak.flops_per_second, _seen.get(key, 0.0)) <= 0:
        seconds = SECONDS if peak.flops_per_second else FIRST_SECONDS
        return _keep(key, matmul_peak(device, torch_dtype(precision), seconds), measured=True)
    return max(peak.flops_per_second, _seen.get(key, 0.0))


def raised_peak(device: torch.device, precision: Precision, reached: float) -> float:
    """The known peak after a program reached that many FLOP/s: whoever trains faster than the peak shows a better one.

    Measures nothing.
    """
    key = _key(device, precision)
    kept = max(_peak(_read().get(key)).flops_per_second, _seen.get(key, 0.0))
    return _keep(key, reached) if kept < reached < math.inf else kept


def known_peaks() -> dict[str, float]:
    """Peak FLOP/s of matrix products on the default device, by precision."""
    device = default_device()
    precisions: tuple[Precision, ...] = ("fp32", "bf16", "fp16") if device.type == "cuda" else ("fp32", "bf16")
    return {precision: known_peak(device, precision) for precision in precisions}


def matmul_peak(device: torch.device, dtype: torch.dtype, seconds: float = SECONDS) -> float:
    """FLOP/s of the fastest of many large matrix products, measured now, in about `seconds`.

    The sizes take turns, so that each has its chance in a quiet moment.
    """
    sizes, best, end = list(GPU_SIZES if device.type == "cuda" else SIZES), 0.0, time.perf_counter() + seconds
    products = {n: _product(n, device, dtype) for n in sizes[:1]}
    while not best or time.perf_counter() < end:
        for n in list(products):
            for _ in range(max(1, (sizes[-1] // n) ** 2 // 4)):  # of the small ones several, which take no longer
                best = max(best, _flops(n) / _seconds(products[n], device))
        larger = [n for n in sizes if n not in products and best * seconds / 10 > _flops(n)]
        try:
            products |= {n: _product(n, device, dtype) for n in larger[:1]}
        except torch.OutOfMemoryError:  # a GPU that others use, too
            sizes = list(products)
    products.clear()
    if device.type == "cuda":
        torch.cuda.empty_cache()  # training starts with whole memory
    return best


def _product(n: int, device: torch.device, dtype: torch.dtype) -> Callable[[], Any]:
    """A product x W^T as a linear layer computes it, of matrices of n x n, made once so that it is warm.

    The output's memory is the same each time, as on a heap that keeps freed memory. Random values, because a GPU that
    multiplies zeros draws less power and runs faster.
    """
    x = torch.randn(n, n, device=device).to(dtype)
    weight, out = x.roll(1, 0), torch.empty_like(x)
    torch.mm(x, weight.mT, out=out)
    return lambda: torch.mm(x, weight.mT, out=out)


def _seconds(product: Callable[[], Any], device: torch.device) -> float:
    synchronize(device)
    start = time.perf_counter()
    product()
    synchronize(device)
    return time.perf_counter() - start


def _flops(n: int) -> float:
    return 2.0 * n**3


def _key(device: torch.device, precision: Precision) -> str:
    return " | ".join((processor_name(), device_name(device), f"torch {torch.__version__}", precision))


def _keep(key: str, rate: float, measured: bool = False) -> float:
    """Keep a rate if it is the best; returns the best. A cache that cannot be written is not an error."""
    _seen[key] = max(rate, _seen.get(key, 0.0))
    path = _path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with wait_for_lock(path, lambda: None):
            peaks = _read()
            before = _peak(peaks.get(key))
            best = max(before.flops_per_second, _seen[key])
            raised = best > RAISED * before.flops_per_second
            peak = Peak(best, 0 if raised else before.confirmed + measured, time.time() if measured else before.time)
            write_json(path, {**peaks, key: peak._asdict()})
        return best
    except OSError as error:
        logger.debug("cannot keep the measured peak: %s", error)
        return _seen[key]


def _path() -> Path:
    return optional_cache_file("peaks.json")


def _read() -> dict[str, Any]:
    peaks = read_json(_path())
    return peaks if isinstance(peaks, dict) else {}


def _peak(entry: Any) -> Peak:
    """The entry of the file; nothing known if it is missing or damaged."""
    if not isinstance(entry, dict) or not all(_is_number(entry.get(name)) for name in Peak._fields):
        return Peak()
    return Peak(float(entry["flops_per_second"]), int(entry["confirmed"]), float(entry["time"]))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
