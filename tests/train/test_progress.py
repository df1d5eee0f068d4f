from __future__ import annotations

import io
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from talewright.train.progress import BARS, TrainingProgress, clock, shortened, sparkline

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


@pytest.mark.parametrize("gone", ["reader", "room"])
def test_progress_that_cannot_be_written_does_not_end_the_training(gone, monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    if gone == "room":
        if not Path("/dev/full").exists():
            pytest.skip("this system has no /dev/full")
        os.dup2(os.open("/dev/full", os.O_WRONLY), writing)
    reached_the_end = False
    with suppress(OSError), os.fdopen(writing, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        with TrainingProgress() as progress:
            logging.getLogger("talewright.train.metrics").info("step 0 loss 8.3")
            progress.update(1, 10, 0.1, 3.0, **FIGURES)
            progress.show_evaluations([8.3], "Once upon a time")
            reached_the_end = True
    assert reached_the_end


def test_in_a_notebook_one_output_holds_the_messages_once_and_the_newest_step(monkeypatch):
    shown: list[str] = []

    class Output:
        def update(self, data, raw):
            assert raw
            shown.append(data["text/plain"])

    def display(data, raw, display_id):
        assert (raw, display_id, shown) == (True, True, [])
        return Output()

    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    stream = io.StringIO()
    progress = TrainingProgress(Console(file=stream, force_jupyter=True, width=80))
    with progress:
        logging.getLogger("talewright.train.metrics").info("step 0 [bold] loss \x1b[2J8.3")
        for step in range(1, 101):
            progress.update(step, 100, step / 100, 3.0, **FIGURES)
        progress.show_evaluations([8.3, 2.8, 2.4], "Once upon a time there was a dog. " * 20)
        drawn = len(shown)
        progress.finish()
    assert drawn < 20  # not for every step
    message, sample, losses, bar = shown[drawn - 1].splitlines()
    assert message == "step 0 [bold] loss ␛[2J8.3"
    assert sample.startswith('"Once upon a time')
    assert len(sample) == 80
    assert losses == "validation ██▁ 2.400 at best"
    assert bar.startswith("step 100/100 ━━")
    assert bar.rstrip().endswith("100 % loss 2.500  38,100 tok/s  0:03 left")
    assert shown[-1].splitlines()[0] == message
    assert len(shown[-1].splitlines()) == 2  # the last drawing is what a saved notebook keeps
    assert stream.getvalue() == ""


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


@given(values=st.lists(st.floats(0.1, 10), min_size=1, max_size=200))
def test_a_sparkline_has_the_highest_bar_where_the_value_is_highest(values):
    shown = sparkline(values)
    assert 1 <= len(shown) <= 40
    assert set(shown) <= set(BARS)
    if len(values) <= 40:
        assert len(shown) == len(values)
        assert shown[values.index(min(values))] == BARS[0]
        rest = values[1:] if len(values) > 2 else values
        if max(rest) > 1.01 * min(values):
            assert shown[values.index(max(rest), len(values) - len(rest))] == BARS[-1]


def test_an_untrained_loss_does_not_flatten_a_sparkline():
    assert sparkline([8.3, 2.8, 2.4, 2.0]) == "██▅▁"
    assert sparkline([8.3, 2.8]) == "█▁"
    assert sparkline([]) == ""
    assert sparkline([2.0]) == "▁"


def test_a_sample_is_cut_between_words():
    assert shortened("once upon a time", 16) == "once upon a time"
    assert shortened("once upon a time there was", 16) == "once upon a ..."


def test_samples_do_not_stay_in_a_terminal_and_are_one_line_elsewhere():
    sample = "Once upon a time there was a dog. " * 20
    terminal, plain = io.StringIO(), io.StringIO()
    progress = TrainingProgress(Console(file=terminal, force_terminal=True, width=80, color_system=None))
    with progress:
        progress.show_evaluations([8.3, 2.8, 2.4], sample)
        assert "Once upon a time" in terminal.getvalue()
        assert "██▁ 2.400 at best" in terminal.getvalue()
        lines = [line for line in terminal.getvalue().splitlines() if "Once upon" in line]
        assert all(line.count("Once upon") <= 3 for line in lines)  # a line of 80
        progress.finish()
        assert progress.progress.above == ()
    with TrainingProgress(Console(file=plain, force_terminal=False, width=80)) as other:
        other.show_evaluations([8.3, 2.8, 2.4], sample)
    (line,) = plain.getvalue().splitlines()
    assert line.startswith('    "Once upon')
    assert line.endswith(' ..."')
    assert len(line) <= 80
