"""The training loop: update, log, then evaluate, generate a sample and save where due. See trainer.py for an update."""

from __future__ import annotations

import logging
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path

from talewright.config import Recipe
from talewright.data import Batches, Corpus
from talewright.machine import keep_heap
from talewright.run.checkpoint import TrainState
from talewright.run.folder import INITIAL
from talewright.run.history import read_history
from talewright.run.retention import recover
from talewright.train.distillation import Teacher
from talewright.train.distributed import DistributedContext
from talewright.train.hooks import Callbacks, Hooks
from talewright.train.metrics import MetricsLogger
from talewright.train.progress import TrainingProgress
from talewright.train.results import StepResult
from talewright.train.signals import Stopped, StopSignal
from talewright.train.trainer import Trainer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    state: TrainState
    signal: int | None
    """The signal that stopped it before its budget was spent, or None."""
    main_process: bool
    """Whether this process is the one that writes and shows."""


def fit(
    recipe: Recipe,
    distributed: DistributedContext,
    corpus: Corpus,
    batches: Batches,
    run: Path,
    callbacks: Callbacks,
    *,
    resume: bool = False,
    teacher: Teacher | None = None,
    progress: TrainingProgress | None = None,
) -> Outcome:
    """Train the recipe's model into the run folder until a budget or the patience is spent, or a stop signal comes.

    With `resume`, training continues from the newest whole checkpoint, if there is one. A stop signal is obeyed at once
    during compilation, a gradient or an evaluation, all of which a resumed run repeats; several processes finish the
    step, because they must end together.
    """
    keep_heap()
    fabric, progress = distributed.fabric, progress or TrainingProgress()
    checkpoint = _newest_checkpoint(run, distributed) if resume else None
    trainer = Trainer(recipe, distributed, batches, teacher, run / INITIAL, checkpoint)
    metrics = MetricsLogger(recipe, distributed, run, progress)
    hooks = Hooks(trainer, corpus, run, callbacks, metrics)
    with StopSignal(interruptible=fabric.world_size == 1) as stop, progress if fabric.is_global_zero else nullcontext():
        metrics.start(trainer.state, batches, hooks.evaluated, trainer.budget, trainer.compiled, checkpoint is not None)
        with closing(metrics):
            signal = _train(trainer, metrics, hooks, stop)
            _log(trainer.finish(), trainer, metrics, hooks)
            if hooks.out_of_patience():
                metrics.log_patience(trainer.state)
            hooks.save_checkpoint(final=True)
    return Outcome(trainer.state, signal, fabric.is_global_zero)


def _train(trainer: Trainer, metrics: MetricsLogger, hooks: Hooks, stop: StopSignal) -> int | None:
    """Update until a budget or the patience is spent, or a stop signal comes, which is returned."""
    state, alone, signal = trainer.state, trainer.fabric.world_size == 1, None
    try:
        hooks.evaluate(stop)  # the untrained model, or a checkpoint that a signal left without evaluation
        metrics.log_activity("compiling ..." if trainer.compiled else "training ...")
        while not (trainer.budget.spent(state.step, state.seconds) or hooks.out_of_patience() or signal):
            results = trainer.update(stop.interruptible(alone), stop.number)
            if hooks.due():
                results += trainer.finish()
            signal = _log(results, trainer, metrics, hooks)
            if hooks.due():
                hooks.save_timeline_point()
                hooks.evaluate(stop)
                if signal is None:
                    hooks.save_checkpoint()
    except Stopped as stopped:
        return stopped.number
    return signal


def _log(results: list[StepResult], trainer: Trainer, metrics: MetricsLogger, hooks: Hooks) -> int | None:
    """Log what came of some steps. Returns the stop signal that a process received, if one did."""
    for result in results:
        if result.state.step == trainer.recipe.schedule.warmup_steps:
            trainer.state.warm_seconds = result.state.seconds
        if result.updated:
            metrics.log_step(result, trainer.budget)
        else:
            hooks.skip_batch(result)
    return next((result.signal for result in results if result.signal), None)


def _newest_checkpoint(run: Path, distributed: DistributedContext) -> Path | None:
    """The checkpoint to resume from, after the main process has repaired the folder."""

    def newest() -> str | None:
        folder = recover(run)
        if folder is None and (steps := read_history(run).steps):
            logger.warning("%s has no checkpoint: the %s steps in its log are trained again", run, f"{steps:,}")
        return folder and str(folder)

    checkpoint = distributed.decide(newest)
    return checkpoint and Path(checkpoint)
