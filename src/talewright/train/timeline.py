"""When a run keeps light checkpoints for its timeline: at steps that are log-spaced over its budget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from talewright.model.gpt import GPT
from talewright.run.checkpoint import TrainState
from talewright.run.timeline import save_light
from talewright.train.schedule import Budget


class TimelineSaver:
    """Writes `points` light checkpoints, the first after the first step and the last after the last one. A model learns
    most at the start, so the steps are log-spaced: 1, 2, 3, 5, 8, ...

    With a budget in minutes, the number of steps is estimated from the pace so far.
    """

    def __init__(self, run: Path, points: int, budget: Budget, saved: Sequence[int], step: int) -> None:
        """`saved`: the steps of the points that the run has; `step`: that from which training continues."""
        self.run, self.budget, self.start = run, budget, step
        self.left, self.last = max(0, points - len(saved)), max(saved, default=0)
        self.first = 0, 0.0  # the step and seconds after the first step of this session, which may compile

    def due(self, step: int, seconds: float) -> bool:
        """Whether the model after `step` steps and so many seconds of training is one of the points."""
        if self.left == 0 or step <= max(self.last, self.start):
            return False
        if not self.first[0]:
            self.first = step, seconds
        return step >= next_point(self.last, self._last_step(step, seconds), self.left)

    def save(self, model: GPT, state: TrainState, write: bool) -> None:
        """Save the model as a point; where `write` is False, another process does. Raises UnsavedError if it cannot be
        written: the point is then left out.
        """
        self.left, self.last = self.left - 1, state.step
        if write:
            save_light(self.run, state.step, model)

    def _last_step(self, step: int, seconds: float) -> int:
        """The step at which the budget will be spent."""
        budget, (first, first_seconds) = self.budget, self.first
        if budget.spent(step, seconds):
            return step
        limits = [budget.max_steps] if budget.max_steps is not None else []
        if budget.max_seconds is not None:
            passed = (seconds - first_seconds, step - first) if step > first else (seconds, step)
            pace = passed[0] / passed[1]  # seconds per step
            limits.append(step + math.ceil((budget.max_seconds - seconds) / max(pace, 1e-9)))
        return min(limits, default=step)


def next_point(last: int, total: int, left: int) -> int:
    """The first of `left` steps that are log-spaced from the point `last` (0: there is none) to the step `total`, which
    is one of them. Near the start they are whole steps of their own, so the later ones are closer together.
    """
    if left == 1:
        return max(total, last + 1)
    return max(last + 1, round(last * (total / last) ** (1 / left))) if last else 1
