"""When a model learned what: the same measurements at many steps of its training, beside n-gram models.

The points are the light checkpoints that `train.timeline_checkpoints` keeps, the full checkpoints that are there, and
the untrained model. All are measured on the same stories and questions.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from talewright.errors import UserError
from talewright.evaluate import UnavailableError
from talewright.evaluate.baselines.kneser_ney import KneserNey, train_ngram_models
from talewright.evaluate.language import language_of
from talewright.evaluate.likelihood import score_tokens
from talewright.evaluate.multiple_choice.cloze import cloze_questions
from talewright.evaluate.multiple_choice.scoring import (
    EncodedChoice,
    Question,
    accuracy_figures,
    choice_log_probs,
    encode_question,
    model_scorer,
)
from talewright.evaluate.multiple_choice.understanding import understanding_questions
from talewright.files import error_reason, write_json
from talewright.generate.engine import Engine
from talewright.generate.sampling import Sampling
from talewright.inspect import opening
from talewright.inspect.heads import Head, find_names, measure_heads
from talewright.inspect.sequences import select_sequences
from talewright.machine import autocast
from talewright.model.cost import forward_flops
from talewright.model.gpt import GPT
from talewright.run import RunFolder
from talewright.run.checkpoint import WEIGHTS, check, checkpoint_folder, load_weights
from talewright.run.timeline import load_light, timeline_file, timeline_steps

logger = logging.getLogger(__name__)

MIN_POINTS = 3
"""With fewer checkpoints there is no timeline."""
ORDERS = {"unigram": 1, "bigram": 2, "trigram": 3, "4-gram": 4, "5-gram": 5}
COUNTED_TOKENS = 10_000_000
"""Training tokens whose n-grams are counted, at most: some ten seconds."""
STORIES, QUESTIONS, CLOZE, HEAD_TOKENS = 64, 40, 16, 2_000
"""At each point: held-out stories for the loss, questions of each kind, cloze questions of each kind, and tokens for
the heads. A large model has fewer of each on a CPU."""
CLOZE_STORIES = 600
"""Held-out stories that cloze questions are made from."""
POINT_FLOPS = 6e11
"""FLOPs that a point may cost on a CPU: some seconds. A GPU measures all."""
POINT_TOKENS = 32_000
"""Tokens that a point takes if it measures all."""
BATCH_TOKENS = 2048
"""Positions in a batch: on one CPU thread, questions take two thirds of the time of batches of 8192."""
SAMPLE_TOKENS = 100


@dataclass(frozen=True, kw_only=True)
class TimelinePoint:
    """What a model could do after N steps."""

    step: int
    """0: untrained."""
    tokens: int | None
    """Training tokens read by then; None if the log does not say."""
    seconds: float | None
    """Training time by then; None if the log does not say."""
    loss: float
    """Mean loss on the held-out stories, in nats per token."""
    heads: list[Head]
    kinds: dict[str, dict[str, Any]]
    """By kind of multiple-choice question, such as "facts" or "names (cloze)": the accuracy, its 95% interval (low,
    high), the number of questions, and chance."""
    sample: str
    """Generated from the same prompt with the same seed at each point."""


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """What a model learned when."""

    points: list[TimelinePoint]
    """In the order of their steps; the untrained model first."""
    baselines: dict[str, float]
    """By n-gram model, its mean loss on the same stories, in nats per token. Empty without training stories."""
    counted_tokens: int
    """Training tokens that the n-gram models counted."""
    stories: int
    story_tokens: int
    """Tokens of the held-out stories that are predicted."""
    prompt: str
    findings: list[str] = field(default_factory=list)
    """What the series show, a sentence each."""
    ngrams: Mapping[str, KneserNey] = field(default_factory=dict, repr=False, compare=False)
    """The n-gram models of `baselines`, if the verdict would count the same tokens."""


class PointMeasures:
    """What each point is measured on: fixed stories and questions, of which a model that costs much gets fewer."""

    def __init__(self, run: RunFolder, stories: Sequence[np.ndarray], device: torch.device) -> None:
        self.run, self.device, self.tokenizer = run, device, run.tokenizer
        config, separator = run.recipe.model, run.tokenizer.separator
        affordable = POINT_FLOPS / (POINT_TOKENS * forward_flops(config)) if device.type == "cpu" else 1.0
        self.share = min(1.0, affordable)
        self.stories = stories[: max(10, round(STORIES * self.share))]
        self.sequences = select_sequences(stories, separator, config.context_length, max(256, HEAD_TOKENS * self.share))
        self.names = [find_names(tokens, self.tokenizer.token_bytes) for tokens in self.sequences]
        texts = self.tokenizer.decode_batch(stories[:CLOZE_STORIES])
        asked = self._questions(texts) if language_of(texts).english else []
        self.questions, self.encoded = self._encode(asked)
        self.prompt = next(iter(run.recipe.train.prompts), "")

    def measure(self, model: GPT, step: int, tokens: int | None, seconds: float | None) -> TimelinePoint:
        """The point of a model after `step` steps."""
        with autocast(self.run.recipe.train.precision, self.device):
            scores = score_tokens(model, self.stories, self.tokenizer.separator, BATCH_TOKENS)
            log_probs = choice_log_probs(model_scorer(model, BATCH_TOKENS), self.encoded)
        loss = float(scores.losses.mean(dtype=np.float64))
        if not np.isfinite(loss):
            raise UserError(f"the model of step {step:,} computes no number")
        heads, _ = measure_heads(model, self.sequences, self.names, vocab_size=self.tokenizer.vocab_size)
        kinds = accuracy_figures(self.questions, log_probs)["kinds"] if self.questions else {}
        sampling = Sampling(max_new_tokens=SAMPLE_TOKENS)
        sample = Engine(model, self.tokenizer, notify=lambda message: None).generate([self.prompt], sampling)[0]
        return TimelinePoint(
            step=step, tokens=tokens, seconds=seconds, loss=loss, heads=heads, kinds=kinds, sample=sample.text
        )

    def ngrams(self) -> tuple[dict[str, KneserNey], int]:
        """N-gram models of the run's own training stories, and the tokens that they counted. Raises UserError if the
        training stories are not available.
        """
        return train_ngram_models(self.run.corpus().split("train"), self.tokenizer, COUNTED_TOKENS, ORDERS)

    def _questions(self, texts: Sequence[str]) -> list[Question]:
        """Pairs of understanding questions, evenly taken from those of each kind, and cloze questions."""
        chosen: list[Question] = []
        for kind, some in _by_kind(understanding_questions()).items():
            pairs = range(0, len(some), 2)
            count = min(len(pairs), max(4, round(QUESTIONS * self.share / 2)))
            taken = [pairs[i * len(pairs) // count] for i in range(count)]
            chosen += [Question(kind, q.context, q.choices, q.answer) for at in taken for q in some[at : at + 2]]
        cloze = cloze_questions(texts, max(8, round(CLOZE * self.share)))
        return chosen + [Question(f"{q.kind} (cloze)", q.context, q.choices, q.answer) for q in cloze]

    def _encode(self, questions: Sequence[Question]) -> tuple[list[Question], list[list[EncodedChoice]]]:
        """Those of the questions that the model's context holds, and their tokens."""
        kept, encoded = [], []
        for question in questions:
            try:
                encoded.append(encode_question(question, self.tokenizer, self.run.recipe.model.context_length))
            except UnavailableError:
                continue
            kept.append(question)
        return kept, encoded


def inspect_timeline(
    run: RunFolder, stories: Sequence[np.ndarray], device: torch.device, notes: list[str]
) -> Timeline | None:
    """Measure every point of a run on its held-out stories (token ids without end-of-text tokens).

    None if fewer than MIN_POINTS checkpoints are there and whole. Damaged ones are left out, with a sentence in `notes`
    for each.
    """
    from talewright.inspect.timeline_findings import timeline_findings

    if run.imported or len(point_steps(run)) < MIN_POINTS:
        return None
    measures = PointMeasures(run, stories, device)
    points = list(_measured(run, measures, notes))
    if sum(point.step > 0 for point in points) < MIN_POINTS:
        return None
    try:
        ngrams, counted = measures.ngrams()
    except UserError as error:
        notes.append(f"The timeline has no n-gram models, as the training stories are not available ({error}).")
        ngrams, counted = {}, 0
    losses = {name: model.score(measures.stories).losses for name, model in ngrams.items()}
    baselines = {name: float(each.mean(dtype=np.float64)) for name, each in losses.items()}
    tokens = sum(len(story) + 1 for story in measures.stories)
    return Timeline(
        points=points,
        baselines=baselines,
        counted_tokens=counted,
        stories=len(measures.stories),
        story_tokens=tokens,
        prompt=measures.prompt,
        findings=timeline_findings(points, baselines),
        ngrams=ngrams if counted < opening.COUNTED else {},  # then both count all training tokens
    )


def point_steps(run: RunFolder) -> list[int]:
    """The steps with a light or a full checkpoint, in order."""
    return sorted({*timeline_steps(run.path), *run.steps})


def load_point(run: RunFolder, step: int, model: GPT) -> None:
    """Read the weights of a step into a model: of its full checkpoint if that is whole, else of its light one. Raises
    UserError if neither can be read.
    """
    light, full = timeline_file(run.path, step), checkpoint_folder(run.path, step)
    if light.exists() and check(full, (WEIGHTS,)):
        load_light(light, model)
    elif fault := check(full, (WEIGHTS,)):
        raise UserError(f"{full} is damaged: {fault}")
    else:
        load_weights(full, model)


def write_timeline(timeline: Timeline, path: Path) -> None:
    """Write what was measured as JSON. Raises UserError if the file cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, timeline_values(timeline))
    except OSError as error:
        raise UserError(f"cannot write {path}: {error_reason(error)}") from None


def timeline_values(timeline: Timeline) -> dict[str, Any]:
    """The timeline as plain values."""

    def head_values(head: Head) -> dict[str, Any]:
        return {"head": head.name, "role": head.role, "roles": head.roles, "distance": head.distance}

    def point_values(point: TimelinePoint) -> dict[str, Any]:
        values = {name: getattr(point, name) for name in ("step", "tokens", "seconds", "loss", "kinds", "sample")}
        return {**values, "heads": [head_values(head) for head in point.heads]}

    names = ("findings", "baselines", "counted_tokens", "stories", "story_tokens", "prompt")
    values: dict[str, Any] = {name: getattr(timeline, name) for name in names}
    return {**values, "points": [point_values(point) for point in timeline.points]}


def _measured(run: RunFolder, measures: PointMeasures, notes: list[str]) -> Iterator[TimelinePoint]:
    """The untrained model's point, and that of each checkpoint."""
    history, model = run.history().training, run.initial_model(measures.device)
    when = {
        step: (tokens, seconds)
        for step, tokens, seconds in zip(history["step"], history["tokens"], history["seconds"], strict=True)
    }
    steps = point_steps(run)
    logger.info("Measuring the model at %s steps ...", len(steps) + 1)
    for step in (0, *steps):
        try:
            if step:
                load_point(run, step, model)
            yield measures.measure(model, step, *(when.get(step, (None, None)) if step else (0, 0.0)))
        except UserError as error:
            notes.append(f"The timeline leaves out step {step:,}: {error}.")


def _by_kind(questions: Sequence[Question]) -> Mapping[str, list[Question]]:
    kinds: dict[str, list[Question]] = {}
    for question in questions:
        kinds.setdefault(question.kind, []).append(question)
    return kinds
