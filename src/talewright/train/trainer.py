"""One update of a model in training: batch, forward, backward, clip, optimizer step."""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from talewright.config import Recipe
from talewright.data import Batches, Split
from talewright.machine.busy import adapt_to_load
from talewright.model.gpt import GPT
from talewright.model.loss import IGNORED
from talewright.run.checkpoint import TrainState, load_training, load_weights
from talewright.train.compilation import should_compile
from talewright.train.distillation import Teacher, TeacherOutput
from talewright.train.distributed import DistributedContext, per_rank_batch
from talewright.train.objective import Objective
from talewright.train.optimizer import make_optimizer
from talewright.train.schedule import Budget, lr_multiplier
from talewright.train.seeds import derived_seed
from talewright.train.signals import StopSignal
from talewright.train.weight_average import WeightAverage


class Trainer:
    """A model in training, and everything that one update needs."""

    def __init__(
        self,
        recipe: Recipe,
        distributed: DistributedContext,
        batches: Batches,
        teacher: Teacher | None = None,
        initial: Path | None = None,
        checkpoint: Path | None = None,
    ) -> None:
        """Training starts at step 0, from the weights in the folder `initial` if it exists, or at a checkpoint."""
        self.recipe, self.batches, self.teacher = recipe, batches, teacher
        self.distributed = distributed
        self.fabric, self.precision = distributed.fabric, distributed.precision
        fabric = self.fabric
        self.budget = Budget.of(recipe.train, batches.samples_per_epoch, recipe.sequence_length)
        self.micro_batch, self.accumulation = per_rank_batch(recipe, fabric.world_size)
        torch.manual_seed(recipe.seed)
        self.model = GPT(recipe.model)
        optimizer = make_optimizer(self.model, recipe.optimizer, recipe.train.learning_rate)
        if initial is not None and initial.is_dir():
            load_weights(initial, self.model)
        self.average = WeightAverage(self.model, recipe.train.average) if recipe.train.average else None
        self.evaluated_model = self.average.model if self.average else self.model
        """What is evaluated, generates samples and becomes the run's model: the weights, or their average."""
        self.state = TrainState()
        if checkpoint is not None:
            self.state = load_training(checkpoint, self.model, optimizer, self.average and self.average.model)
        self.compiled = should_compile(recipe, fabric.device, self.budget)
        objective = Objective(self.model)
        module = cast(nn.Module, torch.compile(objective)) if self.compiled else objective
        self.wrapped_model, self.optimizer = fabric.setup(module, optimizer)
        self.evaluated_model.to(fabric.device)
        if teacher is not None:
            teacher.model.to(fabric.device)

    def update(self, interruptible: AbstractContextManager[None] | None = None) -> tuple[bool, dict[str, float]]:
        """Make one optimizer step, its gradient inside `interruptible`. Returns whether it was made, and its figures.

        No weight changes if the loss or the gradient is not finite. The time counts as training time either way.
        """
        started = time.perf_counter()
        tokens, figures = self._update(interruptible or nullcontext())
        seconds = time.perf_counter() - started
        self.state.seconds += seconds
        if tokens:
            figures["tokens_per_second"] = tokens / seconds
        return tokens > 0, figures

    @adapt_to_load()
    def _update(self, interruptible: AbstractContextManager[None]) -> tuple[int, dict[str, float]]:
        """The update itself. Returns the number of tokens trained on, 0 if no weight changed; and the figures."""
        state, schedule = self.state, self.recipe.schedule
        progress = self.budget.progress(state.step, state.seconds, schedule.warmup_steps, state.warm_seconds)
        multiplier = lr_multiplier(schedule, state.step, progress)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * multiplier
        with interruptible:
            losses, tokens = self.compute_gradient()
            clip = self.recipe.optimizer.clip or math.inf
            norm = self.fabric.clip_gradients(
                self.wrapped_model, self.optimizer, max_norm=clip, error_if_nonfinite=False
            )
            figures = {
                "loss": float(losses[0]),
                "learning_rate": self.recipe.train.learning_rate * multiplier,
                "gradient_norm": float(cast(Tensor, norm)),
            }
        if self.teacher is not None:
            figures["plain_loss"] = float(losses[1])
        # in fp16 the gradient overflows now and then by design, and the gradient scaler skips the update
        checked = ("loss",) if self.precision == "fp16" else ("loss", "gradient_norm")
        if not all(math.isfinite(figures[name]) for name in checked):
            self.optimizer.zero_grad()
            return 0, figures
        self.optimizer.step()
        self.optimizer.zero_grad()
        state.step += 1
        state.tokens += tokens
        if self.average is not None:
            self.average.update(self.model, state.step)
        return tokens, figures

    def compute_gradient(self) -> tuple[Tensor, int]:
        """The gradient of the mean loss over the real tokens of the whole batch, accumulated over micro-batches.

        Returns that loss, (1,), with a teacher followed by the loss without its part, (2,); and the number of tokens.
        """
        first = self.first_sample() + self.fabric.global_rank * self.micro_batch * self.accumulation
        starts = [first + i * self.micro_batch for i in range(self.accumulation)]
        micro_batches = [self.batches.samples(start, self.micro_batch) for start in starts]
        count = torch.tensor(float(sum((targets != IGNORED).sum() for _, targets in micro_batches)))
        tokens = cast(Tensor, self.fabric.all_reduce(count.to(self.fabric.device), reduce_op="sum"))
        total = torch.zeros(2 if self.teacher else 1, device=self.fabric.device)
        for i, (start, arrays) in enumerate(zip(starts, micro_batches, strict=True)):
            inputs, targets = (torch.from_numpy(array).to(self.fabric.device) for array in arrays)
            torch.manual_seed(derived_seed(self.recipe.seed, start))  # dropout, too, is a function of (seed, step)
            with self.fabric.no_backward_sync(self.wrapped_model, enabled=i < self.accumulation - 1):
                losses = torch.atleast_1d(self.wrapped_model(inputs, targets, self._teacher_output(inputs))) / tokens
                self.fabric.backward(losses[0] * self.fabric.world_size)  # gradients are averaged over processes
            total += losses.detach()
        return cast(Tensor, self.fabric.all_reduce(total, reduce_op="sum")), int(tokens)

    def _teacher_output(self, inputs: Tensor) -> TeacherOutput | None:
        if self.teacher is None:
            return None
        with self.fabric.autocast():
            return self.teacher.read(inputs)

    def first_sample(self) -> int:
        """The number of the batch's first sample in the endless data order."""
        train = self.recipe.train
        return (self.state.step + self.state.skipped) * train.micro_batch * train.accumulation

    def synchronize(self, stop: StopSignal) -> int | None:
        """Share the time and a stop signal, if one process received it, among all processes: they must end together."""
        if self.fabric.world_size == 1:
            return stop.number
        # float32 would lose a step's milliseconds after a day
        mine = torch.tensor([stop.number or 0, self.state.seconds], dtype=torch.float64, device=self.fabric.device)
        signal, self.state.seconds = cast(Tensor, self.fabric.all_reduce(mine, reduce_op="max")).tolist()
        return int(signal) or None


def training_batches(recipe: Recipe, split: Split) -> Batches:
    """The samples of a split in the recipe's order."""
    data, length = recipe.data, recipe.sequence_length
    return Batches(split, context_length=length, layout=data.layout, stride=data.stride, seed=recipe.seed)
