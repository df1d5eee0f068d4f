"""Overfitting, noticed while a model trains."""

from __future__ import annotations

import math

from talewright.run.checkpoint import TrainState
from talewright.run.history import clearly_above

CONFIRMED = 2
"""Evaluations in a row that must be clearly above the best one."""


class OverfittingMonitor:
    """Notices when the validation loss rises while the training loss falls.

    A resumed run starts a new one, which may notice the same rise once more.
    """

    def __init__(self) -> None:
        self.losses: list[float] = []  # of the steps since the last evaluation
        self.training_at_best = math.inf  # their mean at the best evaluation
        self.rises = 0

    def log_step(self, loss: float) -> None:
        """Note the training loss of a step."""
        self.losses.append(loss)

    def log_evaluation(self, state: TrainState, loss: float) -> bool:
        """Note an evaluation that `state` includes. Returns whether it confirms a rise, once after each best one."""
        training = sum(self.losses) / len(self.losses) if self.losses else math.inf
        self.losses.clear()
        if state.best_loss is None or state.best_step == state.step:
            self.training_at_best, self.rises = training, 0
            return False
        rising = clearly_above(loss, state.best_loss) and training < self.training_at_best
        if self.rises < CONFIRMED:
            self.rises = self.rises + 1 if rising else 0
            return self.rises == CONFIRMED
        return False
