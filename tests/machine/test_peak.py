"""The measured peak of matrix products, and what is computed from it."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from talewright.machine import peak
from talewright.machine.facts import machine_facts
from talewright.machine.throughput import throughput

CPU = torch.device("cpu")


class Machine:
    """A machine on which the products and the clock are simulated: it makes `rate` FLOP/s, less when it is busy."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cache: Path, rate: float = 1e12) -> None:
        self.rate, self.now, self.products, self.slower = rate, 1e9, 0, lambda: 1.0
        self.patch = monkeypatch
        monkeypatch.setenv("TALEWRIGHT_CACHE", str(cache))
        monkeypatch.setattr(peak.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(peak.time, "time", lambda: self.now)
        monkeypatch.setattr(torch, "mm", self.multiply)
        monkeypatch.setattr(torch, "randn", lambda n, _, device: torch.empty(n, 1).expand(n, n))
        monkeypatch.setattr(torch.Tensor, "roll", lambda x, *_: x)

    def multiply(self, a: torch.Tensor, b: torch.Tensor, out: torch.Tensor | None = None) -> None:
        self.products += 1
        self.now += 2 * len(a) ** 3 / self.rate * self.slower()

    def process(self, after: float = 0.0) -> None:
        """A new process, so many seconds later."""
        self.now += after
        self.patch.setattr(peak, "_seen", {})

    def known(self, precision: Any = "fp32") -> float:
        return peak.known_peak(CPU, precision)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    made = Machine(monkeypatch, tmp_path / "cache")
    made.process()
    return made


def entries(tmp_path: Path) -> dict[str, dict[str, float]]:
    return json.loads((tmp_path / "cache" / "peaks.json").read_text())


def test_a_real_product_is_measured_even_without_time() -> None:
    assert 1e8 < peak.matmul_peak(CPU, torch.float32, seconds=0) < 1e15


@pytest.mark.parametrize(("rate", "largest"), [(1e12, 4096), (2e11, 2048), (5e9, 1024)])
def test_the_time_of_a_measurement_is_bounded_whatever_the_machine(rate: float, largest: int, machine: Machine) -> None:
    machine.rate, sizes, began = rate, set[int](), machine.now
    multiply = machine.multiply
    machine.patch.setattr(torch, "mm", lambda a, b, out: (sizes.add(len(a)), multiply(a, b))[1])
    assert peak.matmul_peak(CPU, torch.float32) == pytest.approx(rate, rel=1e-4)
    assert max(sizes) == largest
    assert machine.now - began < 2 * peak.SECONDS


def test_the_fastest_size_counts(machine: Machine) -> None:
    slow = {1024: 3.0, 2048: 1.0, 4096: 2.0}

    def multiply(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
        machine.now += 2 * len(a) ** 3 / 1e12 * slow[len(a)]

    machine.patch.setattr(torch, "mm", multiply)
    assert peak.matmul_peak(CPU, torch.float32) == pytest.approx(1e12, rel=1e-4)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32), undisturbed=st.floats(0.1, 1))
def test_under_noise_what_is_kept_is_the_peak_and_then_stays(
    seed: int, undisturbed: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Other programs slow products down by up to ten times; a few of them run undisturbed."""
    draw = random.Random(seed)
    with pytest.MonkeyPatch.context() as monkeypatch:
        machine = Machine(monkeypatch, tmp_path_factory.mktemp("cache"))
        machine.slower = lambda: 1.0 if draw.random() < undisturbed else draw.uniform(1, 10)
        shown = []
        for _ in range(12):
            machine.process(after=700)
            shown.append(machine.known())
        assert shown == sorted(shown)
        assert shown[4:] == pytest.approx([1e12] * 8, rel=0.05)


def test_it_is_measured_until_several_in_a_row_found_nothing_better(machine: Machine, tmp_path: Path) -> None:
    slower = [4.0, 2.0, 3.0, 1.0, *[2.0] * peak.SETTLED, 0.5]  # the last one is not measured any more
    shown, counts = [], []
    for factor in slower:
        machine.process(after=peak.INTERVAL)
        machine.slower = lambda factor=factor: factor
        shown.append(machine.known())
        counts.append(machine.products)
    assert shown == pytest.approx([0.25e12, 0.5e12, 0.5e12, *[1e12] * (peak.SETTLED + 2)], rel=1e-4)
    assert counts[-1] == counts[-2] > counts[-3]
    assert [entry["confirmed"] for entry in entries(tmp_path).values()] == [peak.SETTLED]


def test_one_busy_minute_or_process_measures_once(machine: Machine) -> None:
    first, made = machine.known(), machine.products
    machine.now += peak.INTERVAL
    assert machine.known() == first  # the same process
    machine.process(after=-peak.INTERVAL / 2)
    assert machine.known() == first  # another one, but too soon after the measurement
    assert machine.products == made
    machine.process(after=-2 * peak.INTERVAL)  # the clock was set back
    machine.known()
    assert machine.products > made


def test_each_precision_and_each_machine_has_its_own(machine: Machine) -> None:
    first = machine.known()
    machine.rate = 2e12
    assert machine.known("bf16") == pytest.approx(2e12, rel=1e-4)
    for name, value in (("processor_name", "another"), ("device_name", "3 CPU cores")):
        machine.patch.setattr(peak, name, lambda *_, value=value: value)
        machine.process()
        assert machine.known() == pytest.approx(2e12, rel=1e-4)
    assert first == pytest.approx(1e12, rel=1e-4)


@pytest.mark.parametrize(
    "damage",
    ['{"torn', "[]", '{"KEY": 3}', '{"KEY": {"flops_per_second": "x", "confirmed": 5, "time": 1e9}}'],
)
def test_a_damaged_file_is_measured_anew_and_repaired(damage: str, machine: Machine, tmp_path: Path) -> None:
    machine.known()
    key = next(iter(entries(tmp_path)))
    (tmp_path / "cache" / "peaks.json").write_text(damage.replace("KEY", key.replace('"', "")))
    machine.process()
    made = machine.products
    assert machine.known() == pytest.approx(1e12, rel=1e-4)
    assert machine.products > made
    assert entries(tmp_path)[key]["confirmed"] == 0


def test_a_cache_that_cannot_be_written_is_measured_once_in_a_process(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder would be")
    assert machine.known() == pytest.approx(1e12, rel=1e-4)
    made = machine.products
    machine.rate = 5e11
    assert machine.known() == pytest.approx(1e12, rel=1e-4)
    assert machine.products == made
    assert peak.raised_peak(CPU, "fp32", 3e12) == 3e12
    assert machine.known() == 3e12


def test_a_program_that_is_faster_raises_the_peak_for_good(machine: Machine) -> None:
    first = machine.known()
    assert peak.raised_peak(CPU, "fp32", first / 2) == first
    assert peak.raised_peak(CPU, "fp32", float("inf")) == first
    assert peak.raised_peak(CPU, "fp32", 5e12) == 5e12
    machine.process()
    assert machine.known() == 5e12
    assert machine.known("bf16") == pytest.approx(1e12, rel=1e-4)


def test_a_gpu_that_others_use_is_measured_with_what_fits(machine: Machine) -> None:
    multiply = machine.multiply

    def limited(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
        if len(a) > 1024:
            raise torch.OutOfMemoryError("CUDA out of memory")
        multiply(a, b)

    machine.patch.setattr(torch, "mm", limited)
    assert peak.matmul_peak(CPU, torch.float32) == pytest.approx(1e12, rel=1e-4)


def test_throughput_is_a_share_of_the_peak_which_it_may_raise(machine: Machine) -> None:
    machine.rate = 1e9
    found = throughput(tokens_per_second=100.0, flops_per_token=2e6, device=CPU, precision="bf16")
    assert found["flops_per_second"] == pytest.approx(2e8)
    assert found["percent_of_peak"] == pytest.approx(20.0, rel=1e-4)
    assert found["peak_precision"] == "bf16"
    assert found["peak_memory_bytes"] > 2**20
    faster = throughput(tokens_per_second=1000.0, flops_per_token=2e6, device=CPU, precision="bf16")
    assert faster["percent_of_peak"] == 100
    assert machine.known("bf16") == faster["peak_flops_per_second"] == 2e9


def test_the_facts_are_plain_values(machine: Machine) -> None:
    found = machine_facts()
    assert found["peaks"].keys() >= {"fp32", "bf16"}
    assert found["precision"] in found["peaks"]
    assert found["free_disk_bytes"] > 0
    assert found["extras"]["transformers"] in (True, False)
