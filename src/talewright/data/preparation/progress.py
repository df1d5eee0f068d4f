"""The progress of a preparation on standard error: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

LINE_SECONDS = 10.0
"""Between two lines."""


class StageProgress:
    """Progress of one stage: `with StageProgress("reading", "stories", total) as progress: progress.advance(1)`."""

    def __init__(self, stage: str, unit: str, total: int | None = None, shown: bool = True) -> None:
        self.stage, self.unit, self.total, self.done = stage, unit, total, 0
        self._bar = _progress_bar(unit) if shown and sys.stderr.isatty() else None
        self._task = self._bar.add_task(stage, total=total) if self._bar else None
        self._lines = shown and self._bar is None
        self._began = self._last_line = time.monotonic()

    def advance(self, amount: int) -> None:
        self.done += amount
        if self._bar:
            self._bar.advance(self._task, amount)
        elif self._lines and time.monotonic() - self._last_line > LINE_SECONDS:
            self._line(f" ({self.done / self.total:.0%})" if self.total else "")

    def __enter__(self) -> StageProgress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            if kind is None:  # a stage of unknown length is complete too
                self._bar.update(self._task, total=self.done, completed=self.done)
            self._bar.stop()
        elif self._lines and kind is None:
            self._line(f" in {time.monotonic() - self._began:.1f} s")

    def _line(self, end: str) -> None:
        self._last_line = time.monotonic()
        print(f"{self.stage}: {self.done:,} {self.unit}{end}", file=sys.stderr, flush=True)


def _progress_bar(unit: str) -> Any:
    """A bar whose columns have the same widths in every stage."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.progress import Task as RichTask

    class Counts(TextColumn):
        def render(self, task: RichTask) -> Any:
            of = f"/{task.total:,.0f}" if task.total and not task.finished else ""
            self.text_format = f"{task.completed:,.0f}{of} {unit}".rjust(28)
            return super().render(task)

    class Clock(TextColumn):
        def render(self, task: RichTask) -> Any:
            self.text_format = _clock(task.finished_time, task.time_remaining).rjust(9)
            return super().render(task)

    stage, bar = TextColumn("{task.description:<20}"), BarColumn(bar_width=16)
    return Progress(stage, bar, Counts(""), Clock(""), console=Console(stderr=True))


def _clock(finished: float | None, left: float | None) -> str:
    """Seconds that a finished stage took, or what is left of another."""
    if finished is not None:
        return f"{finished:.1f} s" if finished < 60 else f"{finished / 60:.1f} min"
    if left is None:
        return ""
    return f"{int(left) // 60}:{int(left) % 60:02} left"
