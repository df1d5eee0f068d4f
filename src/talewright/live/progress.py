"""What the live page shows of a run, read from its log and its samples, each time only what is new."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from talewright.config import Recipe, load_recipe
from talewright.errors import UserError
from talewright.look.losses import MOST, LossLine
from talewright.run.history import clearly_above
from talewright.run.log import LogFollower
from talewright.train.progress import clock
from talewright.train.schedule import Budget

SAMPLES = 4
"""Samples side by side: the first, some in the middle and the newest."""
LONGEST_SAMPLE = 700
"""Characters of a sample."""
ENOUGH = 0.1
"""Fraction of the budget that must be seen passing, about two evaluations, to know a run's pace."""
SMOOTHING = 0.9
"""Weight of the earlier steps in the moving average of tokens per second."""
TILES = {
    "step": "Step",
    "left": "Time left",
    "speed": "Tokens per second",
    "loss": "Training loss",
    "best": "Best validation loss",
    "bits": "Its bits per byte",
}
"""The titles of a run's figures."""


class RunProgress:
    """A run that may be training. `read` costs only what its log has gained."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self._events, self._samples = LogFollower(run / "log.jsonl"), LogFollower(run / "samples.jsonl")
        self._recipe: tuple[int, Recipe] | None = None
        self._first_read: tuple[float, float] | None = None  # when, and the used fraction of the budget then
        self.samples: list[dict[str, Any]] = []
        self.evaluations: list[dict[str, Any]] = []
        self._clear()

    def _clear(self) -> None:
        self.losses = LossLine()
        self.evaluations.clear()
        self._first_read = None
        self.step: dict[str, Any] = {}
        self.speed, self.epoch_tokens = 0.0, 0

    def read(self) -> None:
        """Take in what was logged since the last call."""
        events, rewritten = self._events.new_events()
        if rewritten:
            self._clear()
        for event in events:
            self._add(event)
        samples, rewritten = self._samples.new_events()
        self.samples = samples if rewritten else self.samples + samples

    def _add(self, event: Mapping[str, Any]) -> None:
        """Take in an event; a damaged one is skipped."""
        kind, loss, data = event.get("event"), event.get("loss"), event.get("data")
        if kind == "run" and isinstance(data, dict) and _is_number(data.get("tokens")):
            self.epoch_tokens = int(data["tokens"])
        if kind not in ("step", "evaluation") or not isinstance(event.get("step"), int) or not _is_number(loss):
            return
        if kind == "evaluation":
            self.evaluations.append(dict(event))
            return
        self.losses.add(event["step"], loss)
        self.step, speed = dict(event), event.get("tokens_per_second")
        if _is_number(speed):
            self.speed = SMOOTHING * self.speed + (1 - SMOOTHING) * speed if self.speed else speed

    @property
    def steps(self) -> int:
        """Optimizer steps made."""
        return self.step.get("step", 0)

    def tiles(self, running: bool = True) -> dict[str, str]:
        """The figures of TILES, as text; "-" where they are not known."""
        if not running:
            self._first_read = None  # a run that is resumed has its own pace
        budget, left = self._budget(), self.seconds_left() if running else None
        best = min((e for e in self.evaluations if e["step"]), key=lambda e: e["loss"], default=None)
        bits = best and best.get("bits_per_byte")
        return {
            "step": f"{self.steps:,}" + (f" of {budget.max_steps:,}" if budget.max_steps else ""),
            "left": "-" if left is None else clock(left),
            "speed": f"{self.speed:,.0f}" if self.speed else "-",
            "loss": f"{self.losses.means()[-1][1]:.3f}" if self.steps else "-",
            "best": f"{best['loss']:.3f}" if best else "-",
            "bits": f"{bits:.3f}" if _is_number(bits) else "-",
        }

    def fraction(self) -> float:
        """How much of its budget the run has used, 0 to 1."""
        return self._budget().progress(self.steps, self._seconds())

    def seconds_left(self) -> float | None:
        """Seconds that the rest of the budget takes at the pace since the first call, evaluations included; before that
        is known, at the pace of training alone. None if neither is.
        """
        used, seconds, now = self.fraction(), self._seconds(), time.monotonic()
        if used <= 0 or self.steps < 2:
            return None
        self._first_read = self._first_read or (now, used)
        gained = used - self._first_read[1]
        if gained >= ENOUGH:
            return (now - self._first_read[0]) * (1 - used) / gained
        return seconds * (1 - used) / used

    def headline(self) -> str:
        """What the losses say so far, in a sentence."""
        if not self.evaluations:
            return "No evaluation yet"
        first, last = self.evaluations[0], self.evaluations[-1]
        best = min(self.evaluations, key=lambda each: each["loss"])
        if last["step"] == 0:
            return f"The untrained model has a validation loss of {last['loss']:.2f}"
        if clearly_above(last["loss"], best["loss"]):
            return (
                f"Validation loss was lowest, {best['loss']:.2f}, at step {best['step']:,}, and has risen to "
                f"{last['loss']:.2f}"
            )
        if first is last:
            return f"Validation loss is {last['loss']:.2f} at step {last['step']:,}"
        start = "untrained" if first["step"] == 0 else f"step {first['step']:,}"
        return f"Validation loss: {first['loss']:.2f} ({start}) to {last['loss']:.2f} at step {last['step']:,}"

    def points(self) -> dict[str, list[tuple[int, float]]]:
        """Pairs of step and loss for the chart: of training, and of validation."""
        stride = -(-len(self.evaluations) // MOST) or 1
        validation = [(event["step"], round(event["loss"], 5)) for event in self.evaluations[::-stride][::-1]]
        return {"training": self.losses.means(), "validation": validation}

    def chosen_samples(self) -> list[dict[str, Any]]:
        """The first sample, some in the middle, more of them early, and the newest: step, prompt and the rest."""
        return [_shown(self.samples[i]) for i in spread(len(self.samples), SAMPLES)]

    def _seconds(self) -> float:
        seconds = self.step.get("seconds")
        return seconds if _is_number(seconds) else 0.0

    def _budget(self) -> Budget:
        """The budget of its recipe, which a resumed run may replace; without a limit if it cannot be read."""
        try:
            changed = (self.run / "recipe.yaml").stat().st_mtime_ns
            if self._recipe is None or self._recipe[0] != changed:
                self._recipe = changed, load_recipe(self.run / "recipe.yaml")
        except (OSError, UserError):
            return Budget(None, None)
        recipe = self._recipe[1]
        train, length = recipe.train, recipe.sequence_length
        return Budget.of(train, self.epoch_tokens // length, length)


def spread(count: int, most: int) -> Sequence[int]:
    """At most `most` indices from 0 to count - 1, both included; closer together at the start, where a model changes
    fastest.
    """
    last = count - 1
    return sorted({round(last * (i / (most - 1)) ** 2) for i in range(most)}) if count else []


def tiles_html(figures: Mapping[str, str]) -> str:
    """The figures, each with its title; "-" for those that are not given."""
    tiles = [
        f'<div><dt>{title}</dt><dd data-figure="{name}">{figures.get(name, "-")}</dd></div>'
        for name, title in TILES.items()
    ]
    return f'<dl class="tiles">{"".join(tiles)}</dl>'


def _shown(sample: Mapping[str, Any]) -> dict[str, Any]:
    prompt, text = str(sample.get("prompt", "")), str(sample.get("text", ""))
    rest = text.removeprefix(prompt)
    shown = re.sub(r"\s*\n\s*", "\n", rest[:LONGEST_SAMPLE]) + (" ..." if len(rest) > LONGEST_SAMPLE else "")
    shown = "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in shown)  # untrained: any bytes
    step = sample.get("step")
    name = f"Step {step:,}" if isinstance(step, int) and step else "Untrained"
    return {"name": name, "prompt": prompt if rest != text else "", "text": shown}


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
