from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.errors import UserError
from talewright.inspect.curves import CURVES, curve_panels, draw_curves, save_curves, smooth
from talewright.inspect.figures.style import plotting
from talewright.run.history import read_history
from talewright.run.log import RunLog


def write_log(run: Path, steps: int, evaluations: int) -> None:
    log = RunLog(run)
    for step in range(1, steps + 1):
        figures = {"loss": 5.0 / step, "learning_rate": 1e-3, "tokens_per_second": 1000.0, "gradient_norm": 1.0}
        log.write("step", step=step, tokens=64 * step, seconds=0.1 * step, **figures)
    for number in range(1, evaluations + 1):
        log.write("evaluation", step=number, loss=5.0, perplexity=148.4, bits_per_byte=2.0)
    log.close()


@pytest.mark.parametrize(("steps", "evaluations"), [(1, 0), (1, 1), (300, 3)])
def test_curves_are_drawn_from_the_log_however_short(tmp_path, steps, evaluations):
    write_log(tmp_path, steps, evaluations)
    path = draw_curves(tmp_path)
    assert path == tmp_path / "plots" / "training_curves.png"
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG")
    wide, high = struct.unpack(">II", data[16:24])
    assert wide == 1320
    assert high > 1000 if steps > 1 else high > 400


def test_evaluations_are_drawn_at_their_steps(tmp_path):
    """The lines of the panels, and the rows of their charts, hold the log's own numbers."""
    write_log(tmp_path, 300, 3)
    panels = curve_panels([read_history(tmp_path)])
    with plotting() as plt:
        for panel in panels:
            figure, axes = plt.subplots()
            panel.draw(axes)
            lines = [line.get_xydata().tolist() for line in axes.get_lines()]
            if axes.get_ylabel() == "loss, nats per token":
                assert [[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]] in lines
                assert [[float(step), 5.0 / step] for step in range(1, 301)] in lines
            plt.close(figure)
    assert [panel.title.split(":")[0] for panel in panels[1:]] == [
        "Learning rate",
        "Gradient norm before clipping",
        "Speed",
    ]
    assert panels[0].chart is not None
    rows = panels[0].chart["datasets"]["lines"]
    evaluated = [(row["step"], row["loss"], row["bits_per_byte"]) for row in rows if row["line"] == "validation"]
    assert evaluated == [(1, 5.0, 2.0), (2, 5.0, 2.0), (3, 5.0, 2.0)]
    batches = [(row["step"], row["loss"]) for row in rows if row["line"] == "each training batch"]
    assert batches == [(step, pytest.approx(5.0 / step, rel=1e-4)) for step in range(1, 301)]


def write_run(run: Path, losses: Sequence[tuple[int, float]], steps: int, training: float = 3.0) -> None:
    """A log of so many steps at a training loss, and of evaluations (step, loss)."""
    log = RunLog(run)
    evaluations = dict(losses)
    for step in range(steps + 1):
        if step:
            figures = {"learning_rate": 1e-3 * step, "tokens_per_second": 1000.0, "gradient_norm": 1.0}
            log.write("step", step=step, tokens=64 * step, seconds=0.1 * step, loss=training, **figures)
        if step in evaluations:
            loss = evaluations[step]
            figures = {"loss": loss, "perplexity": 2.7**loss, "bits_per_byte": loss / 2, "token_accuracy": step / 1000}
            log.write("evaluation", step=step, **figures, seconds=0.1 * step)
    log.close()


@pytest.mark.parametrize(
    ("losses", "training", "headline"),
    [
        ([], 3.0, "Training loss: 3.00 at step 60 so far; no evaluation yet"),
        ([(0, 8.0)], 3.0, "Training loss: 3.00 at step 60 so far; validation loss before training: 8.00"),
        ([(0, 8.0), (30, 3.5)], 3.0, "Validation loss fell from 8.00 (before training) to 3.50 at step 30 so far"),
        ([(0, 8.0), (60, 3.2)], 3.0, "Validation loss fell from 8.00 (before training) to 3.20 at step 60"),
        ([(30, 3.5), (60, 3.2)], 3.0, "Validation loss fell from 3.50 (at step 30) to 3.20 at step 60"),
        ([(60, 3.2)], 3.0, "Validation loss: 3.20 at step 60"),
        (
            [(0, 3.0), (30, 3.1), (60, 3.2)],
            3.0,
            "Validation loss has not fallen: from 3.00 (before training) to 3.20 at step 60",
        ),
        (
            [(0, 8.0), (20, 3.4), (60, 5.3)],
            0.3,
            "Overfitted: validation loss was lowest, 3.40, at step 20, and rose to 5.30 by step 60",
        ),
        (
            [(0, 8.0), (20, 3.4), (40, 5.3)],
            0.3,
            "Overfitting: validation loss was lowest, 3.40, at step 20, and rose to 5.30 by step 40",
        ),
        (
            [(0, 8.0), (60, 3.4)],
            0.3,
            "Overfitted: training loss, 0.30, is far below validation loss, 3.40",
        ),
    ],
)
def test_the_headline_of_the_loss_names_its_series_and_the_state_of_the_run(tmp_path, losses, training, headline):
    write_run(tmp_path, losses, 60, training)
    assert curve_panels([read_history(tmp_path)])[0].title == headline


def test_a_run_that_trains_claims_no_end(tmp_path):
    write_run(tmp_path, [(0, 8.0), (30, 3.5)], 60)
    titles = [panel.title for panel in curve_panels([read_history(tmp_path)])]
    assert titles[1:] == [
        "The top prediction is right for 3.0 % of the validation tokens at step 30 so far",
        "Learning rate: 6.0e-02 at step 60, at most 6.0e-02 so far",
        "Gradient norm before clipping: median 1.00, largest 1.00 so far",
        "Speed: 1,000 tokens per second (median so far)",
    ]


def test_a_single_evaluation_has_no_panel_of_accuracy(tmp_path):
    write_run(tmp_path, [(0, 8.0)], 60)
    assert not any("prediction" in panel.title for panel in curve_panels([read_history(tmp_path)]))


def test_accuracy_is_drawn_in_percent(tmp_path):
    write_run(tmp_path, [(0, 8.0), (60, 3.5)], 60)
    panel = curve_panels([read_history(tmp_path)])[1]
    with plotting() as plt:
        figure, axes = plt.subplots()
        panel.draw(axes)
        assert axes.get_lines()[0].get_ydata().tolist() == [0.0, 6.0]
        assert axes.get_ylabel().endswith("%")
        plt.close(figure)
    assert panel.chart is not None
    assert [row["token_accuracy"] for row in panel.chart["datasets"]["lines"]] == [0.0, 6.0]


def test_runs_are_compared_in_bits_per_byte_not_in_nats_of_their_own_tokens(tmp_path):
    """The run with the lower loss per token has shorter tokens, and is worse."""
    for name, loss, bits in (("short", 2.0, 1.5), ("long", 3.0, 1.2)):
        (tmp_path / name).mkdir()
        log = RunLog(tmp_path / name)
        log.write("step", step=1, tokens=64, seconds=0.1, loss=loss)
        log.write("evaluation", step=1, loss=loss, perplexity=2.7**loss, bits_per_byte=bits)
        log.close()
    panels = curve_panels([read_history(tmp_path / name) for name in ("short", "long")])
    assert panels[0].title == "long reaches the lowest validation loss: 1.200 bits per byte against 1.500"


def test_the_loss_of_a_student_is_drawn_without_the_teachers_part(tmp_path):
    log = RunLog(tmp_path)
    for step in (1, 2):
        log.write("step", step=step, tokens=64 * step, seconds=0.1, loss=1.0, plain_loss=2.5)
    log.close()
    assert read_history(tmp_path).training["loss"] == [2.5, 2.5]


@given(values=st.lists(st.floats(-10, 10), min_size=1, max_size=400))
def test_smoothing_is_a_mean_over_a_fiftieth_around(values):
    side, found = len(values) // 100, smooth(values)
    for i in range(len(values)):
        near = values[i - min(side, i) : i + min(side, i) + 1]
        assert found[i] == pytest.approx(sum(near) / len(near), abs=1e-9)


def test_a_run_without_a_step_is_an_error(tmp_path):
    (tmp_path / "log.jsonl").write_text("")
    with pytest.raises(UserError, match="has no step yet"):
        draw_curves(tmp_path)


@pytest.mark.parametrize(("missing", "whole"), [("null", 0), ("NaN", 2)])
def test_curves_go_on_where_a_figure_is_not_a_number(tmp_path, missing, whole):
    """The first `whole` of five steps and evaluations have figures."""
    lines = []
    for step in range(1, 6):
        figures = dict.fromkeys(("loss", *CURVES), 2.0 if step <= whole else None)
        common = {"step": step, "tokens": 9 * step, **figures}
        lines += [json.dumps({"event": kind, **common}) for kind in ("step", "evaluation")]
    (tmp_path / "log.jsonl").write_text("\n".join(lines).replace("null", missing) + "\n")
    panels = curve_panels([read_history(tmp_path)])
    assert not any("nan" in panel.title.lower() for panel in panels)
    assert (panels[0].title == "No loss is a number") == (whole == 0)
    draw_curves(tmp_path)
    save_curves([read_history(tmp_path)] * 2, tmp_path / "two.png")
