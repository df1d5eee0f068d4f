"""How far a preparation is: a bar on a terminal, a line now and then elsewhere; always on standard error."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

EVERY = 10.0  # seconds between two plain lines


class Progress:
    """Shows phases that follow one another: `with progress.phase("reading", "stories") as phase: phase.advance(1)`."""

    def __init__(self, shown: bool = True) -> None:
        self.shown = shown
        self.bar = shown and sys.stderr.isatty()

    def phase(self, what: str, unit: str, total: int | None = None) -> Phase:
        if not self.shown:
            return Phase(what, unit, total)
        return BarPhase(what, unit, total) if self.bar else LinePhase(what, unit, total)

    def say(self, line: str) -> None:
        if self.shown:
            print(line, file=sys.stderr, flush=True)


class Phase:
    """One phase; this one shows nothing."""

    def __init__(self, what: str, unit: str, total: int | None) -> None:
        self.what, self.unit, self.total, self.done = what, unit, total, 0

    def advance(self, amount: int) -> None:
        self.done += amount

    def __enter__(self) -> Phase:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class LinePhase(Phase):
    """A line when it ends, and one every so often before."""

    def __init__(self, what: str, unit: str, total: int | None) -> None:
        super().__init__(what, unit, total)
        self.began = self.said = time.monotonic()

    def advance(self, amount: int) -> None:
        self.done += amount
        if time.monotonic() - self.said > EVERY:
            self._line("")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._line(f" in {time.monotonic() - self.began:.1f} s")

    def _line(self, end: str) -> None:
        self.said = time.monotonic()
        share = f" ({self.done / self.total:.0%})" if self.total and not end else ""
        print(f"{self.what}: {self.done:,} {self.unit}{share}{end}", file=sys.stderr, flush=True)


class BarPhase(Phase):
    """A bar, with the time left where the end is known."""

    def __init__(self, what: str, unit: str, total: int | None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        super().__init__(what, unit, total)
        figures = "{task.completed:,.0f}" + (f"/{total:,}" if total else "") + f" {unit}"
        columns: list[Any] = [TextColumn("{task.description}"), BarColumn(), TextColumn(figures)]
        columns.append(TimeRemainingColumn() if total else TimeElapsedColumn())
        self.rich = Progress(*columns, console=Console(stderr=True))
        self.task = self.rich.add_task(what, total=total)

    def advance(self, amount: int) -> None:
        self.done += amount
        self.rich.advance(self.task, amount)

    def __enter__(self) -> Phase:
        self.rich.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.rich.stop()
