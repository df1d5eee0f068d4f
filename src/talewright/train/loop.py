"""The training loop: batch, loss, gradient, clip, update; and now and then evaluate, tell a story, save."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from talewright.config import Recipe, recipe_to_dict
from talewright.data import Batches
from talewright.errors import UserError
from talewright.machine import (
    Precision,
    choose_precision,
    compiler,
    device_words,
    keep_heap,
    matmul_peak,
    torch_dtype,
    versions,
)
from talewright.model.cost import count_parameters, training_flops
from talewright.model.gpt import GPT
from talewright.model.loss import IGNORED
from talewright.train.checkpoint import (
    INITIAL,
    State,
    find_checkpoint,
    load_model,
    load_training,
    prune,
    remove_partial,
    save_checkpoint,
)
from talewright.train.display import Display
from talewright.train.log import RunLog, rewind
from talewright.train.optimizer import make_optimizer
from talewright.train.schedule import Budget, rate_factor
from talewright.train.seeds import derived_seed
from talewright.train.signals import StopSignal


class Score(Protocol):
    """What an evaluator gives back."""

    @property
    def loss(self) -> float: ...
    @property
    def perplexity(self) -> float: ...
    @property
    def bits_per_byte(self) -> float: ...
    @property
    def token_accuracy(self) -> float: ...


@dataclass(frozen=True)
class Watch:
    """What is looked at while a run trains: handed in, since the loop does not know how to evaluate or tell."""

    evaluate: Callable[[GPT], Score]
    """Scores the model on the validation stories."""
    tell: Callable[[GPT, str, int], str]
    """Tells a story from a prompt, with a seed."""
    display: Display = field(default_factory=Display)


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    state: State
    signal: int | None
    """The signal that stopped it before its budget was spent, or None."""
    leader: bool
    """Whether this process is the one that writes and speaks."""


def fit(recipe: Recipe, launched: Launched, batches: Batches, run: Path, watch: Watch, resume: bool = False) -> Outcome:
    """Train the recipe's model into the run folder; with `resume`, go on from its last checkpoint."""
    keep_heap()
    fabric = launched.fabric
    torch.manual_seed(recipe.seed)
    model = GPT(recipe.model)
    optimizer = make_optimizer(model, recipe.optimizer, recipe.train.learning_rate)
    state = State()
    if (run / INITIAL).is_dir():
        load_model(run / INITIAL, model)
    if resume:
        remove_partial(run)
        state = load_training(find_checkpoint(run, "last"), model, optimizer)
    with StopSignal() as stop, watch.display if fabric.is_global_zero else nullcontext():
        trainer = Trainer(recipe, launched, model, optimizer, batches, run, watch, state)
        number = trainer.run_to_end(stop, resume)
    return Outcome(state, number, fabric.is_global_zero)


class Launched(NamedTuple):
    """The processes of a run, of which this is one, and the precision of their matrix products."""

    fabric: Fabric
    precision: Precision


def launch(recipe: Recipe) -> Launched:
    """Start the recipe's processes on its devices: the others run this command from its beginning, up to here.

    Raises UserError where this machine does not have them.
    """
    train = recipe.train
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # the display says what there is to say
    try:
        probe = Fabric(accelerator=train.accelerator, devices=train.devices, num_nodes=train.nodes)
        precision = choose_precision(train.precision, probe.device)
        plugin = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}[precision]
        options = {"accelerator": train.accelerator, "devices": train.devices, "num_nodes": train.nodes}
        fabric = Fabric(precision=cast(Any, plugin), **options)
    except UserError:
        raise
    except (ValueError, RuntimeError) as error:  # Fabric's words for a device that is not there
        wanted = f"train.accelerator {train.accelerator}, train.devices {train.devices}"
        raise UserError(f"this machine has no {wanted}: {error}") from None
    fabric.launch()
    return Launched(fabric, precision)


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
        state: State,
    ) -> None:
        fabric, precision = launched
        self.recipe, self.fabric, self.precision, self.raw = recipe, fabric, precision, model
        self.batches, self.run, self.watch, self.state = batches, run, watch, state
        self.budget = Budget.of(recipe.train, batches.samples_per_epoch, recipe.sequence_length)
        self.compiled = should_compile(recipe, fabric.device, self.budget)
        self.model, self.optimizer = fabric.setup(
            cast(nn.Module, torch.compile(model)) if self.compiled else model, optimizer
        )
        self.micro_batch, self.accumulation = share_of_batch(recipe, fabric.world_size)
        self.peak = matmul_peak(fabric.device, torch_dtype(precision)) * fabric.world_size
        self.flops = training_flops(recipe.model, recipe.sequence_length)
        self.validation: float | None = None
        self.speed = 0.0

    def run_to_end(self, stop: StopSignal, resumed: bool) -> int | None:
        """Train until the budget or the patience is spent, or a signal comes; that signal's number is returned."""
        self._begin(resumed)
        state, before, offset, number = self.state, time.perf_counter(), self.state.seconds, None
        try:
            while not (self.budget.spent(state.step, state.seconds) or number or self._patience_over()):
                figures = self.update()
                number = self._agree(stop, offset + time.perf_counter() - before)
                if state.step == self.recipe.schedule.warmup_steps:
                    state.warm_seconds = state.seconds
                self._report(figures)
                last = self.budget.spent(state.step, state.seconds)
                self._watch(last)
                number = self._agree(stop, offset + time.perf_counter() - before)
                self._checkpoint(last or number is not None)
        finally:
            self.log.close()
        return number

    def _agree(self, stop: StopSignal, seconds: float) -> int | None:
        """Have all processes know of a signal that one of them got, and the same time: they must end together."""
        facts = torch.tensor([stop.number or 0, seconds]).to(self.fabric.device)
        number, self.state.seconds = cast(Tensor, self.fabric.all_reduce(facts, reduce_op="max")).tolist()
        return int(number) or None

    def update(self) -> dict[str, float]:
        """One optimiser step. Returns its figures; raises UserError, before any weight changes, at NaN."""
        recipe, state, started = self.recipe, self.state, time.perf_counter()
        rate = recipe.train.learning_rate * self._rate_factor()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss, tokens = self._backward()
        norm = self.fabric.clip_gradients(
            self.model, self.optimizer, max_norm=recipe.optimizer.clip or math.inf, error_if_nonfinite=False
        )
        figures = {"loss": float(loss), "learning_rate": rate, "gradient_norm": float(cast(Tensor, norm))}
        # with fp16 the gradient overflows now and then by design, and the scaler passes over the update
        if not math.isfinite(figures["loss"]) or (
            self.precision != "fp16" and not math.isfinite(figures["gradient_norm"])
        ):
            raise UserError(self._nan_words(figures))
        self.optimizer.step()
        self.optimizer.zero_grad()
        state.step += 1
        state.tokens += tokens
        figures["tokens_per_second"] = tokens / (time.perf_counter() - started)
        return figures

    def _backward(self) -> tuple[Tensor, int]:
        """Gradients of the mean loss over the real tokens of the whole batch, and that loss and their number."""
        first = self.state.step * self.recipe.train.micro_batch * self.recipe.train.accumulation
        first += self.fabric.global_rank * self.micro_batch * self.accumulation
        starts = [first + i * self.micro_batch for i in range(self.accumulation)]
        parts = [self.batches.samples(start, self.micro_batch) for start in starts]
        counts = torch.tensor(float(sum((targets != IGNORED).sum() for _, targets in parts)), device=self.fabric.device)
        tokens = cast(Tensor, self.fabric.all_reduce(counts, reduce_op="sum"))
        total = torch.zeros((), device=self.fabric.device)
        for i, (start, part) in enumerate(zip(starts, parts, strict=True)):
            inputs, targets = (torch.from_numpy(array).to(self.fabric.device) for array in part)
            torch.manual_seed(derived_seed(self.recipe.seed, start))  # dropout, too, is a function of (seed, step)
            with self.fabric.no_backward_sync(self.model, enabled=i < len(parts) - 1):
                loss = self.model(inputs, targets) / tokens
                self.fabric.backward(loss * self.fabric.world_size)  # gradients are averaged over processes
            total += loss.detach()
        return cast(Tensor, self.fabric.all_reduce(total, reduce_op="sum")), int(tokens)

    def _rate_factor(self) -> float:
        state, warm = self.state, self.recipe.schedule.warmup_steps
        progress = self.budget.progress(state.step, state.seconds, warm, state.warm_seconds)
        return rate_factor(self.recipe.schedule, state.step, progress)

    def _begin(self, resumed: bool) -> None:
        if self.fabric.is_global_zero and resumed:
            rewind(self.run, self.state.step)
        self.log = RunLog(self.run, self.recipe.train.tensorboard and self.fabric.is_global_zero)
        parameters, split = count_parameters(self.recipe.model).total, self.batches.split
        if not self.fabric.is_global_zero:
            return
        self.watch.display.say(
            f"{self.recipe.name} · {parameters / 1e6:.2f}M parameters · {split.n_tokens / 1e6:.2f}M training tokens · "
            f"{device_words(self.fabric.device, self.fabric.world_size)}, {self.precision}"
            f"{', compiled' if self.compiled else ''} · {self.run}"
        )
        if resumed:
            self.log.write("resume", step=self.state.step)
            self.watch.display.say(f"going on after step {self.state.step:,}")
            return
        facts = {"parameters": parameters, "precision": self.precision, "peak_flops": self.peak, "versions": versions()}
        data = {"stories": split.n_stories, "tokens": split.n_tokens, "bytes": split.n_bytes}
        self.log.write("run", recipe=recipe_to_dict(self.recipe), **facts, data=data)

    def _report(self, figures: dict[str, float]) -> None:
        if not self.fabric.is_global_zero:
            return
        state, rate = self.state, figures["tokens_per_second"]
        self.speed = rate if self.speed == 0 else 0.9 * self.speed + 0.1 * rate
        self.log.write("step", step=state.step, **figures, tokens=state.tokens, seconds=round(state.seconds, 3))
        part = self.budget.progress(state.step, state.seconds)
        shown = {**figures, "tokens_per_second": self.speed, "validation": self.validation}
        shown["percent_of_peak"] = 100 * self.speed * self.flops / self.peak
        left = state.seconds * (1 - part) / part if part > 0 and state.step > 1 else None
        self.watch.display.step(state.step, self.budget.max_steps, part, left, **shown)

    def _watch(self, last: bool) -> None:
        """Evaluate and tell a story, where it is time to."""
        train, state = self.recipe.train, self.state
        if state.step % train.evaluate_every and not last:
            return
        with self.fabric.autocast():
            score = self.watch.evaluate(self.raw)
        self.validation = score.loss
        better = state.best_loss is None or score.loss < state.best_loss
        state.waited = 0 if better else state.waited + 1
        if better:
            state.best_loss, state.best_step = score.loss, state.step
        if self.fabric.is_global_zero:
            self._tell(score)

    def _tell(self, score: Score) -> None:
        train, state, display = self.recipe.train, self.state, self.watch.display
        figures = {name: getattr(score, name) for name in ("loss", "perplexity", "bits_per_byte", "token_accuracy")}
        self.log.write("evaluation", step=state.step, **figures, seconds=round(state.seconds, 3))
        display.say(
            f"step {state.step:,}  validation loss {score.loss:.3f} · perplexity {score.perplexity:.1f} · "
            f"{score.bits_per_byte:.3f} bits/byte"
        )
        if not train.prompts:
            return
        prompt = train.prompts[(state.step // train.evaluate_every) % len(train.prompts)]
        text = self.watch.tell(self.raw, prompt, derived_seed(self.recipe.seed, state.step))
        self.log.sample(state.step, prompt, text)
        line = " ".join(text.split())
        display.say(f'    "{line[:160]}{" ..." if len(line) > 160 else ""}"')

    def _checkpoint(self, now: bool) -> None:
        train, state = self.recipe.train, self.state
        due = state.step % train.checkpoint_every == 0 or state.best_step == state.step
        if self.fabric.is_global_zero and (now or due or self._patience_over()):
            self.log.write("checkpoint", step=state.step, best=state.best_step == state.step)
            save_checkpoint(self.run, self.raw, cast(Any, self.optimizer).optimizer, state)
            prune(self.run, train.keep, state.best_step)
        self.fabric.barrier()

    def _patience_over(self) -> bool:
        return self.recipe.train.patience is not None and self.state.waited >= self.recipe.train.patience

    def _nan_words(self, figures: dict[str, float]) -> str:
        last = f"step-{self.state.step}" if self.state.step else "none"
        found = (
            (self.run / "checkpoints" / "last").read_text().strip()
            if (self.run / "checkpoints/last").exists()
            else last
        )
        return (
            f"the loss is {figures['loss']} and the gradient's norm {figures['gradient_norm']} at step "
            f"{self.state.step + 1}; no update was made. Last good checkpoint: {found}. A lower "
            "--train.learning-rate, or --train.precision fp32, would be the first things to try"
        )


def should_compile(recipe: Recipe, device: torch.device, budget: Budget) -> bool:
    """Whether to use torch.compile: as told, or where it pays and can be had."""
    wanted = recipe.train.compile
    if wanted is True and device.type == "cpu" and compiler() is None:
        raise UserError("train.compile is true, and there is no C++ compiler here; install g++, or leave it on auto")
    return wanted is True or (wanted == "auto" and device.type == "cuda")


def share_of_batch(recipe: Recipe, processes: int) -> tuple[int, int]:
    """Micro-batch and accumulation of each process: together they always make the recipe's batch."""
    micro_batch, accumulation = recipe.train.micro_batch, recipe.train.accumulation
    if accumulation % processes == 0:
        return micro_batch, accumulation // processes
    return micro_batch // processes, accumulation
