"""What the tab Watch says of a run: its step, its budget, and the time that is left."""

from __future__ import annotations

import dataclasses
import re

import pytest

from talewright.config import TrainConfig
from talewright.run.history import read_history
from tests.studio.conftest import write_log

pytest.importorskip("gradio", reason="the studio needs Gradio: the extra `studio`")


@pytest.fixture
def state(tmp_path):
    from talewright.studio.watch_tab import _state

    write_log(tmp_path, 20)  # 0.1 s and 64 tokens a step

    def said(alive: bool = True, **budgets: float) -> str:
        train = dataclasses.replace(TrainConfig(), **budgets)  # pyright: ignore[reportArgumentType]
        return _state(read_history(tmp_path), train, alive).removeprefix(tmp_path.name).split(". Its")[0]

    return said


def test_the_budget_and_the_time_left_are_those_of_the_budget_that_ends_first(state):
    assert state(max_steps=100) == " is at step 20 of 100, with less than two minutes left"
    assert state(max_tokens=64 * 2000) == " is at step 20, with about 3 minutes left"
    assert state(max_minutes=0.05) == " is at step 20, with less than two minutes left"
    assert state(max_steps=100, max_minutes=10) == " is at step 20 of 100, with less than two minutes left"
    assert state(max_steps=10) == " is at step 20 of 10, with less than two minutes left"


def test_without_a_budget_that_the_log_knows_no_time_is_said(state):
    assert state(max_epochs=3) == " is at step 20"
    assert state(alive=False, max_steps=100) == " is at step 20 of 100, and is not being trained now"


def test_the_tiles_hold_the_runs_figures(tmp_path):
    from talewright.studio.watch_tab import _tiles

    write_log(tmp_path, 20)
    history, train = read_history(tmp_path), dataclasses.replace(TrainConfig(), max_steps=100)
    shown = dict(re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", _tiles(history, train, alive=True)))
    assert shown == {
        "step": "20 of 100",
        "tokens per second": "640",
        "time left": "0:08",
        "training loss": "0.250",
        "best validation loss": "2.500 at step 20",
        "bits per byte there": "1.100",
        "tokens read": "1,280",
    }
    assert "time left" not in _tiles(history, train, alive=False)
    (tmp_path / "log.jsonl").unlink()
    assert _tiles(read_history(tmp_path), train, alive=False) == ""


def test_a_long_log_is_sent_as_means_of_several_steps(tmp_path):
    from talewright.look.losses import MOST
    from talewright.studio.watch_tab import _losses

    write_log(tmp_path, 2 * MOST)
    losses = _losses(read_history(tmp_path))
    assert len(losses["training"]) == MOST
    assert losses["training"][0] == (2, pytest.approx(5 * (1 + 1 / 2) / 2, abs=1e-5))
    assert losses["validation"] == [(2 * MOST, 2.5)]
