from __future__ import annotations

import io

import pytest
from rich.console import Console

from talewright.train.progress import TrainingProgress, clock

FIGURES = {"loss": 2.5, "validation": 2.7, "learning_rate": 1e-3, "gradient_norm": 0.5, "tokens_per_second": 38100.0}


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_the_line_fits_the_terminal_and_always_has_loss_speed_and_time_left(width):
    out = io.StringIO()
    progress = TrainingProgress(Console(file=out, force_terminal=True, width=width, color_system=None))
    with progress:
        progress.update(1200, 3300, 0.36, 222.0, percent_of_peak=51.0, **FIGURES)
    last = next(line for line in reversed(out.getvalue().replace("\r", "\n").splitlines()) if "loss" in line)
    for figure in ("step 1,200/3,300", "36 %", "loss 2.500", "38,100 tok/s", "3:42 left"):
        assert figure in last
    assert ("norm 0.50" in last) == (width == 140)


def test_without_a_terminal_there_are_plain_lines_now_and_then():
    out = io.StringIO()
    progress = TrainingProgress(Console(file=out, force_terminal=False, width=80))
    with progress:
        for step in range(1, 50):
            progress.update(step, None, 0.1, None, **FIGURES)
    assert out.getvalue().splitlines() == [
        "step 1  10 %  loss 2.500  validation 2.700  lr 1.0e-03  norm 0.50  38,100 tok/s"
    ]


def test_a_clock_says_minutes_then_hours():
    assert [clock(seconds) for seconds in (0.4, 59.6, 222, 3600, 18420)] == ["0:00", "1:00", "3:42", "1 h 00", "5 h 07"]
