"""The training loop: batch, loss, gradient, clip, update; and now and then evaluate, tell a story, save."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from talewright.config import Recipe
from talewright.data import Batches
from talewright.errors import UserError
from talewright.machine import keep_heap
from talewright.model.gpt import GPT
from talewright.model.loss import IGNORED
from talewright.run.checkpoint import TrainState, UnsavedError, load_training, load_weights, save_checkpoint
from talewright.run.folder import INITIAL
from talewright.run.retention import apply_retention, find_checkpoint, recover, steps
from talewright.train.distillation import Teacher, TeacherOutput
from talewright.train.distributed import Launched, share_of_batch, should_compile
from talewright.train.metrics import Report, Score
from talewright.train.objective import Objective
from talewright.train.optimizer import make_optimizer
from talewright.train.progress import Display
from talewright.train.schedule import Budget, rate_factor
from talewright.train.seeds import derived_seed
from talewright.train.signals import Stopped, StopSignal
from talewright.train.weight_average import Average

SKIPPED_AT_MOST = 10
"""Batches passed over one after another, before the weights are at fault and not the stories."""


@dataclass(frozen=True)
class Watch:
    """What is looked at while a run trains: handed in, since the loop does not know how to evaluate or tell."""

    evaluate: Callable[[GPT], Score]
    """Scores the model on the validation stories."""
    generate: Callable[[GPT, str, int], str]
    """Tells a story from a prompt, with a seed."""
    display: Display = field(default_factory=Display)


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    state: TrainState
    signal: int | None
    """The signal that stopped it before its budget was spent, or None."""
    leader: bool
    """Whether this process is the one that writes and speaks."""


def fit(
    recipe: Recipe,
    launched: Launched,
    batches: Batches,
    run: Path,
    watch: Watch,
    resume: bool = False,
    teacher: Teacher | None = None,
) -> Outcome:
    """Train the recipe's model into the run folder; with `resume`, go on from its newest whole checkpoint, if any."""
    keep_heap()
    fabric = launched.fabric
    torch.manual_seed(recipe.seed)
    model = GPT(recipe.model)
    optimizer = make_optimizer(model, recipe.optimizer, recipe.train.learning_rate)
    if (run / INITIAL).is_dir():
        load_weights(run / INITIAL, model)
    average = Average(model, recipe.train.average) if recipe.train.average else None
    found = _newest(run, launched, watch.display) if resume else None
    state = load_training(found, model, optimizer, average and average.model) if found else TrainState()
    with StopSignal(breakable=True) as stop, watch.display if fabric.is_global_zero else nullcontext():
        trainer = Trainer(recipe, launched, model, optimizer, batches, run, watch, state, average, teacher)
        number = trainer.run_to_end(stop, resumed=found is not None)
    return Outcome(state, number, fabric.is_global_zero)


def _newest(run: Path, launched: Launched, display: Display) -> Path | None:
    """The checkpoint to go on from; one process puts the folder in order, the others wait for it."""
    if launched.fabric.is_global_zero:
        recover(run)
    launched.fabric.barrier()
    return find_checkpoint(run, "last") if steps(run) else None


class Trainer:
    """One run: its parts, and the steps that move it on."""

    def __init__(
        self,
        recipe: Recipe,
        launched: Launched,
        model: GPT,
        optimizer: torch.optim.Optimizer,
        batches: Batches,
        run: Path,
        watch: Watch,
        state: TrainState,
        average: Average | None = None,
        teacher: Teacher | None = None,
    ) -> None:
        fabric, self.precision = launched
        self.recipe, self.fabric, self.raw = recipe, fabric, model
        self.batches, self.run, self.watch, self.state = batches, run, watch, state
        self.budget = Budget.of(recipe.train, batches.samples_per_epoch, recipe.sequence_length)
        self.compiled = should_compile(recipe, fabric.device, self.budget)
        objective = Objective(model)
        self.model, self.optimizer = fabric.setup(
            cast(nn.Module, torch.compile(objective)) if self.compiled else objective, optimizer
        )
        self.average = average
        self.told = model if average is None else average.model.to(fabric.device)
        """What is scored, tells and becomes the run's model: the weights, or their average."""
        self.teacher = teacher
        if teacher is not None:
            teacher.model.to(fabric.device)
        self.micro_batch, self.accumulation = share_of_batch(recipe, fabric.world_size)
        self.report = Report(recipe, launched, run, watch.display)
        self.skipped_in_a_row = 0
        self.saved = (0, 0)  # the step of the last checkpoint, and the one that it knows to be evaluated

    def run_to_end(self, stop: StopSignal, resumed: bool) -> int | None:
        """Train until the budget or the patience is spent, or a signal comes; that signal's number is returned.

        A signal is obeyed at once while a gradient is made, a model compiled or evaluated: all that is done again
        after a resume. Several processes must end together, and go on to the end of the step.
        """
        state = self.state
        self.report.begin(state, self.batches, self.compiled, resumed)
        self.saved = (state.step, state.evaluated)
        self.begun, number = time.perf_counter() - state.seconds, None
        try:
            try:
                self._watch(stop)  # where a signal came before it was done
                while not (self._spent() or self._patience_over() or number):
                    if figures := self.update(self._breakable(stop)):
                        self._agree(stop)
                        if state.step == self.recipe.schedule.warmup_steps:
                            state.warm_seconds = state.seconds
                        self.report.step(state, self.budget, figures)
                        self._watch(stop)
                    number = self._agree(stop)
                    if not number:
                        self._checkpoint()
            except Stopped as stopped:
                number = stopped.number
            self._checkpoint(final=True)
        finally:
            self.report.end()
        return number

    def _breakable(self, stop: StopSignal) -> AbstractContextManager[None]:
        return stop.breakable(self.fabric.world_size == 1)

    def _agree(self, stop: StopSignal) -> int | None:
        """Have all processes know of a signal that one of them got, and the same time: they must end together."""
        facts = torch.tensor([stop.number or 0, time.perf_counter() - self.begun]).to(self.fabric.device)
        number, self.state.seconds = cast(Tensor, self.fabric.all_reduce(facts, reduce_op="max")).tolist()
        return int(number) or None

    def _spent(self) -> bool:
        return self.budget.spent(self.state.step, self.state.seconds)

    def update(self, breakable: AbstractContextManager[None] | None = None) -> dict[str, float] | None:
        """One optimiser step, its gradient made within `breakable`. Returns its figures.

        Where the loss or the gradient is not a number, no weight changes: it raises UserError, or returns None where
        the recipe says that such a batch be passed over.
        """
        recipe, state, started = self.recipe, self.state, time.perf_counter()
        factor = self._rate_factor()
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        with breakable or nullcontext():
            losses, tokens = self._backward()
            norm = self.fabric.clip_gradients(
                self.model, self.optimizer, max_norm=recipe.optimizer.clip or math.inf, error_if_nonfinite=False
            )
            figures = {
                "loss": float(losses[0]),
                "learning_rate": recipe.train.learning_rate * factor,
                "gradient_norm": float(cast(Tensor, norm)),
            }
            if self.teacher is not None:
                figures["plain_loss"] = float(losses[1])
        # with fp16 the gradient overflows now and then by design, and the scaler passes over the update
        seen = ("loss",) if self.precision == "fp16" else ("loss", "gradient_norm")
        if not all(math.isfinite(figures[name]) for name in seen):
            return self._pass_over(figures)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.skipped_in_a_row = 0
        state.step += 1
        if self.average is not None:
            self.average.update(self.raw, state.step)
        state.tokens += tokens
        figures["tokens_per_second"] = tokens / (time.perf_counter() - started)
        return figures

    def _backward(self) -> tuple[Tensor, int]:
        """Gradients of the mean loss over the real tokens of the whole batch; that loss, (1,), and behind it the
        plain one where there is a teacher, (2,); and the number of the tokens.
        """
        first = self._first_sample() + self.fabric.global_rank * self.micro_batch * self.accumulation
        starts = [first + i * self.micro_batch for i in range(self.accumulation)]
        parts = [self.batches.samples(start, self.micro_batch) for start in starts]
        counts = torch.tensor(float(sum((targets != IGNORED).sum() for _, targets in parts)), device=self.fabric.device)
        tokens = cast(Tensor, self.fabric.all_reduce(counts, reduce_op="sum"))
        total = torch.zeros(2 if self.teacher else 1, device=self.fabric.device)
        for i, (start, part) in enumerate(zip(starts, parts, strict=True)):
            inputs, targets = (torch.from_numpy(array).to(self.fabric.device) for array in part)
            torch.manual_seed(derived_seed(self.recipe.seed, start))  # dropout, too, is a function of (seed, step)
            with self.fabric.no_backward_sync(self.model, enabled=i < len(parts) - 1):
                losses = torch.atleast_1d(self.model(inputs, targets, self._teacher_output(inputs))) / tokens
                self.fabric.backward(losses[0] * self.fabric.world_size)  # gradients are averaged over processes
            total += losses.detach()
        return cast(Tensor, self.fabric.all_reduce(total, reduce_op="sum")), int(tokens)

    def _teacher_output(self, inputs: Tensor) -> TeacherOutput | None:
        if self.teacher is None:
            return None
        with self.fabric.autocast():
            return self.teacher.read(inputs)

    def _first_sample(self) -> int:
        """The number of the batch's first sample in the endless order."""
        train = self.recipe.train
        return (self.state.step + self.state.skipped) * train.micro_batch * train.accumulation

    def _rate_factor(self) -> float:
        state, warm = self.state, self.recipe.schedule.warmup_steps
        progress = self.budget.progress(state.step, state.seconds, warm, state.warm_seconds)
        return rate_factor(self.recipe.schedule, state.step, progress)

    def _pass_over(self, figures: dict[str, float]) -> None:
        """Leave out a batch whose loss or gradient is not a number, or raise UserError."""
        train, state = self.recipe.train, self.state
        count = train.micro_batch * train.accumulation
        stories = self.batches.stories(self._first_sample(), count)
        words = (
            f"the loss is {figures['loss']} and the gradient's norm {figures['gradient_norm']} at step "
            f"{state.step + 1:,}; no update was made. The batch has {_listing(stories)}"
        )
        self.optimizer.zero_grad()
        if not train.skip_bad_batches or self.skipped_in_a_row == SKIPPED_AT_MOST:
            self._checkpoint(final=True)  # the weights as they are: no bad gradient has touched them
            last = find_checkpoint(self.run, "last").name if steps(self.run) else "none"
            way = "--train.skip-bad-batches true passes over such a batch"
            if train.skip_bad_batches:
                way = f"{SKIPPED_AT_MOST} batches before it were passed over, so it is not the stories"
            raise UserError(
                f"{words}. Last good checkpoint: {last}. A lower --train.learning-rate, or --train.precision fp32, "
                f"would be the first things to try; {way}"
            )
        self.skipped_in_a_row += 1
        state.skipped += 1
        self.report.skipped(state, words, stories, figures)

    def _watch(self, stop: StopSignal) -> None:
        """Evaluate and tell a story, where it is time to and not yet done."""
        train, state = self.recipe.train, self.state
        if state.step == state.evaluated or (state.step % train.evaluate_every and not self._spent()):
            return
        prompt = train.prompts[(state.step // train.evaluate_every) % len(train.prompts)] if train.prompts else None
        text = ""
        with self._breakable(stop):
            with self.fabric.autocast():
                score = self.watch.evaluate(self.told)
            if prompt is not None and self.report.leads:
                text = self.watch.generate(self.told, prompt, derived_seed(self.recipe.seed, state.step))
        better = state.best_loss is None or score.loss < state.best_loss
        state.waited, state.evaluated = 0 if better else state.waited + 1, state.step
        if better:
            state.best_loss, state.best_step = score.loss, state.step
        if self.report.leads:
            self.report.evaluation(state, score)
            if prompt is not None:
                self.report.sample(state, prompt, text)

    def _checkpoint(self, final: bool = False) -> None:
        """Save where it is time to, or at the end, what is not saved yet. Raises UnsavedError at the end alone."""
        train, state = self.recipe.train, self.state
        due = final or state.step % train.checkpoint_every == 0 or state.best_step == state.step
        if self.report.leads and due and (state.step, state.evaluated) != self.saved and state.step:
            self.report.log.write("checkpoint", step=state.step, best=state.best_step == state.step)
            self.report.log.sync()
            try:
                average = None if self.average is None else self.average.model
                save_checkpoint(self.run, self.raw, cast(Any, self.optimizer).optimizer, state, average)
                apply_retention(self.run, state, train.keep)
                self.saved = (state.step, state.evaluated)
            except UnsavedError as error:
                self.report.unsaved(state, error)
                if final:
                    raise
        self.fabric.barrier()

    def _patience_over(self) -> bool:
        return self.recipe.train.patience is not None and self.state.waited >= self.recipe.train.patience


def _listing(stories: list[int], most: int = 20) -> str:
    """The numbers of the training stories, the first ones of many."""
    shown = ", ".join(f"{number:,}" for number in stories[:most])
    return f"the training stories {shown}{f' and {len(stories) - most:,} more' if len(stories) > most else ''}"
