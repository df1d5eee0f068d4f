"""What a running sweep shows, in a terminal and elsewhere."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from talewright.scaling.sweep import progress as module
from talewright.scaling.sweep.progress import SweepProgress, TrialProgress, seconds_left
from talewright.scaling.sweep.results import Trial
from tests.scaling.conftest import RECIPE


def trial(name: str, state: str, folder: Path, **attributes: float) -> Trial:
    run = folder / f"{name}-seed-0"
    return Trial(number=0, point={"point": name}, seed=0, run=run, state=state, attributes=attributes)


@pytest.fixture
def trials(tmp_path: Path) -> tuple[list[Trial], dict[Path, TrialProgress]]:
    trials = [trial("base", "complete", tmp_path, bits_per_byte=1.25, minutes=2.0), trial("wide", "running", tmp_path)]
    trials[1].run.mkdir()
    (trials[1].run / "recipe.yaml").write_text(RECIPE)
    running = TrialProgress()
    running.add({"event": "evaluation", "step": 3, "bits_per_byte": 1.5})
    running.add({"event": "step", "step": 3, "seconds": 60.0, "tokens_per_second": 5432.1})
    return trials, {trials[1].run: running}


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_shows_every_trial_and_which_file_to_follow(trials: Any, width: int):
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=width, height=30, color_system=None)
    console.print(SweepProgress(1, console)._table(trials[0], trials[1], 2))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= width
    done, running = (line.split() for line in text.splitlines()[1:3])
    assert done == ["base,", "seed", "0", "done", "1.250"]
    assert running == ["wide,", "seed", "0", "running", "3/6", "1.500", "5,432", "1:00"]
    assert "1 done, 1 running, 2 waiting · about 5:00 left" in text
    assert "wide-seed-0.out'" in text.replace("\n", "")


def test_elsewhere_a_line_a_minute(trials: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    progress = SweepProgress(1, Console(file=io.StringIO()))
    for second in range(0, 150, 5):
        now[0] = second
        progress.update(trials[0], trials[1], 2)
    assert len(caplog.messages) == 2
    assert caplog.messages[0].endswith("wide, seed 0 at step 3/6, 1.500 bits/byte, 5,432 tokens/s")


@given(
    st.lists(st.tuples(st.floats(1, 1e4), st.floats(0.01, 1)), max_size=4),
    st.integers(0, 20),
    st.floats(1, 1e4),
    st.integers(1, 4),
)
def test_the_time_left_is_right_where_all_trials_take_the_same(running, waiting: int, total: float, jobs: int):
    running = [(total * used, used) for _, used in running][:jobs]
    expected = (sum(total - seconds for seconds, _ in running) + waiting * total) / jobs
    left = seconds_left(running, waiting, [total], jobs)
    assert left is not None
    assert left == pytest.approx(max([expected, *(total - seconds for seconds, _ in running)]), abs=1e-6)
    assert seconds_left([(0.0, 0.0)], waiting, [], jobs) is None
