"""Measured throughput against the machine's peak."""

from typing import Any

from talewright.machine.limits import peak_memory


def throughput(tokens_per_second: float, flops_per_token: float, peak: float) -> dict[str, Any]:
    """Tokens/s, FLOP/s, percent of the matrix-product peak and peak memory, as plain values."""
    return {
        "tokens_per_second": tokens_per_second,
        "flops_per_second": tokens_per_second * flops_per_token,
        "percent_of_peak": 100 * tokens_per_second * flops_per_token / peak,
        "peak_flops_per_second": peak,
        "peak_memory_bytes": peak_memory(),
    }
