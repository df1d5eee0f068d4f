"""The losses of a run are those of one process at any number of processes: real ones, over gloo."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from talewright.config import Recipe, recipe_to_dict
from talewright.data import Corpus
from talewright.run.log import read_log

STEPS, STOP = 50, 20
SHARES = {"micro-batch": (4, 1), "micro-batch, accumulated": (4, 3), "accumulation": (2, 4)}
"""What 2 and 4 processes divide: micro-batch and accumulation of recipes."""
Change = dict[str, dict[str, Any]]


def cases(teacher: Path) -> dict[str, Change]:
    """Changes of the small recipe."""
    found: dict[str, Change] = {}
    for layout in ("packed", "aligned", "rows"):
        for kind in ("adamw", "muon"):
            for divided, (micro_batch, accumulation) in SHARES.items():
                found[f"{layout}, {kind}, {divided}"] = {
                    "data": {"layout": layout},
                    "optimizer": {"kind": kind},
                    "train": {"micro_batch": micro_batch, "accumulation": accumulation},
                }
    for extra, change in {
        "average": {"train": {"average": 0.9}},
        "teacher": {"train": {"teacher": str(teacher)}},
        "dropout": {"model": {"dropout": 0.1}},
    }.items():
        found[extra] = change | {
            "data": {"layout": "rows"},
            "train": {"micro_batch": 2, "accumulation": 4, **change.get("train", {})},
        }
    return found


def train_in(processes: int, runs: list[tuple[Recipe, Path, bool]], corpus: Corpus, folder: Path) -> None:
    """Train the runs, or resume them, in so many processes."""
    plan = folder / f"plan-{processes}.json"
    values = [{"recipe": recipe_to_dict(recipe), "folder": str(run), "resume": resume} for recipe, run, resume in runs]
    for each in values:
        each["recipe"]["train"]["devices"] = processes
    plan.write_text(json.dumps({"corpus": str(corpus.folder), "runs": values}), encoding="utf-8")
    command = [sys.executable, "-m", "tests.train.processes", str(plan)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def losses(run: Path) -> list[float]:
    """Those of all steps and evaluations."""
    return [event["loss"] for event in read_log(run / "log.jsonl") if event["event"] in ("step", "evaluation")]


@pytest.fixture
def recipe_of(small: Callable[..., Recipe]) -> Callable[[Change], Recipe]:
    """The small recipe with a change, for STEPS steps, without dropout unless the change has it."""
    train = {"max_steps": STEPS, "evaluate_every": 25, "checkpoint_every": STOP, "evaluate_stories": 4}

    def make(change: Change) -> Recipe:
        return small(
            **{
                **change,
                "model": {"dropout": 0.0, **change.get("model", {})},
                "schedule": {"kind": "constant"},
                "train": {**train, **change["train"]},
            }
        )

    return make


def test_two_processes_learn_what_one_learns(recipe_of, small_corpus, teacher_run, tmp_path):
    chosen = cases(teacher_run)
    for processes in (1, 2):
        runs = [
            (recipe_of(chosen[name]), tmp_path / f"{name} {processes}", False)
            for name in ("rows, muon, micro-batch", "packed, adamw, accumulation")
        ]
        train_in(processes, runs, small_corpus, tmp_path)
    for recipe, run, _ in runs:
        assert losses(run) == pytest.approx(losses(tmp_path / run.name.replace(" 2", " 1")), rel=1e-5), run.name


@pytest.mark.slow
def test_any_number_of_processes_learns_what_one_learns(recipe_of, small_corpus, teacher_run, tmp_path):
    different = []
    for processes in (1, 2, 4):
        folder = tmp_path / str(processes)
        folder.mkdir()
        runs = [(recipe_of(change), folder / name, False) for name, change in cases(teacher_run).items()]
        train_in(processes, runs, small_corpus, folder)
        for name in cases(teacher_run):
            found, expected = losses(folder / name), losses(tmp_path / "1" / name)
            assert len(expected) == STEPS + 3
            worst = max(abs(a / b - 1) for a, b in zip(found, expected, strict=True))
            print(processes, name, worst)
            if worst > 1e-5:
                different.append((processes, name, worst))
    assert not different
