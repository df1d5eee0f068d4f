"""The program of `make bench-gpu`: its parts on small models, its time limits, what it writes."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
import torch
from benchmarks import gpu, gpu_full
from benchmarks.gpu_report import machine, write_report

from talewright.config import load_recipe
from talewright.errors import UserError
from talewright.train.memory import MemoryNeed

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "TRAINING_SECONDS", 0.05)
    monkeypatch.setattr(gpu, "GENERATION_SECONDS", 0.01)


@pytest.mark.parametrize("name", ["mini-2m", "story-1m"])
def test_a_recipe_is_trained_and_generated_with(name: str, device: torch.device) -> None:
    recipe = gpu.stand_in(name)
    parts = [gpu.training(recipe, device, "auto", False), gpu.generation(recipe, 3)]
    trained, generated = gpu.measured(iter(parts), 60.0)
    assert (trained["batch"], trained["micro_batch"], trained["tokens_per_step"]) == (8, 8, 256)
    assert trained["tokens_per_second"] > 0
    assert trained["percent_of_measured_peak"] > 0
    assert generated["tokens_per_second"] > 0


def test_every_recipe_is_measured_in_training_and_in_generation(device: torch.device) -> None:
    parts = list(gpu.all_parts(device))
    for what in ("train", "generate"):
        found = {part.labels["recipe"] for part in parts if part.labels["what"] == what}
        assert {name.removesuffix("-stand-in") for name in found} == {*gpu.FOUR, *gpu.LADDER}


def test_a_part_that_takes_too_long_is_cut_and_later_ones_do_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "LEAST_SECONDS", 0.3)
    monkeypatch.setattr(gpu, "free_memory", lambda: None)
    before = signal.getsignal(signal.SIGALRM)
    sleeping, quick = gpu.Part({"what": "sleep"}, lambda: time.sleep(30) or {}), gpu.Part({}, lambda: {"value": 1})
    started = time.monotonic()
    first, second, third = gpu.measured(iter([quick, sleeping, quick]), 1.0)
    assert time.monotonic() - started < 20
    assert first["value"] == 1
    assert second["what"] == "sleep"
    assert second["note"].startswith("cut after")
    assert third["note"] == "not measured: no time was left"
    assert "value" not in third
    assert signal.getsignal(signal.SIGALRM) is before


@pytest.mark.parametrize("error", [UserError("it does not fit"), torch.OutOfMemoryError("it does not fit")])
def test_a_part_that_fails_says_why_and_the_next_one_is_measured(error: Exception) -> None:
    def fail() -> dict[str, object]:
        raise error

    first, second = gpu.measured(iter([gpu.Part({}, fail), gpu.Part({}, lambda: {"value": 1})]), 60.0)
    assert first["note"] == f"{type(error).__name__}: it does not fit"
    assert second["value"] == 1


def test_the_micro_batch_is_the_largest_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    device, recipe = torch.device("cpu"), load_recipe("neo-41m")  # 16 x 5
    needs = {size: MemoryNeed(gpu.with_batch(recipe, size, 80 // size), "bf16").needed() for size in (80, 40, 20)}
    for limit, expected in ((needs[80], 80), (needs[80] - 1, 40), (needs[40] - 1, 20)):
        monkeypatch.setattr(MemoryNeed, "available", lambda self, limit=limit: limit)
        train = gpu.largest_micro_batch(recipe, device).train
        assert (train.micro_batch, train.accumulation) == (expected, 80 // expected)


CARDS = [
    ("NVIDIA H100 80GB HBM3", "bf16", 989e12),
    ("NVIDIA H200", "fp16", 989e12),
    ("NVIDIA H100 PCIe", "bf16", 756e12),
    ("NVIDIA A100-SXM4-80GB", "bf16", 312e12),
    ("Tesla T4", "fp16", 65e12),
    ("Tesla T4", "bf16", None),
    ("NVIDIA L4", "bf16", 121e12),
    ("NVIDIA L40S", "bf16", None),
    ("NVIDIA GeForce RTX 4090", "bf16", 165e12),
    ("NVIDIA GeForce RTX 4090 D", "bf16", None),
    ("NVIDIA H100 80GB HBM3", "fp32", None),
    ("2 CPU cores", "bf16", None),
]


@pytest.mark.parametrize(("name", "precision", "peak"), CARDS)
def test_the_data_sheet_peak_of_a_card(
    name: str, precision: str, peak: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "device_name", lambda device: name)
    assert gpu.data_sheet_peak(torch.device("cpu"), precision) == peak


def test_a_report_is_json_and_a_table(tmp_path: Path, device: torch.device) -> None:
    rows = [{"what": "train", "speed": 1234567.8}, {"what": "a | b", "note": "two\nlines", "figures": {"x": 0.25}}]
    write_report(tmp_path / "new" / "report", "Title", machine(device), rows)
    read = json.loads((tmp_path / "new" / "report.json").read_text())
    assert read["rows"] == rows
    assert read["machine"]["torch"] == torch.__version__
    lines = (tmp_path / "new" / "report.md").read_text().splitlines()
    assert lines[-4:] == [
        "| what | speed | note | figures |",
        "| --- | --- | --- | --- |",
        "| train | 1,234,568 |  |  |",
        "| a \\| b |  | two lines | x 0.25 |",
    ]


def test_the_full_recipe_names_its_stories_and_tokenizer(tmp_path: Path) -> None:
    recipe = load_recipe("gpt2-124m", gpu_full.overrides(tmp_path, tmp_path / "gpt2"))
    assert recipe.data.source == str(tmp_path / "train.txt")
    assert recipe.data.valid == str(tmp_path / "valid.txt")
    assert (recipe.data.limit, recipe.data.valid_limit, recipe.train.max_epochs) == (20_000, 5_000, 10)
    assert (recipe.tokenizer.kind, recipe.tokenizer.source) == ("gpt2", str(tmp_path / "gpt2"))
    bundled = load_recipe("gpt2-124m", gpu_full.overrides(None, None))
    assert (bundled.data.source, bundled.tokenizer.kind) == ("bundled:25000", "bpe")
    assert bundled.model == recipe.model


@pytest.mark.slow
def test_the_full_recipe_is_trained_and_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    device = torch.device("cpu")
    row = gpu_full.train_in_full(device, None, None)
    assert row["steps"] == row["steps_of_the_recipe"] > 0
    assert row["note"] is None
    assert row["training_seconds"] < row["wall_seconds"]
    assert row["validation_loss"] < 6
    assert Path(row["run"]).is_dir()
