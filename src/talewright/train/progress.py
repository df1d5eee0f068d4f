"""What a person sees while a model trains: one live line in a terminal, plain lines elsewhere, on standard error."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

PLAIN_SECONDS = 15.0
"""Time between two plain lines where there is no terminal."""
BAR_ROOM = 20
"""Columns kept for the bar and its percentage."""


class Display:
    """Shows the steps as they are made. Used as a context, so that the terminal is handed back whatever happens."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self.live = self.console.is_terminal
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TaskProgressColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[figures]}"),
            console=self.console,
            disable=not self.live,
            expand=True,
            refresh_per_second=4,
        )
        self.task = self.progress.add_task("starting", total=1.0, figures="")
        self.plain_due = 0.0

    def __enter__(self) -> Display:
        self.progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.progress.stop()

    def say(self, text: str) -> None:
        """A line that stays."""
        self.console.print(escape(text), soft_wrap=not self.live)

    def step(self, step: int, max_steps: int | None, part: float, seconds_left: float | None, **figures: Any) -> None:
        """One update: its number, the part of the budget used, the time left, and the figures to show."""
        words = f"step {step:,}" + (f"/{max_steps:,}" if max_steps else "")
        found = _figures(figures)
        if seconds_left is not None:
            found.append((0, f"{clock(seconds_left)} left"))
        if self.live:
            shown = _fitting(found, self.console.width - len(words) - BAR_ROOM)
            self.progress.update(self.task, description=words, completed=part, figures=shown)
        elif time.monotonic() >= self.plain_due:
            self.plain_due = time.monotonic() + PLAIN_SECONDS
            self.say(f"{words}  {100 * part:.0f} %  " + "  ".join(text for _, text in found))


def clock(seconds: float) -> str:
    """Minutes and seconds, or hours and minutes: 3:42, 5 h 07."""
    whole = max(0, round(seconds))
    return f"{whole // 60}:{whole % 60:02d}" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60:02d}"


def _figures(figures: dict[str, Any]) -> list[tuple[int, str]]:
    """The figures as text, in order, each with a number: the higher, the sooner a narrow terminal leaves it out."""
    found = [(0, f"loss {figures['loss']:.3f}")]
    if figures.get("validation") is not None:
        found.append((1, f"validation {figures['validation']:.3f}"))
    found += [(3, f"lr {figures['learning_rate']:.1e}"), (4, f"norm {figures['gradient_norm']:.2f}")]
    found.append((0, f"{figures['tokens_per_second']:,.0f} tok/s"))
    if figures.get("percent_of_peak") is not None:
        found.append((2, f"({figures['percent_of_peak']:.0f} % of peak)"))
    return found


def _fitting(found: list[tuple[int, str]], room: int) -> str:
    """The texts that have room side by side, the least important left out."""
    least = max(number for number, _ in found)
    while True:
        text = "  ".join(text for number, text in found if number <= least)
        if len(text) <= room or least == 0:
            return text
        least -= 1
