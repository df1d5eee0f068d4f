"""What a person sees while a model trains: one live line in a terminal or a notebook, else plain lines on standard
error.
"""

from __future__ import annotations

import io
import logging
import sys
import textwrap
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.text import Text

from talewright.errors import visible

PLAIN_SECONDS = 15.0
"""Seconds between two plain lines where there is no terminal."""
SAMPLE_WIDTH = 74
"""Columns of a sample where there is no terminal: a line of 80."""
NOTEBOOK_SECONDS = 0.5
"""Seconds between two drawings in a notebook."""
BARS = "▁▂▃▄▅▆▇█"
MOST_BARS_FOR_FIRST = 2
"""With more values than this, the first one, which is an untrained model's, does not set the scale of a sparkline."""
BAR_WIDTH = 20
"""Columns for the bar and its percentage."""


class LiveLines(Progress):
    """The live line of the steps, and above it lines that change: nothing of them stays on the screen."""

    above: tuple[str, ...] = ()

    def get_renderables(self) -> Iterable[RenderableType]:
        for line in self.above:
            yield Text(visible(line), style="dim", no_wrap=True, overflow="ellipsis")
        yield from super().get_renderables()


class NotebookLines(LiveLines):
    """The live lines, and above them the messages that stay, as one output of a notebook's cell that is drawn anew.

    Rich's own output there needs ipywidgets, and adds an output for each message.
    """

    kept: tuple[str, ...] = ()
    output: Any = None
    drawn = 0.0

    def start(self) -> None:
        display = import_module("IPython.display").display
        self.output = display({"text/plain": ""}, raw=True, display_id=True)

    def stop(self) -> None:
        self.refresh()

    def update(self, *task: Any, **values: Any) -> None:
        super().update(*task, **values)
        if time.monotonic() - self.drawn >= NOTEBOOK_SECONDS:
            self.refresh()

    def refresh(self) -> None:
        if self.output is not None:
            self.drawn = time.monotonic()
            self.output.update({"text/plain": self.text()}, raw=True)

    def text(self) -> str:
        """The output as plain text."""
        page = Console(file=io.StringIO(), width=self.console.width, color_system=None, force_jupyter=False)
        with page.capture() as captured:
            page.print(*map(Text, self.kept), self.get_renderable(), sep="\n")
        return captured.get()


class QuietConsole(Console):
    """Standard error, which a reader may leave, as `| head` does: then it is silent. Rich itself ends the program."""

    def __init__(self) -> None:
        super().__init__(stderr=True, highlight=False)

    def on_broken_pipe(self) -> None:
        self.quiet = True


class TrainingProgress(logging.Handler):
    """Shows the steps and, while entered, Talewright's log messages, above the live lines."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__(logging.INFO)
        self.console = console or QuietConsole()
        self.live = self.console.is_terminal or self.console.is_jupyter
        self.progress = (NotebookLines if self.console.is_jupyter else LiveLines)(
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
        self.next_plain_line = 0.0
        self._replaced: list[tuple[logging.Logger, list[logging.Handler], int]] = []

    def __enter__(self) -> TrainingProgress:
        root, ours = logging.getLogger(), logging.getLogger("talewright")
        self._replaced = [(logger, logger.handlers, logger.level) for logger in (root, ours)]
        for logger, handlers, _ in self._replaced:
            logger.handlers = [handler for handler in handlers if not _writes_to_console(handler)]
        ours.addHandler(self)
        ours.setLevel(min(ours.getEffectiveLevel(), logging.INFO))
        self.progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.progress.stop()
        for logger, handlers, level in self._replaced:
            logger.handlers = handlers
            logger.setLevel(level)

    def show_activity(self, activity: str) -> None:
        """Show what is done besides the steps, until the next step."""
        if self.live:
            self.progress.update(self.task, figures=activity, refresh=True)
        elif time.monotonic() >= self.next_plain_line:
            self.next_plain_line = time.monotonic() + PLAIN_SECONDS
            self.print(activity)

    def show_evaluations(self, losses: Sequence[float], sample: str | None) -> None:
        """Show the validation losses so far, and a sample of the model: above the live line, until the next ones;
        without one the sample is a line.
        """
        if self.live:
            lines = [f"validation {sparkline(losses)} {min(losses):.3f} at best"] if losses else []
            self.progress.above = (*([f'"{sample}"'] if sample else []), *lines)
            self.progress.refresh()
        elif sample:
            self.print(f'    "{shortened(sample, SAMPLE_WIDTH)}"')

    def finish(self) -> None:
        """Leave no activity and no sample on the live lines."""
        if self.live:
            self.progress.above = ()
            self.progress.update(self.task, figures="", refresh=True)

    def print(self, text: str) -> None:
        """Print a line that stays, above the live one."""
        if isinstance(self.progress, NotebookLines):
            self.progress.kept += (visible(text),)
            self.progress.refresh()
        else:
            with suppress(OSError):  # neither a closed terminal nor a full disk ends the run
                self.console.print(escape(visible(text)), soft_wrap=not self.live)

    def emit(self, record: logging.LogRecord) -> None:
        self.print(record.getMessage())

    def update(
        self, step: int, max_steps: int | None, fraction: float, seconds_left: float | None, **figures: Any
    ) -> None:
        """Show a step: its number, the used fraction of the budget, the time left, and its figures."""
        title = f"step {step:,}" + (f"/{max_steps:,}" if max_steps else "")
        items = _items(figures)
        if seconds_left is not None:
            items.append((0, f"{clock(seconds_left)} left"))
        if self.live:
            shown = _fit_width(items, self.console.width - len(title) - BAR_WIDTH)
            self.progress.update(self.task, description=title, completed=fraction, figures=shown)
        elif time.monotonic() >= self.next_plain_line:
            self.next_plain_line = time.monotonic() + PLAIN_SECONDS
            self.print(f"{title}  {100 * fraction:.0f} %  " + "  ".join(text for _, text in items))


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """The values as bars, from the lowest to the highest; of many, as many as there is space for, the last among them.

    The first value may be that of an untrained model, beside which the others would look alike: where it is far above
    the others, its bar is cut.
    """
    if not values:
        return ""
    stride = -(-len(values) // width)
    shown = values[::-stride][::-1]
    low = min(shown)
    high = max(shown[1:] if len(shown) > MOST_BARS_FOR_FIRST else shown)
    return "".join(BARS[round(min(1.0, (value - low) / max(high - low, 1e-9)) * (len(BARS) - 1))] for value in shown)


def shortened(text: str, width: int) -> str:
    """The beginning of a text, cut between words."""
    return textwrap.shorten(text, width, placeholder=" ...") if len(text) > width else text


def _writes_to_console(handler: logging.Handler) -> bool:
    """Whether a handler would show messages twice and tear the live line: a console's, or the command line's own."""
    return getattr(handler, "stream", None) in (sys.stdout, sys.stderr) or "talewright" in type(handler).__module__


def clock(seconds: float) -> str:
    """Minutes and seconds, or hours and minutes: 3:42, 5 h 07."""
    whole = max(0, round(seconds))
    return f"{whole // 60}:{whole % 60:02d}" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60:02d}"


def _items(figures: dict[str, Any]) -> list[tuple[int, str]]:
    """The figures as text, in order, each with a number: a narrow terminal leaves out the highest numbers first."""
    items = [(0, f"loss {figures['loss']:.3f}")]
    if figures.get("validation") is not None:
        items.append((1, f"validation {figures['validation']:.3f}"))
    items += [(3, f"lr {figures['learning_rate']:.1e}"), (4, f"norm {figures['gradient_norm']:.2f}")]
    items.append((0, f"{figures['tokens_per_second']:,.0f} tok/s"))
    if figures.get("percent_of_peak") is not None:
        items.append((2, f"({figures['percent_of_peak']:.0f} % of peak)"))
    return items


def _fit_width(items: list[tuple[int, str]], width: int) -> str:
    """The texts side by side, without those that the width has no space for."""
    lowest = max(number for number, _ in items)
    while True:
        text = "  ".join(text for number, text in items if number <= lowest)
        if len(text) <= width or lowest == 0:
            return text
        lowest -= 1
