"""What the tab Watch says of a run: its step, its budget, and the time that is left."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from talewright.config import TrainConfig, load_recipe, recipe_to_yaml
from talewright.live.progress import RunProgress, tiles_html
from talewright.look.losses import MOST
from talewright.run.history import read_history
from tests.studio.conftest import write_log

pytest.importorskip("gradio", reason="the studio needs Gradio: the extra `studio`")
STEP_TOKENS = 256 * TrainConfig().micro_batch
"""Of a step of `progress_of`'s recipe."""


def progress_of(run: Path, **budgets: float) -> RunProgress:
    """The progress of a run with a log and these budgets."""
    train = dataclasses.replace(TrainConfig(), **budgets)  # pyright: ignore[reportArgumentType]
    recipe = dataclasses.replace(load_recipe("quickstart"), train=train)
    assert recipe.sequence_length == 256
    (run / "recipe.yaml").write_text(recipe_to_yaml(recipe), encoding="utf-8")
    progress = RunProgress(run)
    progress.read()
    return progress


@pytest.fixture
def state(tmp_path: Path) -> Callable[..., str]:
    from talewright.studio.watch_tab import _state

    write_log(tmp_path, 20)  # 0.1 s a step

    def said(alive: bool = True, **budgets: float) -> str:
        words = _state(read_history(tmp_path), progress_of(tmp_path, **budgets), alive)
        return words.removeprefix(tmp_path.name).split(". Its")[0]

    return said


def test_the_budget_and_the_time_left_are_those_of_the_budget_that_ends_first(state):
    assert state(max_steps=100) == " is at step 20 of 100, with less than two minutes left"
    assert state(max_tokens=STEP_TOKENS * 2000) == " is at step 20 of 2,000, with about 3 minutes left"
    assert state(max_minutes=0.05) == " is at step 20, with less than two minutes left"
    assert state(max_steps=100, max_minutes=10) == " is at step 20 of 100, with less than two minutes left"
    assert state(max_steps=10) == " is at step 20 of 10, with less than two minutes left"


def test_without_a_budget_no_time_is_said(state):
    assert state() == " is at step 20"
    assert state(alive=False, max_steps=100) == " is at step 20 of 100, and is not being trained now"


def test_the_tiles_hold_the_runs_figures(tmp_path):
    write_log(tmp_path, 20)
    progress = progress_of(tmp_path, max_steps=100)
    shown = dict(re.findall("<dt>(.*?)</dt><dd.*?>(.*?)</dd>", tiles_html(progress.tiles())))
    assert shown == {
        "Step": "20 of 100",
        "Time left": "0:08",
        "Tokens per second": "640",
        "Training loss": "0.250",
        "Best validation loss": "2.500",
        "Its bits per byte": "1.100",
    }
    assert progress.tiles(running=False)["left"] == "-"


def test_a_run_that_is_resumed_has_the_pace_of_its_own_time(tmp_path, monkeypatch):
    """The hours in which it was not trained do not count."""
    now = 0.0
    monkeypatch.setattr("talewright.live.progress.time.monotonic", lambda: now)
    write_log(tmp_path, 20)
    progress = progress_of(tmp_path, max_steps=100)
    assert progress.tiles()["left"] == "0:08"
    assert progress.tiles(running=False)["left"] == "-"
    with (tmp_path / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps({"event": "step", "step": 50, "seconds": 5.0, "loss": 0.1}) + "\n")
    progress.read()
    now = 3600.0
    assert progress.tiles()["left"] == "0:05"


def test_a_long_log_is_sent_as_means_of_several_steps(tmp_path):
    write_log(tmp_path, 2 * MOST)
    losses = progress_of(tmp_path).points()
    assert len(losses["training"]) == MOST
    assert losses["training"][0] == (2, pytest.approx(5 * (1 + 1 / 2) / 2, abs=1e-5))
    assert losses["validation"] == [(2 * MOST, 2.5)]
