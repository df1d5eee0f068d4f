"""What the tab Watch says of a run: its step, its budget, and the time that is left."""

from __future__ import annotations

import dataclasses

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
