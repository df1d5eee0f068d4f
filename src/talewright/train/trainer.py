"""One update of a model in training: batch, forward, backward, clip, optimizer step."""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from talewright.config import Recipe
from talewright.data import Batches, Split
from talewright.machine.busy import adapt_to_load
from talewright.model.gpt import GPT
from talewright.model.loss import IGNORED, RealTargets
from talewright.run.checkpoint import TrainState, load_training, load_weights
from talewright.train.compilation import should_compile
from talewright.train.cuda_graph import GradientGraph, python_is_the_limit, record_gradient
from talewright.train.distillation import Teacher, TeacherOutput
from talewright.train.distributed import DistributedContext, per_rank_batch
from talewright.train.objective import Objective
from talewright.train.optimizer import make_optimizer
from talewright.train.results import LaunchedStep, StepQueue, StepResult
from talewright.train.schedule import Budget, lr_multiplier
from talewright.train.seeds import derived_seed
from talewright.train.weight_average import WeightAverage


class Trainer:
    """A model in training, and everything that one update needs.

    An update never waits for the device: what decides about values, such as whether a gradient is finite, is decided
    on the device, and the host reads it from the results later (see results.py).
    """

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
        self.budget = Budget.of(recipe.train, batches, recipe.sequence_length)
        self.micro_batch, self.accumulation = per_rank_batch(recipe, fabric.world_size)
        torch.manual_seed(recipe.seed)
        self.model = GPT(recipe.model)
        self.optimizer = make_optimizer(self.model, recipe.optimizer, recipe.train.learning_rate, self.precision)
        if initial is not None and initial.is_dir():
            load_weights(initial, self.model)
        self.average = WeightAverage(self.model, recipe.train.average) if recipe.train.average else None
        self.evaluated_model = self.average.model if self.average else self.model
        """What is evaluated, generates samples and becomes the run's model: the weights, or their average."""
        if self.model.bigrams is not None:  # a GPU would wait for the number of rows; processes send whole gradients
            self.model.bigrams.sparse = fabric.device.type == "cpu" and fabric.world_size == 1
        self.compiled = should_compile(recipe, fabric.device, self.budget)
        self.wrapped_model, _ = fabric.setup(Objective(self.model, self.compiled), self.optimizer)
        self.evaluated_model.to(fabric.device)
        if teacher is not None:
            teacher.model.to(fabric.device)
        self.scaler: torch.amp.GradScaler | None = getattr(fabric.strategy.precision, "scaler", None)
        self.state = TrainState()
        if checkpoint is not None:  # now that the model is on its device, where the optimizer's state belongs
            self.state = load_training(checkpoint, self.model, self.optimizer, self.average and self.average.model)
            self._restore_loss_scale()
        self._queue, self._seconds, self._unreported = StepQueue(fabric.device), self.state.seconds, 0.0
        alone = fabric.world_size == 1 and teacher is None
        self._may_record = fabric.device.type == "cuda" and alone and python_is_the_limit(recipe, self.micro_batch)
        self._graph: GradientGraph | None = None

    @property
    def step(self) -> int:
        """The steps launched so far, those that turn out not to have been made included."""
        return self.state.step + len(self._queue)

    def first_sample(self) -> int:
        """The number of the next batch's first sample in the endless data order."""
        train = self.recipe.train
        return (self.step + self.state.skipped) * train.micro_batch * train.accumulation

    def update(
        self, interruptible: AbstractContextManager[None] | None = None, signal: int | None = None
    ) -> list[StepResult]:
        """Launch one optimizer step, its gradient inside `interruptible`; returns the results that the host has now.

        No weight changes if the loss or the gradient is not finite. The time counts as training time either way. A stop
        signal that this process received is shared among all processes, which must end together.
        """
        started = time.perf_counter()
        self._launch(started, interruptible or nullcontext(), signal)
        return self._results(started)

    def finish(self) -> list[StepResult]:
        """Wait for the steps launched, and return their results."""
        return self._results(time.perf_counter(), everything=True)

    @adapt_to_load()
    def _launch(self, started: float, interruptible: AbstractContextManager[None], signal: int | None) -> None:
        first, rate = self.first_sample(), self._learning_rate_multiplier()
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * rate
        train = self.recipe.train
        tokens = self.batches.count_tokens(first, train.micro_batch * train.accumulation)
        with interruptible:
            losses = self.compute_gradient(first, tokens)
            norm = self._clip()
        made = torch.isfinite(losses[0]) & torch.isfinite(norm)
        self._step(made)
        if self.average is not None:
            self.average.update(self.model, self.step + 1, made.float())
        names = ["loss", "gradient_norm", "made"] + (["plain_loss"] if self.teacher is not None else [])
        values = torch.stack([losses[0], norm, made.float(), *losses[1:]])
        shared = self._shared(signal, started)
        figures = {"learning_rate": train.learning_rate * rate}
        self._queue.append(LaunchedStep(figures, names, values, shared, first, tokens, None))

    def _learning_rate_multiplier(self) -> float:
        state, schedule = self.state, self.recipe.schedule
        progress = self.budget.progress(self.step, state.seconds, schedule.warmup_steps, state.warm_seconds)
        return lr_multiplier(schedule, self.step, progress)

    def compute_gradient(self, first: int, tokens: int) -> Tensor:
        """The gradient of the mean loss over the `tokens` real targets of the batch that begins with sample `first`,
        accumulated over micro-batches.

        Returns that loss, (1,), with a teacher followed by the loss without its part, (2,).
        """
        self._record_once()
        first += self.fabric.global_rank * self.micro_batch * self.accumulation
        total = torch.zeros(2 if self.teacher else 1, device=self.fabric.device)
        count = torch.full((), float(tokens), device=self.fabric.device)
        for i in range(self.accumulation):
            start = first + i * self.micro_batch
            inputs, targets, real = self._micro_batch(start)
            torch.manual_seed(derived_seed(self.recipe.seed, start))  # dropout, too, is a function of (seed, step)
            if self._graph is not None and isinstance(real, slice):
                total += self._graph.replay(inputs, targets, count)
                continue
            with self.fabric.no_backward_sync(self.wrapped_model, enabled=i < self.accumulation - 1):
                total += self._add_gradient(inputs, targets, count, real)
        return cast(Tensor, self.fabric.all_reduce(total, reduce_op="sum"))

    def _add_gradient(self, inputs: Tensor, targets: Tensor, count: Tensor, real: RealTargets = slice(None)) -> Tensor:
        """Add a micro-batch's part of the gradient to that of the parameters; returns its part of the losses."""
        losses = self.wrapped_model(inputs, targets, real, self._teacher_output(inputs))
        losses = torch.atleast_1d(losses) / count
        self.fabric.backward(losses[0] * self.fabric.world_size)  # gradients are averaged over processes
        return losses.detach()

    def _record_once(self) -> None:
        """Record a micro-batch's gradient as a CUDA graph, before the first one."""
        if self._may_record:
            self._may_record = False
            shape = self.micro_batch, self.recipe.sequence_length
            parameters = [p for p in self.model.parameters() if p.requires_grad]
            self._graph = record_gradient(self._add_gradient, shape, self.fabric.device, parameters)

    def _micro_batch(self, start: int) -> tuple[Tensor, Tensor, RealTargets]:
        """Inputs, targets, and which targets are real. The copy to a CUDA device goes on while the host does."""
        inputs, targets = self.batches.samples(start, self.micro_batch)
        real = targets.ravel() != IGNORED
        arrays = [inputs, targets] + ([] if real.all() else [np.flatnonzero(real)])
        tensors = [torch.from_numpy(array) for array in arrays]
        if self.fabric.device.type == "cuda":
            tensors = [tensor.pin_memory() for tensor in tensors]
        tensors = [tensor.to(self.fabric.device, non_blocking=True) for tensor in tensors]
        return tensors[0], tensors[1], tensors[2] if len(tensors) == 3 else slice(None)

    def _teacher_output(self, inputs: Tensor) -> TeacherOutput | None:
        if self.teacher is None:
            return None
        with self.fabric.autocast():
            return self.teacher.read(inputs)

    def _clip(self) -> Tensor:
        """Remove fp16's scale from the gradient, and shorten it to the recipe's norm. Returns its norm before that."""
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        parameters = [p for group in self.optimizer.param_groups for p in group["params"] if group.get("clipped", True)]
        return torch.nn.utils.clip_grad_norm_(parameters, self.recipe.optimizer.clip or math.inf)

    def _step(self, made: Tensor) -> None:
        """Change the weights if `made`. Not even the decision waits: optimizers skip a step on the device where their
        `found_inf` is 1, as torch's GradScaler has it.
        """
        if made.device.type != "mps":
            cast(Any, self.optimizer).found_inf = 1 - made.float()
            self.optimizer.step()
        elif made:  # torch's fused AdamW reads found_inf only on CPU and CUDA devices
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=self._graph is None)  # a graph adds to the tensors that it knows
        if self.scaler is not None:
            self.scaler.update()

    def _shared(self, signal: int | None, started: float) -> Tensor:
        """The highest signal and training time of all processes."""
        if self.fabric.world_size == 1:
            return torch.tensor([signal or 0, 0.0], dtype=torch.float64)
        seconds = self._seconds + time.perf_counter() - started  # float32 would lose a step's milliseconds after a day
        mine = torch.tensor([signal or 0, seconds], dtype=torch.float64, device=self.fabric.device)
        return cast(Tensor, self.fabric.all_reduce(mine, reduce_op="max"))

    def _results(self, started: float, everything: bool = False) -> list[StepResult]:
        ready = self._queue.read(everything)
        seconds = time.perf_counter() - started
        self._seconds, self._unreported = self._seconds + seconds, self._unreported + seconds
        results = [self._result(step) for step in ready]
        if not everything and not all(result.updated for result in results):
            results += [self._result(step) for step in self._queue.read(everything=True)]
        return results

    def _result(self, step: LaunchedStep) -> StepResult:
        """Count a step that was read from the device."""
        state, figures = self.state, {**step.figures, **dict(zip(step.names, step.values.tolist(), strict=True))}
        signal, shared_seconds = step.shared.tolist()
        state.seconds = self._seconds if self.fabric.world_size == 1 else shared_seconds
        updated, overflowed = figures.pop("made") == 1, False
        if updated:
            state.step += 1
            state.tokens += step.tokens
            figures["tokens_per_second"] = step.tokens / max(1e-9, self._unreported)
            self._unreported = 0.0
        else:
            state.skipped += 1
            overflowed = self.scaler is not None and math.isfinite(figures["loss"]) and self.scaler.get_scale() >= 1
        return StepResult(updated, overflowed, figures, step.first_sample, int(signal) or None, replace(state))

    def note_loss_scale(self) -> None:
        """Bring fp16's scale into the state, before it is saved."""
        if self.scaler is not None:
            values = self.scaler.state_dict()
            self.state.loss_scale, self.state.loss_scale_steps = values["scale"], values["_growth_tracker"]

    def _restore_loss_scale(self) -> None:
        if self.scaler is not None and self.state.loss_scale is not None:
            saved = {"scale": self.state.loss_scale, "_growth_tracker": self.state.loss_scale_steps}
            self.scaler.load_state_dict({**self.scaler.state_dict(), **saved})


def training_batches(recipe: Recipe, split: Split) -> Batches:
    """The samples of a split in the recipe's order."""
    data, length = recipe.data, recipe.sequence_length
    return Batches(split, context_length=length, layout=data.layout, stride=data.stride, seed=recipe.seed)
