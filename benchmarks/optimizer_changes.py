"""Ideas about the optimizer: what Muon does with a gradient, and the learning rate's schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from talewright.config import Recipe
from talewright.model import gpt
from talewright.train import muon, trainer
from talewright.train.trainer import Trainer


def newton_schulz_steps(steps: int) -> Callable[[Recipe], None]:
    def change(recipe: Recipe) -> None:
        muon.STEPS = steps

    return change


def normuon(recipe: Recipe) -> None:
    """NorMuon (Li et al. 2025, arXiv:2510.05491): the rows of an update are brought to one size by a running mean of
    their squares, and the whole to the size it had.
    """
    plain = muon.newton_schulz
    means: dict[torch.Size, Tensor] = {}

    def normalized(matrices: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
        x = plain(matrices, dtype).float()
        square = x.square().mean(2, keepdim=True)
        mean = means.setdefault(x.shape, square.clone())
        mean.lerp_(square, 0.05)
        y = x / (mean.sqrt() + 1e-8)
        return y * (x.norm(dim=(1, 2), keepdim=True) / y.norm(dim=(1, 2), keepdim=True))

    muon.newton_schulz = normalized


def cautious_decay(recipe: Recipe) -> None:
    """Muon's weight decay only where the update, too, makes the weight smaller (arXiv:2510.12402)."""
    update = muon.Muon.update

    def cautious(self: Any, skipped: Any) -> None:
        group = self.param_groups[0]
        decay, group["weight_decay"] = group["weight_decay"], 0.0
        before = [p.detach().clone() for p in group["params"]]
        update(self, skipped)
        with torch.no_grad():
            for p, old in zip(group["params"], before, strict=True):
                p -= group["lr"] * decay * old * ((p - old) * old < 0)
        group["weight_decay"] = decay

    muon.Muon.update = cautious


def ema_nesterov(size: float = 0.6, memory: float = 0.98) -> Callable[[Recipe], None]:
    """From a sixth to three quarters of the steps, the gradient is that of the weights moved on along the average of
    their last changes (arXiv:2605.25395).
    """

    def change(recipe: Recipe) -> None:
        launch, steps = Trainer._launch, recipe.train.max_steps or 1
        averages: list[Tensor] = []

        @torch.no_grad()
        def ahead(self: Any, started: float, interruptible: Any, signal: int | None) -> None:
            parameters = list(self.model.parameters())
            if not averages:
                averages.extend(torch.zeros_like(p) for p in parameters)
            before = [p.clone() for p in parameters]
            if steps / 6 <= self.step < steps * 0.76:
                for p, average in zip(parameters, averages, strict=True):
                    p.add_(average, alpha=size * self._learning_rate_multiplier())
            with torch.enable_grad():
                launch(self, started, interruptible, signal)
            for p, old, average in zip(parameters, before, averages, strict=True):
                average.lerp_(p - old, 1 - memory)

        Trainer._launch = ahead

    return change


def hyperball(rate: float = 0.02, hidden: float = 1.5) -> Callable[[Recipe], None]:
    """Each projection keeps the Frobenius norm it begins with, and turns by the same angle in each step, in place of
    weight decay (Wen et al. 2026, arXiv:2606.16899). Weights begin as wide as torch's linear layers, those of the
    feed-forward layer wider.
    """

    def change(recipe: Recipe) -> None:
        init = gpt.GPT.init_weights
        norms: dict[int, Tensor] = {}

        def begin(self: Any) -> None:
            init(self)
            for block in self.blocks:
                for linear, gain in ((block.attention.qkv, 1.0), (block.attention.out, 1.25), (block.mlp.up, hidden)):
                    nn.init.normal_(linear.weight, 0.0, gain * (3 * linear.in_features) ** -0.5)
                nn.init.normal_(block.mlp.down.weight, 0.0, 2 * hidden * (3 * block.mlp.down.in_features) ** -0.5)

        @torch.no_grad()
        def update(self: Any, skipped: Tensor | None) -> None:
            group = self.param_groups[0]
            group["weight_decay"] = 0.0
            by_shape = self._update_momentum(group, skipped)
            stacks = (torch.stack([gradient for _, gradient in pairs]) for pairs in by_shape.values())
            angle = rate * group["lr"] / group["initial_lr"]
            for pairs, orthogonal in zip(by_shape.values(), self._orthogonalize(stacks), strict=True):
                for (weight, _), update in zip(pairs, orthogonal.float(), strict=True):
                    norm = norms.setdefault(weight.data_ptr(), weight.norm())
                    moved = weight - update * (angle * norm / update.norm())
                    weight.copy_(moved * (norm / moved.norm()))

        gpt.GPT.init_weights, muon.Muon.update = begin, update

    return change


def muon_squared(recipe: Recipe) -> None:
    """What is orthogonalized is first divided by the root of a running mean of squared gradients (arXiv:2604.09967)."""
    plain = muon.Muon._update_momentum
    squares: dict[int, Tensor] = {}

    def scaled(self: Any, group: Any, skipped: Any) -> Any:
        for p in group["params"]:
            square = squares.setdefault(id(p), p.grad.square())
            square.lerp_(p.grad.square(), 0.05)
        by_shape = plain(self, group, skipped)
        roots: dict[torch.Size, list[Tensor]] = {}
        for p in group["params"]:
            for part in squares[id(p)].sqrt().split(list(self.split_sizes[p])):
                roots.setdefault(part.shape, []).append(part)
        return {
            shape: [
                (weight, update / (root + 1e-12)) for (weight, update), root in zip(pairs, roots[shape], strict=True)
            ]
            for shape, pairs in by_shape.items()
        }

    muon.Muon._update_momentum = scaled


def power_decay(power: float) -> Callable[[Recipe], None]:
    """The learning rate falls as 1 - progress ** power: faster at first (modded-nanogpt's pull requests 343, 345)."""

    def change(recipe: Recipe) -> None:
        def multiplier(schedule: Any, step: int, progress: float) -> float:
            return (step + 1) / schedule.warmup_steps if step < schedule.warmup_steps else 1 - progress**power

        trainer.lr_multiplier = multiplier

    return change
