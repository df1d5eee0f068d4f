from __future__ import annotations

import io
import logging
import sys

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


@pytest.mark.parametrize("live", [True, False])
def test_messages_are_shown_once_by_the_progress_and_handlers_come_back(live):
    logger, out, console = logging.getLogger("talewright"), io.StringIO(), logging.StreamHandler(sys.stderr)
    kept = logging.StreamHandler(io.StringIO())
    former = logger.handlers, logger.level
    logger.handlers = [console, kept]
    logger.setLevel(logging.WARNING)
    try:
        with TrainingProgress(Console(file=out, force_terminal=live, width=300, color_system=None)):
            assert console not in logger.handlers
            logging.getLogger("talewright.train.metrics").info("step [4] loss 2.5 " + "long " * 50)
        assert out.getvalue().count("step [4] loss 2.5 " + "long " * 49) == 1
        assert "step [4]" in kept.stream.getvalue()
        assert logger.handlers == [console, kept]
        assert logger.level == logging.WARNING
    finally:
        logger.handlers, logger.level = former
