"""The learning-rate schedule."""

from dataclasses import dataclass
from typing import Literal

from talewright.config.checks import CountOrZero, Fraction, PositiveFraction, Section


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig(Section, prefix="schedule."):
    """Settings of the learning-rate schedule. It ends with the training budget."""

    kind: Literal["constant", "cosine", "linear", "wsd"] = "cosine"
    """Shape of the learning rate after the warmup. wsd: constant, then a linear decay at the end (Hu et al. 2024,
    arXiv:2404.06395)."""
    warmup_steps: CountOrZero = 0
    """Number of optimizer steps over which the learning rate rises linearly from 0."""
    final_fraction: Fraction = 0.1
    """Learning rate at the end, as a fraction of its peak."""
    decay_fraction: PositiveFraction = 0.2
    """With kind wsd: fraction of the budget, after the warmup, over which the learning rate decays."""
