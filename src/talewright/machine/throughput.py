"""Measured throughput against the machine's peak."""

from typing import Any

import torch

from talewright.machine.limits import peak_memory
from talewright.machine.peak import known_peak, raised_peak
from talewright.machine.precision import Precision


def throughput(
    tokens_per_second: float, flops_per_token: float, device: torch.device, precision: Precision
) -> dict[str, Any]:
    """Tokens/s, FLOP/s, percent of the peak of matrix products in that precision, and peak memory, as plain values."""
    memory = peak_memory()  # before the peak is measured, whose products are large
    rate = tokens_per_second * flops_per_token
    peak = max(known_peak(device, precision), raised_peak(device, precision, rate))
    return {
        "tokens_per_second": tokens_per_second,
        "flops_per_second": rate,
        "percent_of_peak": 100 * rate / peak,
        "peak_flops_per_second": peak,
        "peak_precision": precision,
        "peak_memory_bytes": memory,
    }
