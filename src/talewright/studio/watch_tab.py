"""The tab that watches a run: its training curves and samples, also while it is trained."""

from __future__ import annotations

import time
from html import escape
from pathlib import Path

import gradio as gr

from talewright.config import TrainConfig
from talewright.inspect.curves import MAX_POINTS, curve_panels
from talewright.run.history import History, HistoryFollower
from talewright.studio import rendering
from talewright.studio.inspection_tab import figure
from talewright.studio.shared import QUIET, Studio, error_sentence, html

INTERVAL = 3.0
"""Seconds between two checks of the log."""
ALIVE = 120.0
"""A run whose log was written at most this many seconds ago counts as being trained."""
SAMPLES = 6
"""Number of samples to show, the newest."""


class WatchTab:
    """The tab's components. It refreshes itself while it is open; a log is drawn again only when its curves would look
    different, once for all users.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self._followed: dict[str, HistoryFollower] = {}
        self._drawn: dict[str, tuple[tuple[int, ...], str]] = {}
        names = studio.registry.names
        self.run = gr.Dropdown(names, value=names[0], label="Run", filterable=False, elem_id="watched")
        self.status = html(rendering.status(""), elem_id="watch-status")
        self.curves = html("", elem_id="curves")
        html("<h2>Samples from training</h2>")
        self.samples = html("", elem_id="samples")
        self.timer = gr.Timer(INTERVAL, active=False)
        self.outputs = [self.status, self.curves, self.samples]
        self.run.input(self.refresh, self.run, self.outputs, **QUIET)
        self.timer.tick(self.refresh, self.run, self.outputs, **QUIET)

    async def refresh(self, name: str) -> list[str]:
        try:
            return await self.studio.compute(self._render, name)
        except Exception as error:
            return [rendering.status(error_sentence(error), "error"), "", ""]

    def _render(self, name: str) -> list[str]:
        """State, curves and samples of a run, as HTML. Raises UserError if the run is gone."""
        run = self.studio.registry.run(name)
        history = self._followed.setdefault(name, HistoryFollower(run.path)).read()
        state = (history.steps, len(history.evaluations["step"]), _stat(run.path / "log.jsonl")[0])
        if name not in self._drawn or _differs(state, self._drawn[name][0]):
            curves = "".join(figure(panel) for panel in curve_panels([history])) if history.steps else ""
            self._drawn[name] = state, f'<div class="panels">{curves}</div>'
        alive = time.time() - _stat(run.path / "log.jsonl")[1] < ALIVE
        return [rendering.status(_state(history, run.recipe.train, alive)), self._drawn[name][1], _samples(history)]


def _differs(state: tuple[int, ...], drawn: tuple[int, ...]) -> bool:
    """Whether a log of these steps, evaluations and bytes looks different from the one that was drawn."""
    (steps, *others), (before, *others_before) = state, drawn
    if others[0] != others_before[0] or not before <= steps:
        return True
    return others != others_before and (steps - before) * MAX_POINTS >= steps


def _stat(path: Path) -> tuple[int, float]:
    """Size and time of the last change; (-1, 0) if there is no such file."""
    try:
        stat = path.stat()
    except OSError:
        return -1, 0.0
    return stat.st_size, stat.st_mtime


def _state(history: History, train: TrainConfig, alive: bool) -> str:
    if not history.steps:
        return f"{history.name} has logged no step yet; its curves will appear as soon as it trains."
    losses = [loss for loss in history.training["loss"] if loss is not None]
    validation = [loss for loss in history.evaluations["loss"] if loss is not None]
    last = [f"{losses[-1]:.2f}"] if losses else []
    last += [f"{validation[-1]:.2f} on validation"] if validation else []
    state = f"{history.name} is at step {history.steps:,}" + (f" of {train.max_steps:,}" if train.max_steps else "")
    state += f", {_time_left(history, train)}" if alive else ", and is not being trained now"
    return state.removesuffix(", ") + (f". Its last loss was {', '.join(last)}." if last else ".")


def _time_left(history: History, train: TrainConfig) -> str:
    """The time that the rest of the budget takes at the speed so far; empty if the log does not say."""
    tokens, seconds = (history.training[name][-1] or 0 for name in ("tokens", "seconds"))
    budgets = ((history.steps, train.max_steps), (tokens, train.max_tokens), (seconds / 60, train.max_minutes))
    used = max((done / budget for done, budget in budgets if budget), default=0)
    if not used:
        return ""
    left = max(0, seconds * (1 - used) / used)
    return f"with {f'about {left / 60:,.0f}' if left >= 120 else 'less than two'} minutes left"


def _samples(history: History) -> str:
    rows = [
        f"<li><h3>Step {escape(str(sample.get('step')))}</h3>{rendering.story('', str(sample.get('text', '')))}</li>"
        for sample in reversed(history.samples[-SAMPLES:])
    ]
    return f'<ol class="samples">{"".join(rows)}</ol>' if rows else '<p class="hint">No sample yet.</p>'
