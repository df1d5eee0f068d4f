"""A moving average of the weights: while the learning rate is high, it has a lower loss than the newest weights."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from talewright.model.gpt import GPT


class WeightAverage:
    """An exponential moving average of a model's weights (Polyak & Juditsky 1992; Tarvainen & Valpola 2017,
    arXiv:1703.01780), held as a second model.
    """

    def __init__(self, model: GPT, decay: float) -> None:
        self.model, self.decay = copy.deepcopy(model).requires_grad_(False), decay

    @torch.no_grad()
    def update(self, model: GPT, step: int, made: Tensor) -> None:
        """Include the weights after update `step`, counted from 1; not if the update was not made (0, not 1).

        Early steps use a smaller decay, that of a mean over a tenth of the steps so far, to forget the initial weights.
        """
        decay = min(self.decay, (1 + step) / (10 + step))
        for average, newest in zip(self.model.parameters(), model.parameters(), strict=True):
            average.lerp_(newest, (1 - decay) * made)
