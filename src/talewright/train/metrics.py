"""The metrics of a run: written to log.jsonl and trackers, and shown. Only the main process writes and shows."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from talewright.config import Recipe, recipe_to_dict
from talewright.machine import Precision, device_name, versions
from talewright.machine.peak import known_peak, raised_peak
from talewright.model.cost import count_parameters, training_flops
from talewright.run.checkpoint import TrainState
from talewright.run.history import read_history
from talewright.run.log import RunLog, rewind
from talewright.run.trackers import Trackers
from talewright.train.overfitting import OverfittingMonitor
from talewright.train.pace import PaceMonitor
from talewright.train.speed import usual_speed

if TYPE_CHECKING:
    from talewright.data import Batches
    from talewright.run.evaluated import EvaluatedStories
    from talewright.train.distributed import DistributedContext
    from talewright.train.progress import TrainingProgress
    from talewright.train.results import StepResult
    from talewright.train.schedule import Budget

logger = logging.getLogger(__name__)


class Score(Protocol):
    """What an evaluator returns."""

    @property
    def loss(self) -> float: ...
    @property
    def perplexity(self) -> float: ...
    @property
    def bits_per_byte(self) -> float: ...
    @property
    def token_accuracy(self) -> float: ...


class MetricsLogger:
    """Writes and shows what happens in a run, from `start` to `close`."""

    def __init__(self, recipe: Recipe, distributed: DistributedContext, run: Path, progress: TrainingProgress) -> None:
        fabric = distributed.fabric
        self.recipe, self.run, self.progress = recipe, run, progress
        self.precision: Precision = distributed.precision
        self.enabled = fabric.is_global_zero
        self.device_name = device_name(fabric.device, fabric.world_size)
        self.device, self.world_size = fabric.device, fabric.world_size
        self.peak_flops = known_peak(fabric.device, self.precision) * fabric.world_size if self.enabled else 0.0
        self.flops_per_token = training_flops(recipe.model, recipe.sequence_length)
        self.validation_loss: float | None = None
        self.tokens_per_second = 0.0  # a moving average
        self.evaluation_seconds = 0.0  # of the last one, with its sample
        self.overflows = 0  # steps that fp16 did not make
        self.overfitting = OverfittingMonitor()
        self.losses: list[float] = []  # finite validation losses

    def start(
        self,
        state: TrainState,
        batches: Batches,
        evaluated: EvaluatedStories,
        budget: Budget,
        compiled: bool,
        resumed: bool,
    ) -> None:
        """Open the log, without what it holds after `state`, and show what is trained on what."""
        if not self.enabled:
            return
        self.split = split = batches.split
        self.pace = PaceMonitor(budget, self.recipe.schedule.warmup_steps, self._usual_steps(budget, compiled))
        rewind(self.run, state.step if resumed else -1, state.skipped)
        parameters = count_parameters(self.recipe.model).total
        config = {**recipe_to_dict(self.recipe), "parameters": parameters}
        self.log = RunLog(self.run, Trackers(self.recipe.train.loggers, self.run, config, state.step))
        logger.info(self._headline(batches, evaluated, compiled))
        if resumed:
            self.log.write("resume", step=state.step)
            self.losses = [loss for loss in read_history(self.run).evaluations["loss"] if loss is not None]
            logger.info(f"resuming after step {state.step:,}")
            return
        self.log.write(
            "run",
            recipe=recipe_to_dict(self.recipe),
            parameters=parameters,
            precision=self.precision,
            peak_flops=self.peak_flops,
            versions=versions(),
            device=self.device_name,
            compiled=compiled,
            data={"stories": split.n_stories, "tokens": split.n_tokens, "bytes": split.n_bytes},
            evaluated={"stories": len(evaluated.tokens), "of": evaluated.of},
        )

    def _headline(self, batches: Batches, evaluated: EvaluatedStories, compiled: bool) -> str:
        """What is trained and evaluated on what."""
        parameters, train = count_parameters(self.recipe.model), self.recipe.train
        bigrams = f" and {parameters.bigrams / 1e6:.2f}M of bigrams" if parameters.bigrams else ""
        return (
            f"{self.recipe.name} · {parameters.dense / 1e6:.2f}M parameters{bigrams} · "
            f"{batches.split.n_tokens / 1e6:.2f}M tokens in the training set, "
            f"{_steps(batches.samples_per_epoch / (train.micro_batch * train.accumulation))} per epoch · "
            f"evaluated on {evaluated} · "
            f"{self.device_name}, {self.precision}{', compiled' if compiled else ''} · {self.run}"
        )

    def log_step(self, result: StepResult, budget: Budget) -> None:
        """Log an optimizer step."""
        if not self.enabled:
            return
        state, figures = result.state, result.figures
        self.log.write("step", step=state.step, **figures, tokens=state.tokens, seconds=round(state.seconds, 3))
        self.overfitting.log_step(figures["loss"])
        if warning := self.pace.log_step(state):
            logger.warning(warning)
        speed = figures["tokens_per_second"]
        self.tokens_per_second = 0.9 * self.tokens_per_second + 0.1 * speed if self.tokens_per_second else speed
        shown: dict[str, Any] = {**figures, "tokens_per_second": self.tokens_per_second}
        rate = self.tokens_per_second * self.flops_per_token
        if rate > self.peak_flops:
            self.peak_flops = raised_peak(self.device, self.precision, rate / self.world_size) * self.world_size
        shown["percent_of_peak"] = 100 * rate / self.peak_flops
        used = budget.progress(state.step, state.seconds)
        evaluations = budget.evaluations(state.step, state.seconds, self.recipe.train.evaluate_every)
        seconds = state.seconds + evaluations * self.evaluation_seconds
        seconds_left = seconds * (1 - used) / used if used > 0 and state.step > 1 else None
        self.progress.update(state.step, budget.max_steps, used, seconds_left, **shown, validation=self.validation_loss)

    def _usual_steps(self, budget: Budget, compiled: bool) -> float | None:
        """Steps that the budget in minutes usually buys on this machine; None if that is not known."""
        speed, train = usual_speed(self.recipe, compiled), self.recipe.train
        if budget.max_seconds is None or speed is None:
            return None
        tokens_per_step = train.micro_batch * train.accumulation * self.recipe.sequence_length
        return max(0.0, budget.max_seconds - speed.compile_seconds) * speed.tokens_per_second / tokens_per_step

    def log_activity(self, activity: str) -> None:
        """Show what takes time besides the steps."""
        if self.enabled:
            self.progress.show_activity(activity)

    def log_evaluation(self, state: TrainState, score: Score, seconds: float) -> None:
        """Log a score on the validation stories, which took so many seconds; warn if the model is overfitting."""
        if not self.enabled:
            return
        self.validation_loss, self.evaluation_seconds = score.loss, seconds
        figures = {name: getattr(score, name) for name in ("loss", "perplexity", "bits_per_byte", "token_accuracy")}
        self.log.write("evaluation", step=state.step, **figures, seconds=round(state.seconds, 3))
        logger.info(
            f"step {state.step:,}  validation loss {score.loss:.3f} · perplexity {score.perplexity:.1f} · "
            f"{score.bits_per_byte:.3f} bits/byte"
        )
        self.losses += [score.loss] if math.isfinite(score.loss) else []
        self.progress.show_evaluations(self.losses, None)
        rising = state.step > 0 and self.overfitting.log_evaluation(state, score.loss)
        if rising and state.tokens > self.split.n_tokens:  # stories that were never repeated cannot be memorized
            logger.warning(
                f"validation loss has risen since step {state.best_step:,}: the model is memorizing its "
                f"{self.split.n_stories:,} stories; more text or a smaller model would help"
            )

    def log_sample(self, state: TrainState, prompt: str, text: str) -> None:
        """Log a sample that the main process generated."""
        self.log.sample(state.step, prompt, text)
        line = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))  # untrained: any bytes
        self.progress.show_evaluations(self.losses, line)

    def log_patience(self, state: TrainState) -> None:
        """Log that a run ends because its patience is spent."""
        if self.enabled and state.best_loss is not None:
            logger.info(
                f"stopped at step {state.step:,}: {state.waited} evaluations without a lower validation loss than "
                f"{state.best_loss:.3f} at step {state.best_step:,}, whose checkpoint is the run's model"
            )
        elif self.enabled:
            logger.warning(f"stopped at step {state.step:,}: no validation loss was finite")

    def log_skipped(self, state: TrainState, reason: str, stories: list[int], figures: dict[str, float]) -> None:
        """Log a batch that was skipped."""
        if self.enabled:
            self.log.write("skipped", step=state.step + 1, skipped=state.skipped, stories=stories, **figures)
            logger.warning(f"{reason}. Skipped this batch ({state.skipped:,} so far in this run)")

    def log_overflow(self, result: StepResult) -> None:
        """Log a step that fp16 did not make; show the first one and each tenth."""
        if not self.enabled:
            return
        state, figures = result.state, result.figures
        self.overflows += 1
        self.log.write("overflow", step=state.step + 1, skipped=state.skipped, loss=figures["loss"])
        if self.overflows % 10 == 1:
            logger.info(
                f"step {state.step + 1:,}: the gradient is too large for fp16, so this batch was skipped and the loss "
                f"scale lowered. This is normal now and then ({self.overflows:,} so far in this session)"
            )

    def log_checkpoint(self, state: TrainState) -> None:
        """Log a checkpoint about to be written, and bring the log to the disk before it."""
        self.log.write("checkpoint", step=state.step, best=state.best_step == state.step)
        self.log.sync()

    def log_unsaved(self, state: TrainState, error: Exception) -> None:
        """Log a checkpoint that could not be written."""
        self.log.write("unsaved", step=state.step, reason=str(error))
        logger.warning(f"{error}. Training continues, and the next save tries again")

    def close(self) -> None:
        if self.enabled:
            self.progress.finish()
            self.log.close()


def _steps(count: float) -> str:
    """A number of steps, with a digit after the point where there are few."""
    return f"{count:,.0f} steps" if count >= 10 else f"{count:.1f} steps"
