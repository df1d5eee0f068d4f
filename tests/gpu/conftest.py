"""Tests of what a GPU does, run by `make test-gpu`. Where there is no GPU, the CPU stands in for it in most of them, so
that they stay alive; those that need CUDA are skipped.

TALEWRIGHT_TEST_DEVICE  cuda: an error where there is none
TALEWRIGHT_TEST_REPORT  folder for test-gpu.json and test-gpu.md
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.gpu_report import machine, write_report

import talewright
from talewright.config import Recipe, recipe_from_dict
from talewright.machine import default_device

REPORT = os.environ.get("TALEWRIGHT_TEST_REPORT")
MOST_SECONDS = 225.0
"""On a GPU a reported session ends in under four minutes: a test that would begin later fails."""
SMALL: dict[str, Any] = {
    "name": "small",
    "data": {"source": "bundled:300"},
    "model": {
        "n_layers": 2,
        "n_heads": 4,
        "d_model": 64,
        "d_ff": 128,
        "vocab_size": 512,
        "context_length": 64,
        "dropout": 0.0,
    },
    "schedule": {"kind": "constant"},
    "train": {
        "learning_rate": 1e-2,
        "micro_batch": 8,
        "accumulation": 2,
        "max_steps": 12,
        "evaluate_every": 1000,
        "evaluate_stories": 8,
        "prompts": [],
        "compile": False,
    },
}

began = time.monotonic()
facts = cache(lambda: machine(default_device()))
rows: list[dict[str, Any]] = []


def pytest_sessionstart() -> None:
    if os.environ.get("TALEWRIGHT_TEST_DEVICE") == "cuda" and not torch.cuda.is_available():
        pytest.exit("torch finds no NVIDIA GPU here; `make test-gpu DEVICE=cpu` runs these tests on the CPU", 2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if REPORT:
        items.sort(key=lambda item: item.get_closest_marker("slow") is not None)  # stable: slow ones come last


def pytest_runtest_setup(item: pytest.Item) -> None:
    if REPORT and torch.cuda.is_available() and time.monotonic() - began > MOST_SECONDS:
        pytest.fail(f"not run: the tests before it took more than {MOST_SECONDS:.0f} seconds", pytrace=False)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add the test to the report, which is written after each: a crash leaves what was measured before it."""
    if REPORT is None or not (report.when == "call" or report.outcome != "passed"):
        return
    row: dict[str, Any] = {"test": report.nodeid.split("::", 1)[-1].removeprefix("test_").replace("_", " ")}
    row |= {"outcome": report.outcome, "seconds": round(report.duration, 2), "figures": dict(report.user_properties)}
    rows.append({**row, "reason": _reason(report)})
    write_report(Path(REPORT) / "test-gpu", "Tests on a GPU", facts(), rows)


def _reason(report: pytest.TestReport) -> str | None:
    """Why a test was skipped or failed; None if it passed."""
    if report.passed:
        return None
    if isinstance(report.longrepr, tuple):  # of a skipped test: file, line, reason
        return report.longrepr[2]
    errors = [line[1:].strip() for line in report.longreprtext.splitlines() if line.startswith("E ")]
    return (errors or [report.longreprtext])[0]


@pytest.fixture(scope="session")
def device() -> torch.device:
    """The device under test: the GPU if there is one."""
    return default_device()


@pytest.fixture
def cuda(device: torch.device) -> torch.device:
    """The GPU; a test that asks for it is skipped where there is none."""
    if device.type != "cuda":
        pytest.skip("needs an NVIDIA GPU")
    return device


@pytest.fixture(scope="package", autouse=True)
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder of these tests' own, where stories are prepared once."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("TALEWRIGHT_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="package")
def small(device: torch.device) -> Callable[..., Recipe]:
    """Makes a small recipe on bundled stories, with changes by section: small(train={"max_steps": 3})."""

    def make(**sections: Any) -> Recipe:
        values = copy.deepcopy(SMALL)
        values["train"]["accelerator"] = device.type
        for section, changes in sections.items():
            values[section] = {**values.get(section, {}), **changes} if isinstance(changes, dict) else changes
        return recipe_from_dict(values)

    return make


@pytest.fixture(scope="package")
def run(small: Callable[..., Recipe], prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run trained on the device for a second or two."""
    recipe = small(train={"max_steps": 60, "precision": "fp32"})
    return talewright.fit(recipe, tmp_path_factory.mktemp("runs") / "run").path
