"""The tab that watches a run: its training curves and samples, also while it is trained."""

from __future__ import annotations

import time
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from talewright.live.progress import RunProgress, tiles_html
from talewright.look import chart, loss_script, loss_view
from talewright.run.history import EVALUATION, History, HistoryFollower
from talewright.studio import rendering
from talewright.studio.shared import CHARTS, DRAW, QUIET, Studio, error_sentence, html

INTERVAL = 3.0
"""Seconds between two checks of the log."""
ALIVE = 120.0
"""A run whose log was written at most this many seconds ago counts as being trained."""
SAMPLES = 6
"""Number of samples to show, the newest."""
OTHERS = {
    "bits_per_byte": "bits per byte",
    "token_accuracy": "token accuracy",
    "learning_rate": "learning rate",
    "gradient_norm": "gradient norm before clipping",
    "tokens_per_second": "tokens per second",
}
"""The metrics beside the loss, which are drawn small."""
LOSSES = f"""{loss_script()}
const show = lossView(element.querySelector(".losses"));
watch("value", () => show(props.value ?? {{}}));
show(props.value ?? {{}});"""
"""The script of the loss chart."""


class WatchTab:
    """The tab's components. It refreshes itself while it is open; what has not changed is not sent again."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self._followed: dict[str, tuple[HistoryFollower, RunProgress]] = {}
        names = studio.registry.names
        self.run = gr.Dropdown(names, value=names[0], label="Run", filterable=False, elem_id="watched")
        self.status = html(rendering.status(""), elem_id="watch-status")
        self.tiles = html("", elem_id="watch-tiles")
        self.losses = html({}, html_template=loss_view(), js_on_load=LOSSES, head=CHARTS, elem_id="curves")
        with gr.Accordion("More curves", open=False, elem_id="more-curves"):
            self.others = html("", js_on_load=DRAW, head=CHARTS)
        html("<h2>Samples from training</h2>")
        self.samples = html("", elem_id="samples")
        self.timer = gr.Timer(INTERVAL, active=False)
        self.shown = gr.State({})
        self.inputs = [self.run, self.shown]
        self.outputs = [self.shown, self.status, self.tiles, self.losses, self.others, self.samples]
        self.run.input(self.refresh, self.inputs, self.outputs, **QUIET)
        self.timer.tick(self.refresh, self.inputs, self.outputs, **QUIET)

    async def refresh(self, name: str, shown: dict[str, Any]) -> list[Any]:
        """`shown`: what this page shows, so that only what differs is sent."""
        try:
            state, *values = await self.studio.compute(self._render, name)
        except Exception as error:
            return [{}, rendering.status(error_sentence(error), "error"), "", {}, "", ""]
        same = shown.get("state") == state
        status, tiles, *drawn = values
        return [{"state": state}, status, tiles, *([gr.skip()] * len(drawn) if same else drawn)]

    def _render(self, name: str) -> list[Any]:
        """What is drawn, for comparison; then state, tiles, curves and samples of a run. Raises UserError if the run is
        gone.
        """
        run = self.studio.registry.run(name)
        follower, progress = self._followed.setdefault(name, (HistoryFollower(run.path), RunProgress(run.path)))
        history = follower.read()
        progress.read()
        size, written = _stat(run.path / "log.jsonl")
        alive = time.time() - written < ALIVE
        state = (name, size, history.steps, len(history.evaluations["step"]), len(history.samples))
        status, tiles = rendering.status(_state(history, progress, alive)), tiles_html(progress.tiles(alive))
        return [state, status, tiles, progress.points(), _other_curves(history), _samples(history)]


def _other_curves(history: History) -> str:
    """Small charts of the other metrics that the log has."""
    figures = []
    for key, label in OTHERS.items():
        columns = history.evaluations if key in EVALUATION else history.training
        pairs = _known(columns, key)
        if len(pairs) < 2:
            continue
        stride = -(-len(pairs) // 300)
        rows = [{"step": step, "value": float(f"{value:.4g}")} for step, value in pairs[::-stride][::-1]]
        tooltip = [{"field": "step", "format": ",d"}, {"field": "value", "title": label, "type": "quantitative"}]
        specification = {
            "data": {"values": rows},
            "mark": {"type": "line", "color": "@blue"},
            "encoding": {
                "x": {"field": "step", "type": "quantitative", "title": "optimizer step"},
                "y": {"field": "value", "type": "quantitative", "title": None, "scale": {"zero": False}},
                "tooltip": tooltip,
            },
        }
        drawn = chart(specification, f"{label} against the optimizer step", 180)
        figures.append(f'<div class="card"><h3>{label.capitalize()}</h3>{drawn}</div>')
    return f'<div class="charts">{"".join(figures)}</div>' if figures else '<p class="hint">Nothing to draw yet.</p>'


def _known(columns: dict[str, list[Any]], key: str) -> list[tuple[int, float]]:
    """The steps with that figure, each with its value."""
    return [(s, v) for s, v in zip(columns["step"], columns[key], strict=True) if v is not None]


def _stat(path: Path) -> tuple[int, float]:
    """Size and time of the last change; (-1, 0) if there is no such file."""
    try:
        stat = path.stat()
    except OSError:
        return -1, 0.0
    return stat.st_size, stat.st_mtime


def _state(history: History, progress: RunProgress, alive: bool) -> str:
    if not progress.steps:
        return f"{history.name} has logged no step yet; its curves will appear as soon as it trains."
    losses = [loss for loss in history.training["loss"] if loss is not None]
    validation = [loss for loss in history.evaluations["loss"] if loss is not None]
    last = [f"{losses[-1]:.2f}"] if losses else []
    last += [f"{validation[-1]:.2f} on validation"] if validation else []
    state = f"{history.name} is at step {progress.tiles(alive)['step']}"
    state += _time_left(progress) if alive else ", and is not being trained now"
    return state + (f". Its last loss was {', '.join(last)}." if last else ".")


def _time_left(progress: RunProgress) -> str:
    """The time that the rest of the budget takes; empty if the log does not say."""
    left = progress.seconds_left()
    if left is None:
        return ""
    return f", with {f'about {left / 60:,.0f}' if left >= 120 else 'less than two'} minutes left"


def _samples(history: History) -> str:
    rows = [
        f"<li><h3>Step {escape(str(sample.get('step')))}</h3>{rendering.story('', str(sample.get('text', '')))}</li>"
        for sample in reversed(history.samples[-SAMPLES:])
    ]
    return f'<ol class="samples">{"".join(rows)}</ol>' if rows else '<p class="hint">No sample yet.</p>'
