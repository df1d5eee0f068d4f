"""The objective that training compiles, wraps and differentiates: language modeling, with or without a teacher."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from talewright.model.gpt import GPT, Block
from talewright.model.loss import RealTargets, cross_entropy
from talewright.train.compilation import compiled
from talewright.train.distillation import TeacherOutput, distillation_loss


class Objective(nn.Module):
    """What one micro-batch contributes to the loss, as a module around the model.

    Blocks are compiled, one for all: what lies around them, the loss above all, is already a few large operations (see
    model/loss.py).
    """

    def __init__(self, model: GPT, compile_model: bool = False) -> None:
        super().__init__()
        self.model = model
        self.hidden = partial(model.hidden, run=compiled(Block.forward)) if compile_model else model.hidden

    def forward(
        self, tokens: Tensor, targets: Tensor, real: RealTargets = None, teacher: TeacherOutput | None = None
    ) -> Tensor:
        """The summed loss, in nats, of the model's predictions of `targets` (B, T) after `tokens` (B, T). With a
        teacher two values, (2,): the distillation loss, and the one without the teacher.
        """
        hidden, weight = self.hidden(tokens), self.model.output_weight
        if teacher is None:
            return cross_entropy(hidden, weight, targets, real=real)
        return distillation_loss(hidden, weight, targets, teacher, real)
