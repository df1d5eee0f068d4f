"""Which validation stories the evaluations of a training score: as many as the recipe says, evenly spread over all.

Earlier versions scored the first ones, and their runs go on so: all scores of a run are of the same stories. In the log
of a newer run, the event `run` has `evaluated`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from talewright.data.corpus import Corpus, Split, evenly_spread
from talewright.run.folder import RunFolder
from talewright.run.log import read_log


class EvaluatedStories(NamedTuple):
    """A sample of the validation stories."""

    tokens: list[np.ndarray]
    """Token ids of each, without end of text."""
    sizes: np.ndarray
    """Their UTF-8 sizes, (n,)."""
    of: int
    """Number of all validation stories."""
    first: bool
    """Whether they are the first ones, and not evenly spread."""

    def __str__(self) -> str:
        number = len(self.tokens)
        if self.first and number < self.of:
            return f"the first {number:,} of {self.of:,} validation stories"
        return _text(number, self.of)


def choose_stories(split: Split, number: int | None, first: bool = False) -> EvaluatedStories:
    """`number` stories of the split, or all."""
    count = split.n_stories
    indices = range(min(number or count, count)) if first else evenly_spread(number, count)
    return EvaluatedStories(*split.stories(indices), count, first)


def evaluated_stories(run: RunFolder, corpus: Corpus) -> EvaluatedStories:
    """The stories of the run's corpus that the scores in its log are of."""
    first = scores_first(start_of(run.path))
    return choose_stories(corpus.split("valid"), run.recipe.train.evaluate_stories, first)


def start_of(run: Path) -> dict[str, Any]:
    """What the log says of the run as a whole; empty if it does not."""
    return next((event for event in read_log(run / "log.jsonl") if event.get("event") == "run"), {})


def scores_first(start: dict[str, Any]) -> bool:
    """Whether a log that begins so has scores of the first stories."""
    return bool(start) and "evaluated" not in start


def evaluated_text(start: dict[str, Any], number: int | None) -> str:
    """What a log that begins so has scores of, where the stories themselves may be gone. number: as in the recipe."""
    if "evaluated" in start:
        return _text(start["evaluated"]["stories"], start["evaluated"]["of"])
    return f"the first {number:,} validation stories" if number and start else "the validation stories"


def _text(number: int, of: int) -> str:
    if of == 1:
        return "the only validation story"
    stories = f"{of:,} validation stories"
    return f"all {stories}" if number == of else f"{number:,} of {stories}, evenly spread"
