"""What a person sees while a sweep runs, on standard error: a live table in a terminal, a line a minute elsewhere."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from talewright.config import load_recipe
from talewright.errors import UserError, visible
from talewright.scaling.sweep.names import output_of
from talewright.scaling.sweep.results import Trial
from talewright.train.progress import clock
from talewright.train.schedule import Budget

logger = logging.getLogger(__name__)
PLAIN_SECONDS = 60.0
"""Seconds between two lines where there is no terminal."""
MARGIN = 8
"""Lines of a terminal that the table leaves to other messages."""
STATES = {"complete": "done", "pruned": "pruned", "fail": "failed", "running": "running"}
"""What Optuna's states are called here, in the order in which they are counted."""


@dataclass
class TrialProgress:
    """How far a trial's training is, by its log."""

    step: int = 0
    seconds: float = 0.0
    """Seconds trained, those before an interruption included."""
    tokens_per_second: float | None = None
    bits_per_byte: float | None = None
    training_tokens: int | None = None
    """Tokens of an epoch."""

    def add(self, event: Mapping[str, Any]) -> None:
        """Take an event of the log, which is read from its start every time."""
        if event.get("event") == "step":
            self.step, self.seconds = event.get("step", 0), event.get("seconds", 0.0)
            self.tokens_per_second = event.get("tokens_per_second")
        elif event.get("event") == "evaluation":
            self.bits_per_byte = event.get("bits_per_byte")
        elif event.get("event") == "run":
            self.training_tokens = event.get("data", {}).get("tokens")

    def budget(self, run: Path) -> Budget:
        """The budget of the run; without a limit if its recipe is not there yet."""
        try:
            recipe = load_recipe(run / "recipe.yaml")
        except UserError:
            return Budget(None, None)
        length = recipe.sequence_length
        return Budget.of(recipe.train, (self.training_tokens or 0) // length, length)


class SweepProgress:
    """Shows the trials of a sweep. Enter it for the live table."""

    def __init__(self, jobs: int, console: Console | None = None) -> None:
        self.jobs = jobs
        self.console = console or Console(stderr=True, highlight=False)
        self.live = Live(console=self.console, auto_refresh=False, transient=True)
        self.next_line = time.monotonic() + PLAIN_SECONDS

    def __enter__(self) -> SweepProgress:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.live.stop()

    def update(self, trials: Sequence[Trial], running: Mapping[Path, TrialProgress], waiting: int) -> None:
        """Show the trials that have begun, those of `running` (by run folder) with their progress."""
        if self.console.is_terminal:
            self.live.update(self._table(trials, running, waiting), refresh=True)
        elif time.monotonic() >= self.next_line:
            self.next_line = time.monotonic() + PLAIN_SECONDS
            rows = [_cells(trial, running[trial.run]) for trial in trials if trial.run in running]
            texts = [
                f"{label} at step {step}, {bits} bits/byte, {speed} tokens/s" for label, _, step, bits, speed, _ in rows
            ]
            logger.info("%s", "; ".join([self._summary(trials, running, waiting), *texts]))

    def _table(self, trials: Sequence[Trial], running: Mapping[Path, TrialProgress], waiting: int) -> Group:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in ("trial", "state", "step", "bits/byte", "tokens/s", "left"):
            first = title == "trial"
            justify = "left" if title in ("trial", "state") else "right"
            table.add_column(title, justify=justify, no_wrap=True, overflow="ellipsis" if first else "fold")
        begun = [trial for trial in trials if trial.state in STATES]
        space = max(len(running), self.console.height - MARGIN)
        shown = sorted(begun, key=lambda trial: trial.run in running)[-space:]  # finished ones go first
        for trial in shown:
            table.add_row(*(Text(visible(cell)) for cell in _cells(trial, running.get(trial.run))))
        lines = [self._summary(trials, running, waiting)]
        if len(shown) < len(begun):
            lines.insert(0, f"({len(begun) - len(shown)} more above)")
        if running:
            lines.append(f"Output of one trial: tail -f '{output_of(next(iter(running)))}'")
        return Group(table, *(Text(visible(line)) for line in lines))

    def _summary(self, trials: Sequence[Trial], running: Mapping[Path, TrialProgress], waiting: int) -> str:
        """How many trials there are in each state, and when all will be done."""
        counts = {name: sum(trial.state == state for trial in trials) for state, name in STATES.items()}
        parts = [f"{count} {name}" for name, count in (counts | {"waiting": waiting}).items() if count]
        finished = [60 * trial.attributes["minutes"] for trial in trials if "minutes" in trial.attributes]
        fractions = [(each.seconds, _fraction(each, run)) for run, each in running.items()]
        left = seconds_left(fractions, waiting, finished, self.jobs)
        return f"Trials: {', '.join(parts)}" + ("" if left is None else f" · about {clock(left)} left")


def seconds_left(
    running: Sequence[tuple[float, float]], waiting: int, finished: Sequence[float], jobs: int
) -> float | None:
    """Seconds until all trials are done; None as long as no trial shows how long one takes.

    `running` holds the seconds and the used fraction of the budget of each trial that trains; `finished` the seconds of
    complete ones; `jobs` is the number of trials that train at once.
    """
    totals = [seconds / fraction for seconds, fraction in running if fraction > 0]
    known = [*finished, *totals]
    if not known:
        return None
    mean = statistics.fmean(known)
    remaining = [seconds / fraction - seconds if fraction > 0 else mean for seconds, fraction in running]
    return max([(sum(remaining) + waiting * mean) / jobs, *remaining])


def _fraction(progress: TrialProgress, run: Path) -> float:
    return progress.budget(run).progress(progress.step, progress.seconds)


def _cells(trial: Trial, progress: TrialProgress | None) -> tuple[str, str, str, str, str, str]:
    """The trial's label, state, step, bits per byte, tokens per second and time left."""
    state = STATES.get(trial.state, trial.state)
    if progress is None:
        bits = trial.attributes.get("bits_per_byte")
        state = "interrupted, or run by another worker" if trial.state == "running" else state
        return trial.label, state, "", "" if bits is None else f"{bits:.3f}", "", ""
    budget, speed = progress.budget(trial.run), progress.tokens_per_second
    used = budget.progress(progress.step, progress.seconds)
    end = f"/{budget.max_steps:,}" if budget.max_steps is not None else f" ({100 * used:.0f} %)"
    return (
        trial.label,
        state if progress.step else "starting",
        f"{progress.step:,}{end}",
        "-" if progress.bits_per_byte is None else f"{progress.bits_per_byte:.3f}",
        "-" if speed is None else f"{speed:,.0f}",
        clock(progress.seconds / used - progress.seconds) if used > 0 else "-",
    )
