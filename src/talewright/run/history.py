"""What a run wrote down while it trained, column by column."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from talewright.errors import UserError
from talewright.run.log import read_log

STEP = ("step", "tokens", "seconds", "loss", "learning_rate", "gradient_norm", "tokens_per_second")
EVALUATION = ("step", "loss", "perplexity", "bits_per_byte", "token_accuracy", "seconds")


@dataclass(frozen=True, kw_only=True)
class History:
    """The figures of a run's log. A figure that an event lacks is None."""

    name: str
    training: dict[str, list[Any]]
    """By the names of STEP, one value for each optimiser step."""
    evaluations: dict[str, list[Any]]
    """By the names of EVALUATION, one value for each scoring of the validation stories."""
    samples: list[dict[str, Any]] = field(default_factory=list)
    """The stories told while training: step, prompt, text."""
    torn: bool = False
    """Whether the log's last line is not whole: the run was killed as it wrote it, or is writing it now."""

    @property
    def steps(self) -> int:
        """Optimiser steps made."""
        return self.training["step"][-1] if self.training["step"] else 0

    def tokens_at(self, step: int) -> int | None:
        """Tokens trained on up to a step."""
        numbers = self.training["step"]
        at = step - numbers[0] if numbers else -1
        return self.training["tokens"][at] if 0 <= at < len(numbers) and numbers[at] == step else None


def read_history(run: Path) -> History:
    """The history of a run folder; empty where it has no log. A torn last line is passed over, and told of."""
    events = list(read_log(run / "log.jsonl"))
    trained = [event for event in events if event.get("event") == "step" and _whole(event)]
    scored = [event for event in events if event.get("event") == "evaluation" and _whole(event)]
    return History(
        name=run.resolve().name,
        training={name: [_number(event.get(name)) for event in trained] for name in STEP},
        evaluations={name: [_number(event.get(name)) for event in scored] for name in EVALUATION},
        samples=list(read_log(run / "samples.jsonl")),
        torn=_torn(run / "log.jsonl"),
    )


def write_history(history: History, folder: Path) -> None:
    """Write `training_history.json` and `generated_texts_complete.json` into the folder."""
    columns = {"training": history.training, "evaluations": history.evaluations}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "training_history.json").write_text(json.dumps(columns), encoding="utf-8")
        texts = json.dumps(history.samples, ensure_ascii=False, indent=1)
        (folder / "generated_texts_complete.json").write_text(texts, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write into {folder}: {error.strerror}") from None


def _whole(event: dict[str, Any]) -> bool:
    """Whether a line of the log says of which step it is: a damaged one is passed over."""
    return type(event.get("step")) is int and _number(event["step"]) is not None


def _number(value: Any) -> int | float | None:
    """The value where it is a number, NaN among them, that arithmetic can go on with."""
    known = isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63)
    return value if known else None


def _torn(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 65536))
        last = file.read().rsplit(b"\n", 1)[-1]
    return bool(last.strip())
