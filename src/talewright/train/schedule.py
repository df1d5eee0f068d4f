"""How far a run has come, and the learning rate that belongs there. Both count optimiser steps."""

from __future__ import annotations

import math
from dataclasses import dataclass

from talewright.config import ScheduleConfig, TrainConfig


@dataclass(frozen=True)
class Budget:
    """When a run ends: after so many optimiser steps, or so many seconds, whichever is first; None is no limit."""

    max_steps: int | None
    max_seconds: float | None

    @classmethod
    def of(cls, train: TrainConfig, samples_per_epoch: int, sequence_length: int) -> Budget:
        """The recipe's budgets in optimiser steps and seconds. Epochs and tokens are rounded up to whole steps."""
        batch, limits = train.micro_batch * train.accumulation, [train.max_steps]
        if train.max_epochs is not None:
            limits.append(math.ceil(train.max_epochs * samples_per_epoch / batch))
        if train.max_tokens is not None:
            limits.append(math.ceil(train.max_tokens / sequence_length / batch))
        steps = [limit for limit in limits if limit is not None]
        return cls(min(steps) if steps else None, None if train.max_minutes is None else 60 * train.max_minutes)

    def spent(self, step: int, seconds: float) -> bool:
        return (self.max_steps is not None and step >= self.max_steps) or (
            self.max_seconds is not None and seconds >= self.max_seconds
        )

    def progress(self, step: int, seconds: float, warm_step: int = 0, warm_seconds: float = 0.0) -> float:
        """The part of the budget used, 0 to 1, of what was left when the warm-up ended."""
        parts = [0.0]
        if self.max_steps is not None:
            parts.append((step - warm_step) / max(1, self.max_steps - warm_step))
        if self.max_seconds is not None:
            parts.append((seconds - warm_seconds) / max(1e-9, self.max_seconds - warm_seconds))
        return min(1.0, max(parts))


def rate_factor(schedule: ScheduleConfig, step: int, progress: float) -> float:
    """The learning rate of the update after `step` updates, as a fraction of its peak.

    It rises linearly over the warm-up; then, `progress` being the part of the rest that is used, it stays, or falls to
    `final_fraction` along half a cosine (Loshchilov & Hutter 2017, arXiv:1608.03983), a line, or a line that begins
    only where `decay_fraction` is left.
    """
    if step < schedule.warmup_steps:
        return (step + 1) / schedule.warmup_steps
    if schedule.kind == "constant":
        return 1.0
    if schedule.kind == "cosine":
        left = (1 + math.cos(math.pi * progress)) / 2
    else:
        left = 1 - progress if schedule.kind == "linear" else min(1.0, (1 - progress) / schedule.decay_fraction)
    return schedule.final_fraction + (1 - schedule.final_fraction) * left
