"""The objective that training compiles, wraps and differentiates: language modeling, with or without a teacher."""

from __future__ import annotations

from torch import Tensor, nn

from talewright.model.gpt import GPT
from talewright.model.loss import cross_entropy
from talewright.train.distillation import TeacherOutput, distillation_loss


def language_modeling_loss(model: GPT, tokens: Tensor, targets: Tensor) -> Tensor:
    """The summed loss, in nats, of the model's predictions of `targets` (B, T) after `tokens` (B, T)."""
    return cross_entropy(model.hidden(tokens), model.output_weight, targets)


class Objective(nn.Module):
    """What one micro-batch contributes to the loss, as a module around the model."""

    def __init__(self, model: GPT) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, targets: Tensor, teacher: TeacherOutput | None = None) -> Tensor:
        """The summed loss; with a teacher two values, (2,): the distillation loss, and the one without the teacher."""
        if teacher is None:
            return language_modeling_loss(self.model, tokens, targets)
        return distillation_loss(self.model.hidden(tokens), self.model.output_weight, targets, teacher)
