"""The training history of a run: its log, column by column."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from talewright.errors import UserError
from talewright.files import json_text, write_text_atomic
from talewright.run.log import LogFollower, read_log

STEP = ("step", "tokens", "seconds", "loss", "learning_rate", "gradient_norm", "tokens_per_second")
EVALUATION = ("step", "loss", "perplexity", "bits_per_byte", "token_accuracy", "seconds")
CLEAR_RISE = 0.01
"""Share of the lowest validation loss by which a later one must exceed it to count as a rise, and not as noise."""

MEMORIZED = 0.2
"""Share of the validation loss by which the training loss must be lower to count as overfitting."""


def clearly_above(loss: float, best: float) -> bool:
    """Whether a validation loss has risen above an earlier one by more than noise."""
    return loss > (1 + CLEAR_RISE) * best


def far_below(training: float, validation: float) -> bool:
    """Whether a training loss is so far below the validation loss that the model memorizes its stories."""
    return training < (1 - MEMORIZED) * validation


@dataclass(frozen=True, kw_only=True)
class History:
    """The metrics in a run's log. A metric that an event lacks is None."""

    name: str
    training: dict[str, list[Any]]
    """By the names of STEP, one value for each optimizer step. With a teacher, the loss is the one without its part,
    which compares with the validation loss.
    """
    evaluations: dict[str, list[Any]]
    """By the names of EVALUATION, one value for each evaluation on the validation stories."""
    samples: list[dict[str, Any]] = field(default_factory=list)
    """The samples generated during training: step, prompt, text."""
    torn: bool = False
    """Whether the log's last line is incomplete: the run was killed while writing it, or is writing it now."""

    @property
    def steps(self) -> int:
        """Optimizer steps made."""
        return self.training["step"][-1] if self.training["step"] else 0

    @property
    def finished(self) -> bool:
        """Whether the last step was evaluated, as every run does when its budget is spent."""
        return self.steps > 0 and self.evaluations["step"][-1:] == [self.steps]

    def tokens_at(self, step: int) -> int | None:
        """Tokens trained on up to a step; None if the log lacks the step."""
        steps = self.training["step"]
        index = step - steps[0] if steps else -1
        return self.training["tokens"][index] if 0 <= index < len(steps) and steps[index] == step else None


def read_history(run: Path) -> History:
    """The history of a run folder; empty if it has no log. Damaged lines are skipped."""
    events = list(read_log(run / "log.jsonl"))
    return History(
        name=run.resolve().name,
        training=_columns(events, "step", STEP),
        evaluations=_columns(events, "evaluation", EVALUATION),
        samples=list(read_log(run / "samples.jsonl")),
        torn=_is_torn(run / "log.jsonl"),
    )


class HistoryFollower:
    """The history of a run that may be training: each reading costs only what its log has gained."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self._events, self._samples = LogFollower(run / "log.jsonl"), LogFollower(run / "samples.jsonl")
        training, evaluations = _columns([], "step", STEP), _columns([], "evaluation", EVALUATION)
        self._history = History(name=run.resolve().name, training=training, evaluations=evaluations)

    def read(self) -> History:
        """The history now. It is the same object each time."""
        (events, rewritten), (samples, other) = self._events.new_events(), self._samples.new_events()
        history = self._history
        for columns, kind, names in ((history.training, "step", STEP), (history.evaluations, "evaluation", EVALUATION)):
            for name, values in _columns(events, kind, names).items():
                _extend(columns[name], values, rewritten)
        _extend(history.samples, samples, other)
        return history


def _extend(values: list[Any], more: list[Any], rewritten: bool) -> None:
    if rewritten:
        values.clear()
    values += more


def write_history(history: History, folder: Path) -> None:
    """Write `training_history.json` and `generated_texts_complete.json` into the folder."""
    columns = {"training": history.training, "evaluations": history.evaluations}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text_atomic(folder / "training_history.json", json_text(columns))
        texts = json_text(history.samples, ensure_ascii=False, indent=1)
        write_text_atomic(folder / "generated_texts_complete.json", texts)
    except OSError as error:
        raise UserError(f"cannot write into {folder}: {error.strerror}") from None


def _columns(events: list[dict[str, Any]], kind: str, names: tuple[str, ...]) -> dict[str, list[Any]]:
    """The columns of one kind of event. A damaged event, which does not say of which step it is, is skipped."""
    rows = [event for event in events if event.get("event") == kind]
    rows = [row for row in rows if type(row.get("step")) is int and _number(row["step"]) is not None]
    columns = {name: [_number(row.get(name)) for row in rows] for name in names}
    if kind == "step":
        columns["loss"] = [_number(row.get("plain_loss", row.get("loss"))) for row in rows]
    return columns


def _number(value: Any) -> int | float | None:
    """The value if it is a finite number that fits into 64 bits, else None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None  # earlier versions logged NaN and Infinity
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63 else None


def _is_torn(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 65536))
        last = file.read().rsplit(b"\n", 1)[-1]
    return bool(last.strip())
