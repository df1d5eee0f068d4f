"""What an evaluation works on: a run's model, held-out stories, training stories, and stories that it generates."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from talewright.data import Corpus, Split
from talewright.data.corpus import evenly_spread
from talewright.data.sources import last_name
from talewright.errors import UserError
from talewright.evaluate import UnavailableError
from talewright.evaluate.baselines.kneser_ney import KneserNey, train_ngram_models
from talewright.evaluate.language import Language, language_of
from talewright.evaluate.ngrams import words_of
from talewright.evaluate.split_overlap import SplitOverlap
from talewright.evaluate.text_overlap import OverlapSearch
from talewright.generate.engine import Engine, Sample
from talewright.generate.sampling import Sampling
from talewright.machine import choose_device
from talewright.model.gpt import GPT
from talewright.run import RunFolder

logger = logging.getLogger(__name__)

SUBSTITUTE = "bundled:500"
"""What the included model is evaluated on if no stories are named."""
SUBSTITUTED = (
    "The included model learned from TinyStories, which do not come with Talewright. These are its scores on bundled "
    "stories, which are of another kind; name others by --data."
)
"""What is said of it."""


@dataclass(frozen=True, kw_only=True)
class GenerationOptions:
    """How the evaluated stories are generated. Fixed, so that the same model always generates the same ones."""

    stories: int = 200
    prompts: tuple[str, ...] = ("",)
    """Used in turn; an empty one lets the model start the story."""
    sampling: Sampling = Sampling()  # noqa: RUF009, frozen


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """What to evaluate, and on which stories."""

    tasks: Sequence[str]
    """Names of `evaluator.TASKS`."""
    data: str | None = None
    """Source of the held-out stories; None for a run's own validation stories."""
    reading: Mapping[str, Any] = field(default_factory=dict)
    """How `data` is read: settings of the section data, such as {"format": "lines"}."""
    checkpoint: str = "best"
    device: str | None = None
    """The device to compute on, as `machine.choose_device` reads it."""
    limit: int | None = None
    """Use only the first N held-out stories."""
    generation: GenerationOptions = GenerationOptions()


class TrainingOverlap(NamedTuple):
    """What one pass over the training stories finds."""

    search: OverlapSearch
    """What they share with the generated stories, followed by as many held-out ones."""
    splits: SplitOverlap
    vocabulary: frozenset[str]


class EvaluationContext:
    """A run under evaluation. Costly things are computed when they are first needed, and kept."""

    def __init__(self, run: RunFolder, options: EvaluationOptions) -> None:
        self.run, self.generation, self.tokenizer = run, options.generation, run.tokenizer
        self.tasks = options.tasks
        self.device = choose_device(options.device)
        self.substituted = run.included and options.data is None
        data = SUBSTITUTE if self.substituted else options.data
        if data is None:
            stories, sizes = self.corpus.split("valid").stories()
        else:
            stories, sizes = run.stories(data, options.reading)
        self.stories, self.story_bytes = stories[: options.limit], sizes[: options.limit]
        named = data or run.recipe.data.valid
        self.source = last_name(named) if named else f"validation stories of {last_name(run.recipe.data.source)}"
        self.model, self.checkpoint = run.load_model(options.checkpoint, self.device)

    def log(self, activity: str) -> None:
        """Report progress."""
        logger.info("%s: %s", self.run.label, activity)

    @property
    def note(self) -> str | None:
        """What a reader must know about the held-out stories, as sentences; None if there is nothing."""
        return " ".join(filter(None, (SUBSTITUTED if self.substituted else None, self.language.note))) or None

    @cached_property
    def untrained(self) -> GPT:
        """The model as training began with it."""
        return self.run.initial_model(self.device)

    @cached_property
    def texts(self) -> list[str]:
        """The held-out stories as text."""
        return self.tokenizer.decode_batch(self.stories)

    def some_texts(self, number: int) -> list[str]:
        """Held-out stories as text, evenly spread over all."""
        return [self.texts[i] for i in evenly_spread(number, len(self.texts))]

    @cached_property
    def language(self) -> Language:
        """That of the held-out stories."""
        return language_of(self.texts)

    @cached_property
    def corpus(self) -> Corpus:
        """The run's own stories. Raises UserError if they are not available."""
        return self.run.corpus()

    @property
    def train(self) -> Split:
        """The training stories. Raises UnavailableError if they are not available."""
        try:
            return self.corpus.split("train")
        except UserError as error:
            raise UnavailableError(f"the training stories are not available: {error}") from None

    def training_words(self) -> Iterator[list[str]]:
        """The words of each training story. Raises UnavailableError if the stories are not available."""
        train = self.train
        return (words_of(self.tokenizer.decode(train.story(i))) for i in range(train.n_stories))

    @cached_property
    def training_overlap(self) -> TrainingOverlap:
        """What the training stories share with others. Raises UnavailableError if they are not available."""
        samples = [story.text for story in self.samples]
        search, splits = OverlapSearch(samples + self.some_texts(len(samples))), SplitOverlap(self.texts)
        vocabulary: set[str] = set()

        def observed() -> Iterator[Sequence[str]]:
            for words in splits.observe(self.training_words()):
                vocabulary.update(words)
                yield words

        search.read(observed())
        return TrainingOverlap(search, splits, frozenset(vocabulary))

    @cached_property
    def vocabulary(self) -> frozenset[str]:
        """The words of the training stories. Raises UnavailableError if the stories are not available."""
        if "memorization" in self.tasks:  # which reads them too
            return self.training_overlap.vocabulary
        return frozenset(word for words in self.training_words() for word in words)

    @cached_property
    def ngram_models(self) -> tuple[dict[str, KneserNey], int]:
        """`train_ngram_models` of the training stories. Raises UnavailableError if they are not available."""
        train = self.train
        self.log("counting n-grams")
        return train_ngram_models(train, self.tokenizer)

    @cached_property
    def samples(self) -> list[Sample]:
        """Stories that the model generates."""
        options = self.generation
        self.log(f"generating {options.stories:,} stories")
        prompts = [options.prompts[i % len(options.prompts)] for i in range(options.stories)]
        return self.engine.generate(prompts, options.sampling)

    @cached_property
    def engine(self) -> Engine:
        return Engine(self.model, self.tokenizer, notify=lambda message: None)
