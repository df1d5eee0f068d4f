"""The same model, data and schedule for `lightning.Trainer`, with the losses of `talewright train`.

import lightning
from talewright.train.lightning import StoryData, StoryModule

data = StoryData(recipe, corpus.split("train"))
trainer = lightning.Trainer(max_steps=200, accumulate_grad_batches=recipe.train.accumulation, gradient_clip_val=1.0)
trainer.fit(StoryModule(recipe, max_steps=200), data)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from talewright.config import Recipe
from talewright.data import Batches, Split
from talewright.errors import UserError
from talewright.model.gpt import GPT
from talewright.model.loss import IGNORED
from talewright.train.objective import Objective
from talewright.train.optimizer import make_optimizer
from talewright.train.schedule import Budget, lr_multiplier
from talewright.train.seeds import derived_seed
from talewright.train.trainer import training_batches

try:
    import lightning
except ImportError:
    raise UserError('lightning.Trainer needs Lightning: pip install "talewright[lightning]"') from None


class StoryModule(lightning.LightningModule):
    """The recipe's model, loss, optimizer and schedule.

    The loss is the mean over each micro-batch's real tokens, because Lightning averages micro-batches: equal to the
    loop's own if all have the same number of tokens, as packed windows do.
    """

    def __init__(self, recipe: Recipe, max_steps: int) -> None:
        super().__init__()
        if unsupported := [f"train.{name}" for name in ("average", "teacher") if getattr(recipe.train, name)]:
            raise UserError(f"{' and '.join(unsupported)}: for `talewright train`, not for lightning.Trainer")
        self.recipe, self.budget = recipe, Budget(max_steps, None)
        torch.manual_seed(recipe.seed)
        self.model = GPT(recipe.model)
        self.objective = Objective(self.model)

    def training_step(self, batch: tuple[Tensor, Tensor, int]) -> Tensor:
        inputs, targets, first = batch
        torch.manual_seed(derived_seed(self.recipe.seed, first))
        loss = self.objective(inputs, targets) / (targets != IGNORED).sum()
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = make_optimizer(self.model, self.recipe.optimizer, self.recipe.train.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._lr_multiplier)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _lr_multiplier(self, step: int) -> float:
        progress = self.budget.progress(step, 0.0, self.recipe.schedule.warmup_steps)
        return lr_multiplier(self.recipe.schedule, step, progress)


class StoryData(lightning.LightningDataModule):
    """Micro-batches of a split in the recipe's order: inputs, targets, and the number of the first sample."""

    def __init__(self, recipe: Recipe, split: Split) -> None:
        super().__init__()
        self.micro_batch, self.batches = recipe.train.micro_batch, training_batches(recipe, split)

    def train_dataloader(self) -> DataLoader:
        return DataLoader(_Endless(self.batches, self.micro_batch), batch_size=None)


class _Endless(IterableDataset):
    """Micro-batches without end; the trainer's budget decides when to stop."""

    def __init__(self, batches: Batches, micro_batch: int) -> None:
        self.batches, self.micro_batch = batches, micro_batch

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, int]]:
        first = 0
        while True:
            inputs, targets = self.batches.samples(first, self.micro_batch)
            yield torch.from_numpy(inputs), torch.from_numpy(targets), first
            first += self.micro_batch
