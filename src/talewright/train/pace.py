"""Whether a budget in minutes is long enough on a machine that may be busy."""

from __future__ import annotations

import math
import time

from talewright.run.checkpoint import TrainState
from talewright.train.schedule import Budget

SECONDS, FRACTION = 20.0, 0.1
"""Training time until the pace is judged: the shorter of the two, after the first step, which may compile."""
MIN_STEPS = 2
BUSY_SHARE = 0.7
"""A thread that gets a core for less of the time shares it with other programs."""


class PaceMonitor:
    """Warns once, early in a run, if its budget in minutes will buy so few steps that the model learns little."""

    def __init__(self, budget: Budget, warmup_steps: int, expected_steps: float | None) -> None:
        """`expected_steps`: what the budget buys on this machine while nothing else runs, as far as it is known."""
        self.budget, self.warmup_steps, self.expected_steps = budget, warmup_steps, expected_steps
        self._start: tuple[int, float] | None = None  # step and seconds
        self._clock = (0.0, 0.0)  # seconds, and those in which this thread computed
        self._done = budget.max_seconds is None

    def log_step(self, state: TrainState) -> str | None:
        """Note a step. Returns the warning, when the pace is known and too slow."""
        limit = self.budget.max_seconds
        if self._done or limit is None:
            return None
        if self._start is None:
            self._start, self._clock = (state.step, state.seconds), (time.perf_counter(), time.thread_time())
            return None
        steps, seconds = state.step - self._start[0], state.seconds - self._start[1]
        if steps < MIN_STEPS or seconds < min(SECONDS, FRACTION * limit):
            return None
        self._done = True
        left = max(0.0, limit - state.seconds)
        return self._judge(round(state.step + left * steps / seconds), limit / 60)

    def _judge(self, steps: int, minutes: float) -> str | None:
        """The warning, if so many steps in so many minutes are too few."""
        most = self.budget.max_steps
        few = min(self.warmup_steps, most or math.inf)
        expected = self.expected_steps and min(self.expected_steps, most or math.inf)
        if steps > few and (not expected or steps >= expected / 10):
            return None
        wanted = max(4 * few, (expected or 0) / 2)
        instead = f"about {expected:,.0f} expected" if expected and steps < expected / 10 else ""
        warmup = f"{self.warmup_steps:,} of warm-up" if steps <= few else ""
        than = " and ".join(filter(None, (instead, warmup)))
        share = (time.thread_time() - self._clock[1]) / max(1e-9, time.perf_counter() - self._clock[0])
        busy = f" Other programs keep the processor busy: training gets a core {share:.0%} of the time."
        more = minutes * wanted / max(1, steps)
        return (
            f"At this pace {minutes:g} minutes are enough for {steps:,} steps, fewer than {than}: the model will learn "
            f"little.{busy if share < BUSY_SHARE else ''} Give it about {_rounded(more)} minutes, or a smaller model"
        )


def _rounded(minutes: float) -> str:
    """Rounded up to one digit."""
    size = 10.0 ** math.floor(math.log10(max(minutes, 1)))
    return f"{math.ceil(minutes / size) * size:g}"
