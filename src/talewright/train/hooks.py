"""What the loop does between updates: evaluate, generate a sample, save a checkpoint, skip a bad batch."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talewright.data import Corpus
from talewright.errors import UserError, listed
from talewright.model.gpt import GPT
from talewright.run.checkpoint import UnsavedError, save_checkpoint
from talewright.run.evaluated import choose_stories, scores_first, start_of
from talewright.run.lock import refuse_if_moved
from talewright.run.retention import apply_retention, find_checkpoint, steps
from talewright.run.timeline import rewind_timeline, timeline_steps
from talewright.tokenizer import Tokenizer
from talewright.train.evaluation import score_in_parts
from talewright.train.metrics import MetricsLogger, Score
from talewright.train.results import StepResult
from talewright.train.seeds import derived_seed
from talewright.train.signals import StopSignal
from talewright.train.timeline import TimelineSaver
from talewright.train.trainer import Trainer

logger = logging.getLogger(__name__)

MAX_SKIPPED_IN_A_ROW = 10
"""After so many bad batches in a row, the weights are at fault and not the stories."""
CHECKPOINT_SECONDS = 600.0
"""Training time between checkpoints where the recipe does not set how often, and evaluations are rarer."""


@dataclass(frozen=True)
class Callbacks:
    """What training needs from packages that it must not import."""

    evaluate: Callable[[GPT, list[np.ndarray], np.ndarray, list[int]], Score]
    """Scores a model on stories: their token ids, their UTF-8 sizes, the end-of-text id."""
    generate: Callable[[GPT, Tokenizer, str, int], str]
    """Generates a sample from a prompt, with a seed."""


class Hooks:
    """What happens between the updates of a trainer. A run has one."""

    def __init__(
        self, trainer: Trainer, corpus: Corpus, run: Path, callbacks: Callbacks, metrics: MetricsLogger
    ) -> None:
        self.trainer, self.run, self.callbacks, self.metrics = trainer, run, callbacks, metrics
        self.state, self.train = trainer.state, trainer.recipe.train
        self.tokenizer = corpus.tokenizer
        # a resumed run scores the stories that it has scored before
        first = self.state.step > 0 and trainer.distributed.decide(lambda: scores_first(start_of(run)))
        self.evaluated = choose_stories(corpus.split("valid"), self.train.evaluate_stories, first)
        self.saved = (self.state.step, self.state.evaluated)  # of the last checkpoint
        self.identity = run.stat() if metrics.enabled else None  # only the main process writes it
        self.saved_seconds = self.state.seconds
        self.skipped_in_a_row, self.skipped_at = 0, -1
        self.timeline = self._timeline()

    def evaluate(self, stop: StopSignal) -> None:
        """Score the validation stories and generate a sample: untrained, whenever it is due, and at the end.

        No step is evaluated twice. A stop signal leaves at once, because a resumed run repeats the evaluation. The
        untrained model is not a candidate for the best one, because it has no checkpoint.
        """
        state, prompts = self.state, self.train.prompts
        if not self._evaluation_due(state.step):
            return
        number = self._evaluations(state.step, state.seconds)
        prompt, text, started = prompts[number % len(prompts)] if prompts else None, None, time.perf_counter()
        self.metrics.log_activity("evaluating ...")
        with stop.interruptible(self.trainer.fabric.world_size == 1):
            score = self.score()
            if prompt is not None and self.metrics.enabled:
                self.metrics.log_activity("generating a sample ...")
                text = self.sample(prompt)
        state.evaluated, state.evaluated_seconds = state.step, state.seconds
        better = math.isfinite(score.loss) and (state.best_loss is None or score.loss < state.best_loss)
        if state.step and better:
            state.waited, state.best_loss, state.best_step = 0, score.loss, state.step
        elif state.step:
            state.waited += 1
        self.metrics.log_evaluation(state, score, time.perf_counter() - started)
        if prompt is not None and text is not None:
            self.metrics.log_sample(state, prompt, text)

    def due(self) -> bool:
        """Whether something is to be done after the step launched last, which the host may not have read yet."""
        step, seconds = self.trainer.step, self.state.seconds
        spent, timeline = self.trainer.budget.spent(step, seconds), self.timeline.due(step, seconds)
        return spent or timeline or self._evaluation_due(step) or self._checkpoint_due(step)

    def _evaluation_due(self, step: int) -> bool:
        state = self.state
        if state.evaluated is None or step == state.evaluated:
            return state.evaluated is None
        spent = self.trainer.budget.spent(step, state.seconds)
        before = self._evaluations(state.evaluated, state.evaluated_seconds)
        return spent or self._evaluations(step, state.seconds) > before

    def _evaluations(self, step: int, seconds: float) -> int:
        """The number of evaluations due by then, that of the untrained model not counted."""
        return int(self.trainer.budget.evaluations(step, seconds, self.train.evaluate_every) + 1e-9)

    def score(self) -> Score:
        """The score on the validation stories, each process doing its part; the same in all."""
        trainer = self.trainer

        def evaluate(stories: list[np.ndarray], sizes: np.ndarray) -> Score:
            return self.callbacks.evaluate(trainer.evaluated_model, stories, sizes, self.tokenizer.separator)

        with trainer.fabric.autocast():
            return score_in_parts(evaluate, self.evaluated.tokens, self.evaluated.sizes, trainer.distributed)

    def sample(self, prompt: str) -> str:
        seed = derived_seed(self.trainer.recipe.seed, self.state.step)
        return self.callbacks.generate(self.trainer.evaluated_model, self.tokenizer, prompt, seed)

    def out_of_patience(self) -> bool:
        """Whether the last `patience` evaluations were no better than the best before them."""
        return self.train.patience is not None and self.state.waited >= self.train.patience

    def save_checkpoint(self, final: bool = False) -> None:
        """Save whenever it is due, at each best evaluation and, with `final`, whatever is not saved yet.

        A save that fails is logged; with `final` it raises UnsavedError.
        """
        trainer, state = self.trainer, self.state
        due = final or state.best_step == state.step or self._checkpoint_due(state.step)
        if self.identity is not None and due:
            refuse_if_moved(self.run, self.identity, self.metrics.log.events.file)
        if self.metrics.enabled and due and state.step and (state.step, state.evaluated) != self.saved:
            self.metrics.log_checkpoint(state)
            trainer.note_loss_scale()
            try:
                average = trainer.average.model if trainer.average else None
                save_checkpoint(self.run, trainer.model, trainer.optimizer, state, average)
                apply_retention(self.run, state, self.train.keep)
                self.saved, self.saved_seconds = (state.step, state.evaluated), state.seconds
            except UnsavedError as error:
                self.metrics.log_unsaved(state, error)
                if final:
                    raise
        trainer.fabric.barrier()

    def _checkpoint_due(self, step: int) -> bool:
        state, every = self.state, self.train.checkpoint_every
        if every is not None:
            return step % every == 0
        return state.evaluated == step or state.seconds - self.saved_seconds >= CHECKPOINT_SECONDS

    def save_timeline_point(self) -> None:
        """Save a light checkpoint if one is due. One that cannot be written is left out, with a warning."""
        state = self.state
        if not self.timeline.due(state.step, state.seconds):
            return
        if self.identity is not None:
            refuse_if_moved(self.run, self.identity, self.metrics.log.events.file)
        try:
            self.timeline.save(self.trainer.evaluated_model, state, self.metrics.enabled)
        except UnsavedError as error:
            logger.warning("%s. Training continues without this point of the timeline", error)

    def _timeline(self) -> TimelineSaver:
        """Continues the timeline of the run folder that the main process sees, without what lies after this step."""
        trainer, step = self.trainer, self.state.step

        def steps_so_far() -> list[int]:
            rewind_timeline(self.run, step)
            return timeline_steps(self.run)

        saved = trainer.distributed.decide(steps_so_far)
        return TimelineSaver(self.run, self.train.timeline_checkpoints, trainer.budget, saved, step)

    def skip_batch(self, result: StepResult) -> None:
        """Go on after a batch whose loss or gradient is not finite; unless the recipe allows it, save and raise
        UserError. In fp16 a gradient may overflow by design.
        """
        if result.overflowed:
            self.metrics.log_overflow(result)
            return
        state, train, figures = result.state, self.train, result.figures
        if state.step != self.skipped_at:
            self.skipped_in_a_row, self.skipped_at = 0, state.step
        stories = self.trainer.batches.stories(result.first_sample, train.micro_batch * train.accumulation)
        reason = (
            f"the loss is {figures['loss']} and the gradient norm {figures['gradient_norm']} at step "
            f"{state.step + 1:,}; no update was made. The batch has the training stories "
            f"{listed([f'{number:,}' for number in stories], 20)}"
        )
        if not train.skip_bad_batches or self.skipped_in_a_row == MAX_SKIPPED_IN_A_ROW:
            self.save_checkpoint(final=True)
            last = find_checkpoint(self.run, "last").name if steps(self.run) else "none"
            hint = "--train.skip-bad-batches true skips such a batch"
            if train.skip_bad_batches:
                hint = f"{MAX_SKIPPED_IN_A_ROW} batches before it were skipped, so the stories are not the cause"
            raise UserError(
                f"{reason}. Last good checkpoint: {last}. Try a lower --train.learning-rate or --train.precision fp32; "
                f"{hint}"
            )
        self.skipped_in_a_row += 1
        self.metrics.log_skipped(state, reason, stories, figures)
