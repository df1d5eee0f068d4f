"""The tab that watches: the curves and the samples of a run, also while it is trained."""

from __future__ import annotations

import time
from html import escape
from pathlib import Path

import gradio as gr

from talewright.errors import UserError
from talewright.inspect.curves import curve_panels
from talewright.run.history import History, read_history
from talewright.studio import showing
from talewright.studio.inside import figure
from talewright.studio.library import Library
from talewright.studio.parts import QUIET, Studio, html, in_words

EVERY = 3.0
"""Seconds between two looks at the log."""
ALIVE = 120.0
"""A log that was written so many seconds ago at most is taken to be going on."""
SAMPLES = 6
"""Sample stories that are shown, the newest."""
Seen = tuple[str, str, str]
"""State, curves, samples, as HTML."""


class Window:
    """What is seen of the runs' logs: drawn anew only where a log has grown, once for all visitors."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self._seen: dict[str, tuple[tuple[int, ...], Seen]] = {}

    def look(self, name: str) -> Seen:
        """Raises UserError where the run is gone, or has logged nothing."""
        folder = self.library.folder(name)
        if not folder.is_dir():
            raise UserError(f"the run {name} is gone: its folder was moved or deleted while the page was open")
        stamp = tuple(_stamp(folder / file) for file in ("log.jsonl", "samples.jsonl"))
        if name not in self._seen or self._seen[name][0] != stamp:
            self._seen[name] = (stamp, _draw(name, folder))
        return self._seen[name][1]


class WatchTab:
    """The tab's parts; it looks by itself while it is open (`select`)."""

    def __init__(self, studio: Studio) -> None:
        self.studio, self.window = studio, Window(studio.library)
        names = studio.library.names
        self.run = gr.Dropdown(names, value=names[0], label="Run", filterable=False, elem_id="watched")
        self.status = html(showing.status(""), elem_id="watch-status")
        self.curves = html("", elem_id="curves")
        html("<h2>What it told while it learned</h2>")
        self.samples = html("", elem_id="samples")
        self.timer = gr.Timer(EVERY, active=False)
        self.outputs = [self.status, self.curves, self.samples]
        self.run.input(self.refresh, self.run, self.outputs, **QUIET)
        self.timer.tick(self.refresh, self.run, self.outputs, **QUIET)

    async def refresh(self, name: str) -> list[str]:
        try:
            state, curves, samples = await self.studio.look(self.window.look, name)
        except Exception as error:
            return [showing.status(in_words(error), "error"), "", ""]
        return [state, curves, samples]


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _draw(name: str, folder: Path) -> Seen:
    history = read_history(folder)
    if not history.steps:
        words = f"{name} has logged no step yet; its curves will stand here as soon as it trains."
        return showing.status(words), "", _samples(history)
    try:
        going = time.time() - (folder / "log.jsonl").stat().st_mtime < ALIVE
    except OSError:
        going = False
    panels = "".join(figure(panel) for panel in curve_panels([history]))
    return showing.status(_where(history, going)), f'<div class="panels">{panels}</div>', _samples(history)


def _where(history: History, going: bool) -> str:
    words = f"{history.name} is at step {history.steps:,}" + ("" if going else ", and is not being trained now")
    losses = [loss for loss in history.training["loss"] if loss is not None]
    scored = [loss for loss in history.evaluations["loss"] if loss is not None]
    last = [f"{losses[-1]:.2f}"] if losses else []
    last += [f"{scored[-1]:.2f} on validation"] if scored else []
    return words + (f". Its last loss was {', '.join(last)}." if last else ".")


def _samples(history: History) -> str:
    rows = [
        f"<li><h3>Step {escape(str(sample.get('step')))}</h3>{showing.story('', str(sample.get('text', '')))}</li>"
        for sample in reversed(history.samples[-SAMPLES:])
    ]
    return f'<ol class="samples">{"".join(rows)}</ol>' if rows else '<p class="hint">No sample yet.</p>'
