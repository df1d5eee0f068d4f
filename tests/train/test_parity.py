"""The losses of a run are those of one process at any number of processes: real ones, over gloo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from talewright.config import Recipe, recipe_from_dict, recipe_to_dict
from talewright.data import Corpus
from talewright.run.log import read_log
from tests.train.conftest import train_small, train_teacher

CONTEXT, STEPS, STOP = 32, 50, 20
DIVIDED = {"micro-batch": (4, 1), "micro-batch, accumulated": (4, 3), "accumulation": (2, 4)}
"""Micro-batch and accumulation of recipes, by what 2 and 4 processes divide."""
MATRIX = [f"{layout}; {kind}; {divided}" for layout in ("packed", "aligned", "rows") for kind in ("adamw", "muon")
          for divided in DIVIDED]  # fmt: skip
EXTRAS: dict[str, dict[str, dict[str, Any]]] = {
    "average": {"train": {"average": 0.9}},
    "teacher": {"train": {"teacher": "filled in"}},
    "dropout": {"model": {"dropout": 0.1}},
    "bigrams": {"model": {"bigrams": 40}},
}
Changes = dict[str, dict[str, Any]]
MakeRecipe = Callable[..., Recipe]


@pytest.fixture(scope="module")
def make_recipe(small_values: dict[str, Any]) -> MakeRecipe:
    """Makes the small recipe of a combination in MATRIX, with more changes, for STEPS steps; packed windows are all
    full, aligned ones but the last, and rows are padded or cut.
    """

    def make(combination: str, changes: Changes | None = None) -> Recipe:
        layout, kind, divided = combination.split("; ")
        values = {
            **small_values,
            "data": {**small_values["data"], "layout": layout},
            "model": {**small_values["model"], "context_length": CONTEXT, "dropout": 0.0},
            "optimizer": {"kind": kind},
            "schedule": {"kind": "constant"},
            "train": {
                **small_values["train"],
                **dict(zip(("micro_batch", "accumulation"), DIVIDED[divided], strict=True)),
                "max_steps": STEPS,
                "evaluate_every": STEPS,
                "evaluate_stories": 4,
                "checkpoint_every": STEPS,
            },
        }
        for section, change in (changes or {}).items():
            values[section] = {**values[section], **change}
        return recipe_from_dict(values)

    return make


@pytest.fixture(scope="module")
def recipes(make_recipe, small_values, small_corpus, tmp_path_factory) -> dict[str, Recipe]:
    teacher = train_teacher(small_values, small_corpus, tmp_path_factory.mktemp("teacher") / "run", CONTEXT)
    EXTRAS["teacher"]["train"]["teacher"] = str(teacher)
    extras = {name: make_recipe("rows; muon; accumulation", changes) for name, changes in EXTRAS.items()}
    return {name: make_recipe(name) for name in MATRIX} | extras


def train_in(processes: int, recipes: dict[Path, Recipe], corpus: Corpus, *, resume: bool = False) -> None:
    """Train into run folders, or resume them, in so many processes."""
    plan = next(iter(recipes)).parent / f"plan-{processes}-{resume}.json"
    runs = []
    for folder, recipe in recipes.items():
        values = recipe_to_dict(recipe)
        values["train"]["devices"] = processes
        runs.append({"recipe": values, "folder": str(folder)})
    plan.write_text(json.dumps({"corpus": str(corpus.folder), "resume": resume, "runs": runs}), encoding="utf-8")
    command = [sys.executable, "-m", "tests.train.parity", str(plan)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def losses(run: Path) -> list[float]:
    """Those of all steps and evaluations."""
    return [event["loss"] for event in read_log(run / "log.jsonl") if event["event"] in ("step", "evaluation")]


def test_two_processes_learn_what_one_learns(make_recipe, small_corpus, tmp_path):
    names, changes = ("rows; muon; micro-batch", "packed; adamw; accumulation"), {"train": {"max_steps": STOP}}
    chosen = {name: make_recipe(name, changes) for name in names}
    train_in(2, {tmp_path / f"{name} in two": recipe for name, recipe in chosen.items()}, small_corpus)
    for name, recipe in chosen.items():
        train_small(recipe, small_corpus, tmp_path / name)
        expected = losses(tmp_path / name)
        assert len(expected) == STOP + 2
        assert expected[-1] < expected[0] - 0.5
        assert losses(tmp_path / f"{name} in two") == pytest.approx(expected, rel=1e-5), name


@pytest.fixture(scope="module")
def in_one(recipes, small_corpus, tmp_path_factory) -> dict[str, list[float]]:
    """The losses of all recipes in one process."""
    folder = tmp_path_factory.mktemp("one")
    train_in(1, {folder / name: recipe for name, recipe in recipes.items()}, small_corpus)
    return {name: losses(folder / name) for name in recipes}


@pytest.fixture(scope="module", params=[2, 4])
def in_several(request, recipes, small_corpus, tmp_path_factory) -> dict[str, list[float]]:
    folder = tmp_path_factory.mktemp(f"in-{request.param}")
    train_in(request.param, {folder / name: recipe for name, recipe in recipes.items()}, small_corpus)
    return {name: losses(folder / name) for name in recipes}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", [*MATRIX, *EXTRAS])
def test_any_number_of_processes_learns_what_one_learns(in_one, in_several, name):
    assert len(in_one[name]) == STEPS + 2
    assert in_several[name] == pytest.approx(in_one[name], rel=1e-5)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_goes_on_in_another_number_of_processes(make_recipe, small_corpus, tmp_path):
    """Two processes begin, four go on, two, and one: the losses are those of one process that does it all."""
    changes: Changes = {"train": {"average": 0.9}, "model": {"dropout": 0.1}}
    name, folder = "rows; muon; accumulation", tmp_path / "run"
    for number, processes in enumerate((2, 4, 2, 1)):
        changes["train"]["max_steps"] = STOP * (number + 1)
        train_in(processes, {folder: make_recipe(name, changes)}, small_corpus, resume=number > 0)
    found = [event["loss"] for event in read_log(folder / "log.jsonl") if event["event"] == "step"]
    train_small(make_recipe(name, changes), small_corpus, tmp_path / "one")
    expected = [event["loss"] for event in read_log(tmp_path / "one" / "log.jsonl") if event["event"] == "step"]
    assert len(expected) == 4 * STOP
    assert found == pytest.approx(expected, rel=1e-5)
