"""The measured peak of matrix products, and what is computed from it."""

from __future__ import annotations

import time
from pathlib import Path

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


def test_the_known_peak_is_the_best_of_the_first_measurements_and_then_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(tmp_path / "cache"))
    measured = iter([3e9, 5e9, 4e9, 1e9, 2e9])
    monkeypatch.setattr(peak, "matmul_peak", lambda device, dtype: next(measured))
    cpu = torch.device("cpu")
    assert [peak.known_peak(cpu, "fp32") for _ in range(8)] == [3e9, 5e9, 5e9, 5e9, 5e9, 5e9, 5e9, 5e9]
    with pytest.raises(StopIteration):
        peak.known_peak(cpu, "bf16")  # measured by itself


def test_a_damaged_or_read_only_cache_of_peaks_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(peak, "matmul_peak", lambda device, dtype: 1e9)
    (tmp_path / "peaks.json").write_text('{"torn')
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(tmp_path))
    assert peak.known_peak(torch.device("cpu"), "fp32") == 1e9
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(tmp_path / "file"))
    assert peak.known_peak(torch.device("cpu"), "fp32") == 1e9


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
