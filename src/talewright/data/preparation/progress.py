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
        self._bar = _progress_bar(unit, total) if shown and sys.stderr.isatty() else None
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
            self._bar.stop()
        elif self._lines and kind is None:
            self._line(f" in {time.monotonic() - self._began:.1f} s")

    def _line(self, end: str) -> None:
        self._last_line = time.monotonic()
        print(f"{self.stage}: {self.done:,} {self.unit}{end}", file=sys.stderr, flush=True)


def _progress_bar(unit: str, total: int | None) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    counts = TextColumn("{task.completed:,.0f}" + (f"/{total:,}" if total else "") + f" {unit}")
    clock = TimeRemainingColumn() if total else TimeElapsedColumn()
    return Progress(TextColumn("{task.description}"), BarColumn(), counts, clock, console=Console(stderr=True))
