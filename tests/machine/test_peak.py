"""The measured peak of matrix products, and what is computed from it."""

from __future__ import annotations

import time

import pytest
import torch

from talewright.machine import peak
from talewright.machine.facts import machine_facts
from talewright.machine.throughput import throughput


def test_the_peak_is_the_work_of_a_product_over_its_shortest_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow_product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        time.sleep(0.01)
        return a

    monkeypatch.setattr(torch, "mm", slow_product)
    measured = peak.matmul_peak(torch.device("cpu"), torch.float32, seconds=0.05)
    assert 2 * 1024**3 / 0.03 < measured <= 2 * 1024**3 / 0.01


def test_even_without_time_one_product_is_measured() -> None:
    assert 0 < peak.matmul_peak(torch.device("cpu"), torch.float32, seconds=0) < float("inf")


def test_throughput_is_a_share_of_the_peak() -> None:
    found = throughput(tokens_per_second=100.0, flops_per_token=2e6, peak=1e9)
    assert found["flops_per_second"] == pytest.approx(2e8)
    assert found["percent_of_peak"] == pytest.approx(20.0)
    assert found["peak_memory_bytes"] > 2**20


def test_the_facts_are_plain_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak, "matmul_peak", lambda *_, **__: 1e9)
    found = machine_facts()
    assert found["peaks"].keys() >= {"fp32", "bf16"}
    assert found["precision"] in found["peaks"]
    assert found["free_disk_bytes"] > 0
    assert found["extras"]["transformers"] in (True, False)
