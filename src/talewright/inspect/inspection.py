"""All that is looked at in a run, put together: what is measured on which stories, and what is written where."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from talewright.errors import UserError
from talewright.inspect.activations import record
from talewright.inspect.alignment import Stretch, compare_readings
from talewright.inspect.curves import curve_panels, save_curves
from talewright.inspect.embeddings import frequent_words, map_words, neighbours, word_of
from talewright.inspect.figures.attention import (
    loss_without_panel,
    reach_panel,
    roles_beside_panel,
    roles_panel,
    save_heatmaps,
)
from talewright.inspect.figures.predictions import calibration_panel, lens_panel, position_panel
from talewright.inspect.figures.style import Panel
from talewright.inspect.figures.weights import (
    Movement,
    beside_panel,
    movement_panel,
    norms_panel,
    ranks_panel,
    save_weights,
    spectra_panel,
    spread_panel,
    words_panel,
)
from talewright.inspect.heads import Head, find_names_of_people, losses_without, measure_heads
from talewright.inspect.neurons import Neuron, find_neurons, parse_neurons
from talewright.inspect.predictions import Lens, Reading, look_by_layer, read, survey
from talewright.inspect.sequences import choose_passages, passage
from talewright.inspect.weights import Matrix, measure_matrices, moved
from talewright.model.cost import forward_flops
from talewright.model.gpt import GPT
from talewright.run.history import History, write_history
from talewright.tokenizer import Tokenizer

PARTS = ("curves", "predictions", "attention", "weights", "neurons")
"""What can be asked for by itself."""
ATTENTION_BYTES = 1_800_000
"""Weights of attention that the report holds, a byte each: the story's beginning, as far as they go."""
STORY = range(60, 161)
"""Tokens of the story that is chosen where none is given."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model that is looked at, and the run that it comes from. Without a model, only its curves can be seen."""

    name: str
    tokenizer: Tokenizer
    history: History
    model: GPT | None = None
    step: int | None = None


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What is to be looked at."""

    parts: tuple[str, ...] = PARTS
    text: str | None = None
    """The story that is looked at; one of the stories unless told."""
    neurons: str = ""
    """Neurons to show, as in "0.12,3.511"; those with the clearest subjects unless told."""
    seed: int = 0


@dataclass(kw_only=True)
class Found:
    """What was seen, for the report. A part that was not asked for is None."""

    subject: Subject
    other: Subject | None = None
    notes: list[str] = field(default_factory=list)
    curves: list[Panel] | None = None
    predictions: Predictions | None = None
    attention: Attention | None = None
    weights: Weights | None = None
    neurons: list[Neuron] | None = None
    passages: list[np.ndarray] = field(default_factory=list)
    """The stories on which neurons were looked at."""
    stretches: list[Stretch] | None = None


@dataclass(frozen=True, kw_only=True)
class Predictions:
    reading: Reading
    lens: Lens
    panels: list[Panel]


@dataclass(frozen=True, kw_only=True)
class Attention:
    tokens: np.ndarray
    """(T,): what is read, the end of text before the story first."""
    weights: np.ndarray
    """(L, H, T, T)"""
    heads: list[Head]
    panels: list[Panel]


@dataclass(frozen=True, kw_only=True)
class Weights:
    matrices: list[Matrix]
    panels: list[Panel]
    near: dict[str, list[tuple[str, float]]]
    """By word, the words whose embeddings point most the same way."""


Fast = Callable[[], AbstractContextManager[Any]]
"""Gives a context in which matrix products run at the run's own precision."""
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look at a subject: on these stories, as it was wished."""

    subject: Subject
    model: GPT
    stories: Sequence[np.ndarray]
    wishes: Wishes
    fast: Fast = nullcontext

    def passages(self, most: int, flops: float, each: float = 1.0) -> list[np.ndarray]:
        """Stories for a figure that takes `each` forward passes a token: `most` tokens, or what the budget allows."""
        config = self.model.config
        allowed = max(256.0, flops / (each * forward_flops(config)))
        return choose_passages(self.stories, self.subject.tokenizer.eos_id, config.context_length, min(most, allowed))

    def story(self) -> np.ndarray:
        """The passage that is looked at token by token. Raises UserError where there is no text in it."""
        eos, context = self.subject.tokenizer.eos_id, self.model.config.context_length
        if self.wishes.text is not None:
            tokens = self.subject.tokenizer.encode(self.wishes.text)
            if not tokens:
                raise UserError("--text is empty; it is the story to look at")
            return passage(tokens, eos, context)
        fitting = (story for story in self.stories if len(story) in STORY and len(story) <= context)
        return passage(next(fitting, self.stories[0]), eos, context)


def look(
    subject: Subject,
    stories: Sequence[np.ndarray],
    wishes: Wishes,
    folder: Path,
    *,
    other: Subject | None = None,
    checkpoints: Callable[[], Iterator[tuple[int, GPT]]] = lambda: iter(()),
    start: Callable[[], GPT] | None = None,
    fast: Fast = nullcontext,
    say: Say = lambda words: None,
) -> Found:
    """Look at a run on these stories (token ids without an end of text), and write `plots/` into the folder.

    `checkpoints` gives the run's models step by step, `start` the one before training. `other` is set beside it.
    """
    found = Found(subject=subject, other=other)
    histories = [each.history for each in (subject, other) if each is not None and each.history.steps]
    histories = [h for i, h in enumerate(histories) if h not in histories[:i]]
    if "curves" in wishes.parts and histories:
        say("drawing the curves ...")
        found.curves = curve_panels(histories)
        save_curves(histories, folder / "plots" / "training_curves.png")
        write_history(subject.history, folder / "plots")
    if subject.model is None:
        return found
    one = Look(subject=subject, model=subject.model, stories=stories, wishes=wishes, fast=fast)
    for part in PARTS[1:]:
        if part in wishes.parts:
            say(f"looking at {part} ...")
            if part == "weights":
                found.weights = look_at_weights(one, folder, checkpoints, start, other)
            elif part == "attention":
                found.attention = look_at_attention(one, folder, other)
            elif part == "predictions":
                found.predictions, found.stretches = look_at_predictions(one, other)
            else:
                found.neurons, found.passages = look_at_neurons(one)
    return found


def look_at_predictions(one: Look, other: Subject | None) -> tuple[Predictions, list[Stretch] | None]:
    """What the model expects of the story, and on many stories; and where another expects better."""
    story, passages = one.story(), one.passages(20_000, 2.5e11)
    reading, whole = read(one.model, story), survey(one.model, passages)
    looked = one.passages(2_000, 1e11)
    lenses = [look_by_layer(one.model, tokens).losses for tokens in looked]
    surveys = {_label(one.subject, other): whole}
    stretches = None
    if other is not None and other.model is not None:
        text = one.subject.tokenizer.decode(story)
        second = passage(other.tokenizer.encode(text), other.tokenizer.eos_id, other.model.config.context_length)
        stretches = compare_readings(reading, one.subject.tokenizer, read(other.model, second), other.tokenizer)
        surveys[_label(other, one.subject)] = survey(other.model, _retold(passages, one.subject, other))
    panels = [
        lens_panel(np.concatenate(lenses, 1).mean(1), sum(losses.shape[1] for losses in lenses)),
        position_panel(surveys),
        calibration_panel(whole),
    ]
    return Predictions(reading=reading, lens=look_by_layer(one.model, story), panels=panels), stretches


def look_at_attention(one: Look, folder: Path, other: Subject | None) -> Attention:
    """Where the heads look in the story, and what they do on many stories; and what another model's do there."""
    model, config, heatmaps = one.model, one.model.config, folder / "plots" / "attention_heatmaps"
    tokens, squares = _attention_of(one)
    heads, chance = _heads_of(one)
    few = one.passages(4_000, 3e12, 0.6 * config.n_layers * config.n_heads)
    with one.fast():
        rises = losses_without(model, few)
    heads = [head.with_loss(float(rises[head.layer, head.head])) for head in heads]
    save_heatmaps(squares, [shown(one.subject.tokenizer, int(token)) for token in tokens], heatmaps)
    counted = sum(len(each) - 1 for each in few)
    panels = [roles_panel(heads, chance), loss_without_panel(heads, counted), reach_panel(heads)]
    if other is not None and other.model is not None:
        second = _other_look(one, other, other.model)
        theirs, weights = _attention_of(second)
        save_heatmaps(weights, [shown(other.tokenizer, int(token)) for token in theirs], heatmaps / "beside")
        named = {_label(one.subject, other): heads, _label(other, one.subject): _heads_of(second)[0]}
        panels.append(roles_beside_panel(named))
    return Attention(tokens=tokens, weights=squares, heads=heads, panels=panels)


def _attention_of(one: Look) -> tuple[np.ndarray, np.ndarray]:
    """The story's tokens (T,), and the attention of every head to them (L, H, T, T)."""
    config = one.model.config
    most = int((2 * ATTENTION_BYTES / (config.n_layers * config.n_heads)) ** 0.5)
    tokens = one.story()[:-1][:most]
    inputs = torch.from_numpy(tokens[None]).to(one.model.output_weight.device)
    weights = record(one.model, inputs, ["blocks.*.attn.pattern"]).values()
    return tokens, torch.stack([w[0].float().cpu() for w in weights]).numpy()


def _heads_of(one: Look) -> tuple[list[Head], dict[str, float]]:
    """What its heads do on its stories, and what even attention would."""
    passages = one.passages(6_000, 2e11)
    names = [find_names_of_people(each, one.subject.tokenizer.token_bytes) for each in passages]
    return measure_heads(one.model, passages, names, one.wishes.seed)


def _other_look(one: Look, other: Subject, model: GPT) -> Look:
    """The same look at another subject: the same stories, in its own tokens."""
    texts = one.subject.tokenizer.decode_batch(one.stories[:400])
    stories = [np.asarray(tokens) for tokens in other.tokenizer.encode_batch(texts)]
    wishes = replace(one.wishes, text=one.wishes.text or one.subject.tokenizer.decode(one.story()))
    return Look(subject=other, model=model, stories=stories, wishes=wishes, fast=one.fast)


def look_at_weights(
    one: Look,
    folder: Path,
    checkpoints: Callable[[], Iterator[tuple[int, GPT]]],
    start: Callable[[], GPT] | None,
    other: Subject | None,
) -> Weights:
    """The matrices, how they moved, the words of the embedding; and how another model's matrices differ."""
    found = measure_matrices(one.model)
    panels = [norms_panel(found), ranks_panel(found), spectra_panel(found), spread_panel(found)]
    if other is not None and other.model is not None:
        names = (_label(one.subject, other), _label(other, one.subject))
        theirs = measure_matrices(other.model)
        panels += [beside_panel(found, theirs, names, figure) for figure in ("spectral_norm", "effective_rank")]
    movement: Movement = {}
    if start is not None:
        first = start()
        movement = {step: moved(model, first) for step, model in checkpoints()}
    if movement:
        panels.append(movement_panel(movement))
    save_weights(found, panels, folder / "plots" / "weight_distributions")
    embedding = one.model.embedding.weight.detach().float().cpu().numpy()
    tokenizer = one.subject.tokenizer
    often = frequent_words(one.stories[:2000], tokenizer, 600)
    near = {}
    if len(often) > 3:
        panels.append(words_panel(map_words(embedding, often[:64], tokenizer)))
        nearest = neighbours(embedding, often, often, 8)
        near = {
            word_of(tokenizer, token) or "": [(word_of(tokenizer, other) or "", cosine) for other, cosine in some]
            for token, some in zip(often, nearest, strict=True)
        }
    return Weights(matrices=found, panels=panels, near=near)


def look_at_neurons(one: Look) -> tuple[list[Neuron], list[np.ndarray]]:
    """Neurons with a subject, and the stories in which they fire."""
    passages = one.passages(24_000, 1e12)
    wanted = parse_neurons(one.wishes.neurons, one.model.config)
    with one.fast():
        return find_neurons(one.model, passages, wanted), passages


def shown(tokenizer: Tokenizer, token: int) -> str:
    """A token for a reader: its text, with what cannot be seen spelled out."""
    if token == tokenizer.eos_id:
        return "⟨end⟩"
    text = tokenizer.decode([token]).replace("\n", "⏎")
    return "".join(sign if sign.isprintable() else f"⟨{ord(sign):02X}⟩" for sign in text)


def _retold(passages: Sequence[np.ndarray], one: Subject, other: Subject) -> list[np.ndarray]:
    """The same stories for another model."""
    assert other.model is not None
    texts = [one.tokenizer.decode(tokens) for tokens in passages]
    context = other.model.config.context_length
    return [passage(tokens, other.tokenizer.eos_id, context) for tokens in other.tokenizer.encode_batch(texts)]


def _label(subject: Subject, beside: Subject | None) -> str:
    if beside is not None and beside.name == subject.name:
        return f"{subject.name}, step {subject.step}"
    return subject.name
