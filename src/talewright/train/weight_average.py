"""The running mean of a run's weights: while the learning rate is high, it is better than the newest ones."""

from __future__ import annotations

import copy

import torch

from talewright.model.gpt import GPT


class Average:
    """An exponential moving average of a model's weights (Polyak & Juditsky 1992; Tarvainen & Valpola 2017,
    arXiv:1703.01780), held as a model of its own.
    """

    def __init__(self, model: GPT, decay: float) -> None:
        self.model, self.decay = copy.deepcopy(model).requires_grad_(False), decay

    @torch.no_grad()
    def update(self, model: GPT, step: int) -> None:
        """Take in the weights after update `step`, counted from 1.

        Early on the decay is less, as of a mean over a tenth of the steps so far, so that the beginning is forgotten.
        """
        decay = min(self.decay, (1 + step) / (10 + step))
        for mean, newest in zip(self.model.parameters(), model.parameters(), strict=True):
            mean.lerp_(newest, 1 - decay)
