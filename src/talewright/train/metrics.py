"""What a run says while it trains: on the display, in the log. One process speaks, the others are silent."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from talewright.config import Recipe, recipe_to_dict
from talewright.data import Batches
from talewright.machine import device_name, torch_dtype, versions
from talewright.machine.peak import matmul_peak
from talewright.model.cost import count_parameters, training_flops
from talewright.run.checkpoint import TrainState
from talewright.run.log import RunLog, rewind
from talewright.train.distributed import Launched
from talewright.train.progress import Display
from talewright.train.schedule import Budget


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


class Report:
    """The run's voice, opened by `begin`."""

    def __init__(self, recipe: Recipe, launched: Launched, run: Path, display: Display) -> None:
        self.recipe, self.run, self.display, self.precision = recipe, run, display, launched.precision
        self.device, self.processes = launched.fabric.device, launched.fabric.world_size
        self.leads = launched.fabric.is_global_zero
        """Whether this is the process that writes and speaks."""
        self.peak = matmul_peak(self.device, torch_dtype(self.precision)) * self.processes
        self.validation: float | None = None
        self.speed = 0.0

    def begin(self, state: TrainState, batches: Batches, compiled: bool, resumed: bool) -> None:
        """Open the log, taken back to `state`, and say what is trained on what."""
        if not self.leads:
            return
        rewind(self.run, state.step if resumed else -1, state.skipped)
        self.log = RunLog(self.run, self.recipe.train.tensorboard, self.display.say, state.step)
        parameters, split = count_parameters(self.recipe.model).total, batches.split
        self.display.say(
            f"{self.recipe.name} · {parameters / 1e6:.2f}M parameters · {split.n_tokens / 1e6:.2f}M training tokens · "
            f"{device_name(self.device, self.processes)}, {self.precision}"
            f"{', compiled' if compiled else ''} · {self.run}"
        )
        if resumed:
            self.log.write("resume", step=state.step)
            self.display.say(f"going on after step {state.step:,}")
            return
        facts = {"parameters": parameters, "precision": self.precision, "peak_flops": self.peak, "versions": versions()}
        facts["device"] = device_name(self.device, self.processes)
        data = {"stories": split.n_stories, "tokens": split.n_tokens, "bytes": split.n_bytes}
        self.log.write("run", recipe=recipe_to_dict(self.recipe), **facts, data=data)

    def step(self, state: TrainState, budget: Budget, figures: dict[str, float]) -> None:
        """An update was made."""
        if not self.leads:
            return
        rate = figures["tokens_per_second"]
        self.speed = rate if self.speed == 0 else 0.9 * self.speed + 0.1 * rate
        self.log.write("step", step=state.step, **figures, tokens=state.tokens, seconds=round(state.seconds, 3))
        part = budget.progress(state.step, state.seconds)
        shown = {**figures, "tokens_per_second": self.speed, "validation": self.validation}
        flops = training_flops(self.recipe.model, self.recipe.sequence_length)
        shown["percent_of_peak"] = 100 * self.speed * flops / self.peak
        left = state.seconds * (1 - part) / part if part > 0 and state.step > 1 else None
        self.display.step(state.step, budget.max_steps, part, left, **shown)

    def evaluation(self, state: TrainState, score: Score) -> None:
        """The validation stories were scored."""
        self.validation = score.loss
        figures = {name: getattr(score, name) for name in ("loss", "perplexity", "bits_per_byte", "token_accuracy")}
        self.log.write("evaluation", step=state.step, **figures, seconds=round(state.seconds, 3))
        self.display.say(
            f"step {state.step:,}  validation loss {score.loss:.3f} · perplexity {score.perplexity:.1f} · "
            f"{score.bits_per_byte:.3f} bits/byte"
        )

    def sample(self, state: TrainState, prompt: str, text: str) -> None:
        """A story was told."""
        self.log.sample(state.step, prompt, text)
        line = " ".join(text.split())
        self.display.say(f'    "{line[:160]}{" ..." if len(line) > 160 else ""}"')

    def skipped(self, state: TrainState, words: str, stories: list[int], figures: dict[str, Any]) -> None:
        """A batch was passed over."""
        if self.leads:
            self.log.write("skipped", step=state.step + 1, skipped=state.skipped, stories=stories, **figures)
            self.display.say(f"{words}. The batch is passed over, the {state.skipped:,}. of this run")

    def unsaved(self, state: TrainState, error: Exception) -> None:
        """A checkpoint could not be written."""
        self.log.write("unsaved", step=state.step, reason=str(error))
        self.display.say(f"{error}. Training goes on, and the next save tries again")

    def end(self) -> None:
        if self.leads:
            self.log.close()
