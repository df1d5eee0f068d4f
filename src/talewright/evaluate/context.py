"""What is scored: a model, the stories that it is scored on, those that it learned from, and those that it tells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from talewright.data import Split
from talewright.errors import UserError
from talewright.evaluate.baselines.counting import ngram_models
from talewright.evaluate.baselines.kneser_ney import KneserNey
from talewright.generate.engine import Engine, Sample
from talewright.generate.sampling import Sampling
from talewright.model.gpt import GPT
from talewright.tokenizer import Tokenizer


class AbsentError(UserError):
    """A score cannot be had here, for a reason that is no mistake: its text says why, in place of the figures."""


@dataclass(frozen=True)
class HeldOut:
    """Stories that a model is scored on."""

    source: str
    """Where they come from, in words."""
    stories: list[np.ndarray]
    """Ids of each, without an end of text."""
    sizes: np.ndarray
    """UTF-8 bytes of each: (stories,) int64."""


@dataclass(frozen=True, kw_only=True)
class Telling:
    """How the stories are told that are scored: fixed, so that the same model always tells the same ones."""

    stories: int = 200
    """How many."""
    prompts: tuple[str, ...] = ("",)
    """Their beginnings, in turn; an empty one lets the model begin by itself."""
    sampling: Sampling = Sampling(temperature=0.8, top_p=0.95, max_new_tokens=400)  # noqa: RUF009, frozen


@dataclass
class Subject:
    """A model, and all that its scores look at. What is costly is made when it is first asked for, and kept."""

    model: GPT
    tokenizer: Tokenizer
    held_out: HeldOut
    untrained: Callable[[], GPT]
    """The model as it was before training."""
    training: Callable[[], Split]
    """The stories it learned from. Raises UserError where they are not at hand."""
    fast: Callable[[], AbstractContextManager]
    """A context in which the model computes in its run's own precision."""
    telling: Telling
    say: Callable[[str], None] = lambda words: None
    """Told of progress, in a few words."""

    @cached_property
    def texts(self) -> list[str]:
        """The held-out stories as text."""
        return self.tokenizer.decode_batch(self.held_out.stories)

    @cached_property
    def train(self) -> Split:
        """The stories it learned from. Raises AbsentError where they are not at hand."""
        try:
            return self.training()
        except UserError as error:
            raise AbsentError(f"the training stories are not at hand: {error}") from None

    @cached_property
    def ngrams(self) -> tuple[dict[str, KneserNey], int]:
        """`floors.ngram_models` of the training stories. Raises AbsentError where they are not at hand."""
        train = self.train
        self.say("counting n-grams")
        return ngram_models(train, self.tokenizer)

    def train_texts(self) -> Iterator[str]:
        """The training stories as text, one after another. Raises AbsentError where they are not at hand."""
        train = self.train
        return (self.tokenizer.decode(train.story(i)) for i in range(train.n_stories))

    @cached_property
    def told(self) -> list[Sample]:
        """The stories that the model tells by `telling`."""
        prompts = self.telling.prompts
        self.say(f"telling {self.telling.stories:,} stories")
        wanted = [prompts[i % len(prompts)] for i in range(self.telling.stories)]
        return Engine(self.model, self.tokenizer, notify=lambda words: None).generate(wanted, self.telling.sampling)
