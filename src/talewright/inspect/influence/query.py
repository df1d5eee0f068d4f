"""The training stories with the most influence on a text, and beside them those that share the most words with it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from talewright.data import Batches, open_corpus
from talewright.data.corpus import Corpus, Split
from talewright.data.layout import SplitName
from talewright.data.preparation.progress import StageProgress
from talewright.errors import UserError
from talewright.files import error_reason, read_json, write_json
from talewright.inspect.influence.gradients import GradientProjector
from talewright.inspect.influence.index import (
    DIMENSIONS,
    FOLDER,
    SEED,
    VERSION,
    InfluenceIndex,
    build_index,
    load_index,
    save_index,
)
from talewright.inspect.influence.overlap import longest_match, shared_ngrams
from talewright.inspect.influence.projections import saved_moments
from talewright.inspect.predictions import predict_tokens
from talewright.inspect.sequences import batches, display_token, make_sequence
from talewright.machine import choose_device, choose_precision, gpu_memory_errors, keep_heap, torch_dtype
from talewright.model.gpt import GPT
from talewright.run import RunFolder
from talewright.run.checkpoint import WEIGHTS, read_state
from talewright.run.included import writable_results
from talewright.tokenizer import Tokenizer

RESULT = "influence.json"
"""The file of the latest search."""
STORIES = 20_000
"""Training stories that are searched, evenly spread over those that the model has seen."""
SHOWN = 10
"""Stories that are listed."""
EXCERPT = 28
"""Tokens of an excerpt."""


@dataclass(frozen=True, kw_only=True)
class StoryInfluence:
    """One training story, and what connects it with the text."""

    story: int
    """Its number in the training split, from 0."""
    rank: int
    """By influence, from 1."""
    influence: float
    """From -1 to 1: the cosine of the two gradients."""
    shared: float
    """The share of the text's n-grams of 2 to 4 tokens that the story has."""
    excerpt: str
    """Where it adds most to the influence."""
    pieces: list[tuple[str, float]]
    """The excerpt's tokens, each with what its position adds to the influence, over the greatest amount of any."""
    longest_match: str
    """The longest passage that it shares with the text."""
    text: str


@dataclass(frozen=True, kw_only=True)
class InfluenceInspection:
    """What a search for influential stories found."""

    query: str
    """As it was given: a text, or a held-out story such as valid:12."""
    text: str
    loss: float
    """Mean loss on the text, in nats per token."""
    step: int
    searched: int
    """Number of training stories that were compared."""
    seen: int
    """Number of training stories that the model has seen until this checkpoint."""
    influential: list[StoryInfluence]
    nearest: list[StoryInfluence]
    """Those that share the most n-grams with the text."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def find_influence(
    folder: str | Path, query: str, checkpoint: str = "best", device: str | None = None, out: str | Path | None = None
) -> InfluenceInspection:
    """The training stories with the most influence on a text or a held-out story (such as valid:12); also written to
    `influence.json` in the run folder, or in `out`. The first call for a checkpoint takes minutes, others seconds.

    Raises UserError if the run has no checkpoint, or its training stories are not available.
    """
    run, chosen = RunFolder(folder), choose_device(device)
    target = writable_results(run.path, out) / RESULT
    keep_heap()
    model, path = run.load_model(checkpoint, chosen)
    with gpu_memory_errors(chosen):
        found = InfluenceSearch(run, model, path).find(query)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_json(target, found.to_json())
    except OSError as error:
        raise UserError(f"cannot write {target}: {error_reason(error)}") from None
    return found


class InfluenceSearch:
    """Searches the training stories of one run at one checkpoint. The first search computes the run's index."""

    def __init__(self, run: RunFolder, model: GPT, checkpoint: Path) -> None:
        """Raises UserError if the training stories are not available."""
        if run.imported:
            raise UserError(f"{run.label} was trained elsewhere: the stories that it was trained on are not here, so "
                            "--influence has none to search")  # fmt: skip
        self.run, self.model, self.checkpoint = run, model, checkpoint
        self.corpus: Corpus = open_corpus(run.recipe)
        run.check_same_stories(self.corpus, "train again: --influence compares the stories of the training")
        self.tokenizer: Tokenizer = run.tokenizer
        self.train = self.corpus.split("train")
        self.seen = seen_stories(run, checkpoint, self.train)
        self.numbers = self.seen[np.linspace(0, len(self.seen) - 1, min(STORIES, len(self.seen))).astype(int)]
        device = model.output_weight.device
        self.dtype = torch_dtype(choose_precision(run.recipe.train.precision, device))

    def find(self, query: str) -> InfluenceInspection:
        """The most influential stories for a text, or for a held-out story, such as valid:12.

        Raises UserError if the text is empty, or there is no such story.
        """
        story, sequence = self.query_sequence(query)
        stories = [self.train.story(int(number)) for number in self.numbers]
        index = self.index(stories)
        projector = index.projector(self.model, self.dtype)
        vector = index.query(projector.gradients(*_batch(sequence)))
        influence, shared = index.scores(vector)[0].numpy(), shared_ngrams(story, stories)
        order, direction = np.argsort(-influence, kind="stable"), index.direction(vector[0])
        ranks = np.empty(len(order), dtype=int)
        ranks[order] = np.arange(1, len(order) + 1)

        def describe(i: int) -> StoryInfluence:
            contributions = self._contributions(projector, stories[i], direction)
            return self._described(i, story, stories[i], contributions, (influence[i], shared[i], ranks[i]))

        nearest = np.lexsort((ranks, -shared))[:SHOWN]
        return InfluenceInspection(
            query=query,
            text=self.tokenizer.decode(story),
            loss=float(predict_tokens(self.model, sequence).losses.mean()),
            step=int(self.checkpoint.name.removeprefix("step-")),
            searched=len(stories),
            seen=len(self.seen),
            influential=[describe(int(i)) for i in order[:SHOWN]],
            nearest=[describe(int(i)) for i in nearest if shared[i]],
        )

    def index(self, stories: Sequence[np.ndarray]) -> InfluenceIndex:
        """The run's index of these stories: read, or computed and written, with a progress bar on standard error."""
        folder, key = self.run.path / FOLDER, self.key()
        index = load_index(folder, key, self.model)
        if index is not None:
            return index
        with StageProgress("training gradients", "stories", len(stories)) as progress:
            index = build_index(
                self.model,
                self.numbers.tolist(),
                [self._sequence(story) for story in stories],
                saved_moments(self.checkpoint, self.model),
                self.dtype,
                advance=progress.advance,
            )
        save_index(folder, index, key)
        return index

    def key(self) -> dict[str, Any]:
        """What an index depends on."""
        manifest = read_json(self.checkpoint / "manifest.json")
        return {
            "version": VERSION,
            "checkpoint": self.checkpoint.name,
            "weights": manifest[WEIGHTS]["sha256"],
            "corpus": self.corpus.fingerprint,
            "stories": len(self.numbers),
            "seen": len(self.seen),
            "dimensions": DIMENSIONS,
            "seed": SEED,
            "dtype": str(self.dtype).removeprefix("torch."),
        }

    def query_sequence(self, query: str) -> tuple[np.ndarray, np.ndarray]:
        """Token ids of the text or the held-out story, and the sequence whose loss counts: a text may go on after its
        last token, so only a story is followed by an end of text.
        """
        context, separator = self.model.config.context_length, self.tokenizer.separator
        if named := re.fullmatch(r"(valid|test):(\d+)", query.strip()):
            story = held_out_story(self.corpus, named[1], int(named[2]))[:context]
            return story, make_sequence(story, separator, context)
        story = np.array(self.tokenizer.encode(query), dtype=np.int64)[:context]
        if not len(story):
            raise UserError("--influence is empty; give it a sentence, or a held-out story such as valid:12")
        return story, make_sequence(story, separator, context)[: len(story) + 1]

    def _sequence(self, story: np.ndarray) -> np.ndarray:
        return make_sequence(story, self.tokenizer.separator, self.model.config.context_length)

    def _contributions(self, projector: GradientProjector, story: np.ndarray, direction: torch.Tensor) -> np.ndarray:
        """What each token of the story, as far as the context goes, adds to the influence: (T,), 1 at most."""
        values = projector.contributions(*_batch(self._sequence(story)), direction)[0].cpu().numpy()[: len(story)]
        return values / max(1e-30, float(np.abs(values).max()))

    def _described(
        self,
        number: int,
        text: np.ndarray,
        story: np.ndarray,
        contributions: np.ndarray,
        figures: tuple[float, float, int],
    ) -> StoryInfluence:
        sums = np.convolve(contributions, np.ones(min(EXCERPT, len(contributions))), "valid")
        begin = int(sums.argmax())
        tokens = story[begin : begin + EXCERPT]
        start, length = longest_match(text, story)
        influence, shared, rank = figures
        return StoryInfluence(
            story=int(self.numbers[number]),
            rank=int(rank),
            influence=round(float(influence), 4),
            shared=round(float(shared), 4),
            excerpt=self.tokenizer.decode(tokens),
            pieces=[
                (display_token(self.tokenizer, int(token)), round(float(value), 3))
                for token, value in zip(tokens, contributions[begin:], strict=False)
            ],
            longest_match=self.tokenizer.decode(story[start : start + length]),
            text=self.tokenizer.decode(story),
        )


def seen_stories(run: RunFolder, checkpoint: Path, split: Split) -> np.ndarray:
    """Numbers of the training stories that the run had read at a checkpoint, in order: (N,) int64."""
    data, train, state = run.recipe.data, run.recipe.train, read_state(checkpoint)
    length = run.recipe.sequence_length
    order = Batches(split, context_length=length, layout=data.layout, stride=data.stride, seed=run.recipe.seed)
    samples = (state.step + state.skipped) * train.micro_batch * train.accumulation
    if samples >= order.samples_per_epoch:
        return np.arange(split.n_stories)
    return np.array(order.stories(0, samples), dtype=np.int64)


def held_out_story(corpus: Corpus, split: str, number: int) -> np.ndarray:
    """Token ids of a story of the split `valid` or `test`. Raises UserError if there is none of that number."""
    stories = corpus.split(cast(SplitName, split))
    if number >= stories.n_stories:
        raise UserError(f"--influence is {split}:{number}, and the run's {split} stories are numbered 0 to "
                        f"{stories.n_stories - 1}")  # fmt: skip
    return stories.story(number)


def _batch(sequence: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    return next(batches([sequence]))
