from __future__ import annotations

import json
import struct
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
    log = RunLog(run, tensorboard=False)
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
    assert wide == 1320  # two panels of 660
    assert high > 1000 if evaluations else high > 700


def test_evaluations_are_drawn_at_their_steps(tmp_path):
    """The lines of the panels hold the log's own numbers."""
    write_log(tmp_path, 300, 3)
    panels = curve_panels([read_history(tmp_path)])
    assert panels[0].title == "The loss fell from 5.00 to 5.00 on validation in 300 steps"
    with plotting() as plt:
        for panel in panels:
            figure, axes = plt.subplots()
            panel.draw(axes)
            label = axes.get_ylabel()
            lines = [line.get_xydata().tolist() for line in axes.get_lines()]
            if label == "loss, nats per token":
                assert [[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]] in lines
                assert [[float(step), 5.0 / step] for step in range(1, 301)] in lines
            elif label == "bits per byte":
                assert lines == [[[1.0, 2.0], [2.0, 2.0], [3.0, 2.0]]]
            plt.close(figure)
    assert len(panels) == 6


def test_the_headline_of_an_overfitted_run_says_that_the_loss_rose(tmp_path):
    write_log(tmp_path, 427, 0)
    log = RunLog(tmp_path, tensorboard=False)
    for step, loss in ((0, 7.65), (120, 3.4), (240, 4.4), (427, 5.3)):
        log.write("evaluation", step=step, loss=loss, perplexity=2.7**loss, bits_per_byte=loss / 2)
    log.close()
    titles = [panel.title for panel in curve_panels([read_history(tmp_path)])]
    assert titles[0] == ("Overfitted: the validation loss was lowest, 3.40, at step 120, and rose to 5.30 by step 427")
    assert "Bits per byte was lowest at 1.7 and rose to 2.65: comparable across tokenizers" in titles
    assert not any("fell" in title for title in titles)
    assert draw_curves(tmp_path).exists()


@given(values=st.lists(st.floats(-10, 10), min_size=1, max_size=400))
def test_smoothing_is_a_mean_over_a_fiftieth_around(values):
    side = len(values) // 100
    found = smooth(values)
    for i in range(len(values)):
        reach = min(side, i, len(values) - 1 - i)
        assert found[i] == pytest.approx(sum(values[i - reach : i + reach + 1]) / (2 * reach + 1), abs=1e-9)


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
