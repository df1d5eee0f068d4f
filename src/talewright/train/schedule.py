"""How much of its budget a run has used, and the learning rate and the evaluations due there."""

from __future__ import annotations

import math
from dataclasses import dataclass

from talewright.config import ScheduleConfig, TrainConfig
from talewright.data import Batches

EVALUATIONS = 20
"""Evaluations of a run whose recipe does not set how often, besides that of the untrained model."""


@dataclass(frozen=True)
class Budget:
    """A run ends after this number of optimizer steps or seconds, whichever comes first. None is no limit."""

    max_steps: int | None
    max_seconds: float | None

    @classmethod
    def of(cls, train: TrainConfig, data: Batches | int, sequence_length: int) -> Budget:
        """The recipe's budgets in optimizer steps and seconds. Epochs and tokens are rounded up to whole steps.

        `data` is what it trains on; or only the number of samples in an epoch, each then taken for `sequence_length`
        tokens, padding included.
        """
        batch, limits = train.micro_batch * train.accumulation, [train.max_steps]
        if train.max_epochs is not None:
            epoch = data if isinstance(data, int) else data.samples_per_epoch
            limits.append(math.ceil(train.max_epochs * epoch / batch))
        if train.max_tokens is not None:
            known = not isinstance(data, int)
            samples = data.samples_with(train.max_tokens) if known else train.max_tokens / sequence_length
            limits.append(math.ceil(samples / batch))
        steps = [limit for limit in limits if limit is not None]
        return cls(min(steps) if steps else None, None if train.max_minutes is None else 60 * train.max_minutes)

    def spent(self, step: int, seconds: float) -> bool:
        return (self.max_steps is not None and step >= self.max_steps) or (
            self.max_seconds is not None and seconds >= self.max_seconds
        )

    def progress(self, step: int, seconds: float, warmup_steps: int = 0, warmup_seconds: float = 0.0) -> float:
        """The used fraction, 0 to 1, of the budget that remained when the warmup ended."""
        fractions = [0.0]
        if self.max_steps is not None:
            fractions.append((step - warmup_steps) / max(1, self.max_steps - warmup_steps))
        if self.max_seconds is not None:
            fractions.append((seconds - warmup_seconds) / max(1e-9, self.max_seconds - warmup_seconds))
        return min(1.0, max(fractions))

    def evaluations(self, step: int, seconds: float, every: int | None) -> float:
        """Evaluations due by then: one each `every` steps, or if that is None, EVALUATIONS over the budget."""
        return EVALUATIONS * self.progress(step, seconds) if every is None else step / every


def lr_multiplier(schedule: ScheduleConfig, step: int, progress: float) -> float:
    """The learning rate of the update after `step` updates, as a fraction of its peak.

    It rises linearly during the warmup. After it, with `progress` the used fraction of the remaining budget, it stays
    constant or falls to `final_fraction`: along half a cosine (Loshchilov & Hutter 2017, arXiv:1608.03983), linearly,
    or (wsd) linearly over the last `decay_fraction` of the budget.
    """
    if step < schedule.warmup_steps:
        return (step + 1) / schedule.warmup_steps
    if schedule.kind == "constant":
        return 1.0
    if schedule.kind == "cosine":
        remaining = (1 + math.cos(math.pi * progress)) / 2
    else:
        remaining = 1 - progress if schedule.kind == "linear" else min(1.0, (1 - progress) / schedule.decay_fraction)
    return schedule.final_fraction + (1 - schedule.final_fraction) * remaining
