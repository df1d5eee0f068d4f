"""The parts of an inspection: what is measured on which stories, and the figures of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from talewright.errors import UserError
from talewright.inspect.alignment import AlignedSpan, align_losses
from talewright.inspect.circuits.pushes import Pushes, word_pushes
from talewright.inspect.circuits.search import CircuitInspection
from talewright.inspect.embeddings import frequent_words, map_embeddings, nearest_neighbors, token_word
from talewright.inspect.figures import attention as attention_figures
from talewright.inspect.figures import predictions as prediction_figures
from talewright.inspect.figures import weights as weight_figures
from talewright.inspect.figures.style import Panel
from talewright.inspect.heads import Head, attention_patterns, find_names, losses_without, measure_heads
from talewright.inspect.influence.query import InfluenceInspection
from talewright.inspect.neurons import Neuron, find_neurons, parse_neurons
from talewright.inspect.opening import NgramComparison, WrittenStory
from talewright.inspect.predictions import (
    LogitLens,
    PredictionStats,
    TokenPredictions,
    logit_lens,
    predict_tokens,
    prediction_stats,
)
from talewright.inspect.sequences import display_token, make_sequence, select_sequences
from talewright.inspect.timeline import Timeline
from talewright.inspect.weights import MatrixStats, measure_matrices, relative_change
from talewright.machine import autocast
from talewright.model.cost import forward_flops
from talewright.model.gpt import GPT
from talewright.run import RunFolder
from talewright.run.history import History
from talewright.tokenizer import Tokenizer

PATTERN_BYTES = 1_800_000
"""Size limit of the attention patterns in the report, one byte per weight; they are cut to the story's first tokens."""
STORY_TOKENS = range(60, 161)
"""Length of the story that is chosen if no text is given."""
COMPARED_STORIES = 400
"""Number of stories that are tokenized again for a second model."""


@dataclass(frozen=True, kw_only=True)
class InspectedModel:
    """A run's model at one checkpoint; without a model, if the run has no checkpoint yet."""

    run: RunFolder
    history: History
    model: GPT | None = None
    step: int | None = None

    @property
    def name(self) -> str:
        return self.history.name

    @property
    def tokenizer(self) -> Tokenizer:
        return self.run.tokenizer


@dataclass(frozen=True, kw_only=True)
class PredictionInspection:
    """Predictions on one story, and their figures on many."""

    tokens: TokenPredictions
    lens: LogitLens
    panels: list[Panel]
    spans: list[AlignedSpan] | None
    """The story's losses beside those of a second model, if there is one."""
    sequences: list[np.ndarray]
    """The stories of the figures."""
    stats: PredictionStats
    """Every prediction on them."""
    pushes: Pushes | None = None
    """What each part added to the score of each token of the story; None where parts do not add up (post-norm)."""


@dataclass(frozen=True, kw_only=True)
class AttentionInspection:
    """The attention patterns on one story, and what each head does on many."""

    tokens: np.ndarray
    """(T,): the story, after an end-of-text token."""
    patterns: np.ndarray
    """(L, H, T, T)"""
    heads: list[Head]
    panels: list[Panel]


@dataclass(frozen=True, kw_only=True)
class WeightInspection:
    """Statistics of every weight matrix, and the nearest neighbors of frequent words."""

    matrices: list[MatrixStats]
    panels: list[Panel]
    word_map: Panel | None
    """The most frequent words on a plane, if there are enough of them."""
    neighbors: dict[str, list[tuple[str, float]]]
    """By word, the words with the most similar embeddings, and the cosines."""


@dataclass(frozen=True, kw_only=True)
class NeuronInspection:
    """Neurons, and the sequences that their examples refer to."""

    neurons: list[Neuron]
    sequences: list[np.ndarray]


@dataclass(kw_only=True)
class Inspection:
    """The content of a report. A part that was not inspected is None."""

    model: InspectedModel
    story: WrittenStory | None = None
    """A story that the model wrote, which the report opens with."""
    verdict: str = ""
    """One sentence on the model, empty if nothing is known."""
    ngrams: NgramComparison | None = None
    other: InspectedModel | None = None
    notes: list[str] = field(default_factory=list)
    curves: list[Panel] | None = None
    predictions: PredictionInspection | None = None
    attention: AttentionInspection | None = None
    weights: WeightInspection | None = None
    neurons: NeuronInspection | None = None
    timeline: Timeline | None = None
    influence: InfluenceInspection | None = None
    circuits: CircuitInspection | None = None


class Inspector:
    """Inspects one model on stories (token ids without end-of-text tokens). `text` is the story to show token by token;
    one of the stories if it is None.
    """

    def __init__(self, inspected: InspectedModel, stories: Sequence[np.ndarray], text: str | None = None) -> None:
        assert inspected.model is not None
        self.inspected, self.model, self.tokenizer = inspected, inspected.model, inspected.tokenizer
        self.stories, self.text = stories, text

    def beside(self, other: InspectedModel) -> Inspector:
        """An inspector of another model on the same stories, in that model's tokens."""
        texts = self.tokenizer.decode_batch(self.stories[:COMPARED_STORIES])
        stories = [np.asarray(tokens) for tokens in other.tokenizer.encode_batch(texts)]
        return Inspector(other, stories, self.text or self.tokenizer.decode(self.story()))

    def sequences(self, max_tokens: int, flops: float, passes: float = 1.0) -> list[np.ndarray]:
        """Sequences with `max_tokens` predictions, or fewer if `passes` forward passes over them exceed the FLOPs."""
        affordable = max(256.0, flops / (passes * forward_flops(self.model.config)))
        separator, context = self.tokenizer.separator, self.model.config.context_length
        return select_sequences(self.stories, separator, context, min(max_tokens, affordable))

    def story(self) -> np.ndarray:
        """The sequence that is shown token by token. Raises UserError if the text is empty."""
        separator, context = self.tokenizer.separator, self.model.config.context_length
        if self.text is not None:
            tokens = self.tokenizer.encode(self.text)
            if not tokens:
                raise UserError("--text is empty; it is the story to inspect")
            return make_sequence(tokens, separator, context)
        fitting = (story for story in self.stories if len(story) in STORY_TOKENS and len(story) <= context)
        return make_sequence(next(fitting, self.stories[0]), separator, context)

    def patterns(self) -> tuple[np.ndarray, np.ndarray]:
        """The story's tokens (T,), and the attention patterns of every head on them (L, H, T, T)."""
        config = self.model.config
        longest = int((2 * PATTERN_BYTES / (config.n_layers * config.n_heads)) ** 0.5)
        tokens = self.story()[:-1][:longest]
        return tokens, attention_patterns(self.model, torch.from_numpy(tokens[None]))[:, 0].numpy()

    def heads(self) -> tuple[list[Head], dict[str, float]]:
        """What each head does on the stories, and what uniform attention would do."""
        sequences = self.sequences(6_000, 2e11)
        names = [find_names(tokens, self.tokenizer.token_bytes) for tokens in sequences]
        return measure_heads(self.model, sequences, names, vocab_size=self.tokenizer.vocab_size)

    def autocast(self) -> AbstractContextManager[Any]:
        """Matrix products in the run's own precision."""
        return autocast(self.inspected.run.recipe.train.precision, self.model.output_weight.device)


def labels(first: InspectedModel, second: InspectedModel) -> tuple[str, str]:
    """The different names of two models in a legend; with their steps, if both are of runs of one name."""
    if first.name != second.name:
        return first.name, second.name
    name, other = f"{first.name}, step {first.step}", f"{second.name}, step {second.step}"
    return name, other if other != name else f"{other} (the other)"


def inspect_predictions(inspector: Inspector, other: Inspector | None) -> PredictionInspection:
    """The model's predictions on its story and on many stories; those of another model beside them."""
    model, story, sequences = inspector.model, inspector.story(), inspector.sequences(20_000, 2.5e11)
    predictions, stats = predict_tokens(model, story), prediction_stats(model, sequences)
    losses = np.concatenate([logit_lens(model, tokens).losses for tokens in inspector.sequences(2_000, 1e11)], 1)
    models, spans = {inspector.inspected.name: stats}, None
    if other is not None:
        context = other.model.config.context_length
        texts = [inspector.tokenizer.decode(tokens) for tokens in sequences]
        same = [make_sequence(t, other.tokenizer.separator, context) for t in other.tokenizer.encode_batch(texts)]
        name, other_name = labels(inspector.inspected, other.inspected)
        models = {name: stats, other_name: prediction_stats(other.model, same)}
        theirs = predict_tokens(other.model, other.story())
        spans = align_losses(predictions, inspector.tokenizer, theirs, other.tokenizer)
    panels = [
        prediction_figures.lens_panel(losses.mean(1), losses.shape[1]),
        prediction_figures.position_panel(models),
        prediction_figures.calibration_panel(stats),
    ]
    lens = logit_lens(model, story)
    return PredictionInspection(
        tokens=predictions,
        lens=lens,
        panels=panels,
        spans=spans,
        sequences=sequences,
        stats=stats,
        pushes=story_pushes(model, story),
    )


def story_pushes(model: GPT, tokens: np.ndarray) -> Pushes | None:
    """What each part added to the score of each token of a story; None for a model whose parts do not add up."""
    try:
        return word_pushes(model, tokens)
    except UserError:
        return None


def inspect_attention(inspector: Inspector, plots: Path, other: Inspector | None) -> AttentionInspection:
    """Where the heads attend in the story, and what they do on many stories; those of another model beside them."""
    config = inspector.model.config
    tokens, patterns = inspector.patterns()
    heads, chance = inspector.heads()
    sequences = inspector.sequences(4_000, 3e12, 0.6 * config.n_layers * config.n_heads)
    with inspector.autocast():
        increases = losses_without(inspector.model, sequences)
    heads = [replace(head, loss_without=float(increases[head.layer, head.head])) for head in heads]
    _save_heatmaps(inspector, tokens, patterns, plots / "attention_heatmaps")
    panels = [
        attention_figures.roles_panel(heads, chance),
        attention_figures.loss_without_panel(heads, sum(len(tokens) - 1 for tokens in sequences)),
        attention_figures.distance_panel(heads),
    ]
    if other is not None:
        _save_heatmaps(other, *other.patterns(), plots / "attention_heatmaps" / "beside")
        names = labels(inspector.inspected, other.inspected)
        panels.append(
            attention_figures.roles_comparison_panel(dict(zip(names, (heads, other.heads()[0]), strict=True)))
        )
    return AttentionInspection(tokens=tokens, patterns=patterns, heads=heads, panels=panels)


def inspect_weights(inspector: Inspector, plots: Path, other: Inspector | None) -> WeightInspection:
    """The matrices, how training moved them, and the words of the embedding; another model's matrices beside them."""
    matrices = measure_matrices(inspector.model)
    panels = [
        weight_figures.norms_panel(matrices),
        weight_figures.ranks_panel(matrices),
        weight_figures.spectra_panel(matrices),
        weight_figures.std_panel(matrices),
    ]
    if other is not None:
        theirs, names = measure_matrices(other.model), labels(inspector.inspected, other.inspected)
        for measure in ("spectral_norm", "effective_rank"):
            panels.append(weight_figures.comparison_panel(matrices, theirs, names, measure))
    if changes := _changes(inspector.inspected):
        panels.append(weight_figures.change_panel(changes))
    weight_figures.save_weight_figures(matrices, panels, plots / "weight_distributions")
    embedding, tokenizer = inspector.model.embedding.weight.detach().float().cpu().numpy(), inspector.tokenizer
    words, word_map = frequent_words(inspector.stories[:2000], tokenizer, 600), None
    neighbors: dict[str, list[tuple[str, float]]] = {}
    if len(words) > 3:
        texts = [token_word(tokenizer, token) for token in words[:64]]
        word_map = weight_figures.embedding_panel(texts, *map_embeddings(embedding, words[:64]))
        for token, near in zip(words, nearest_neighbors(embedding, words, words, 8), strict=True):
            neighbors[token_word(tokenizer, token)] = [(token_word(tokenizer, each), cosine) for each, cosine in near]
    return WeightInspection(matrices=matrices, panels=panels, word_map=word_map, neighbors=neighbors)


def inspect_neurons(inspector: Inspector, wanted: str) -> NeuronInspection:
    """The wanted neurons, or those that respond most clearly to one token, and their strongest stories."""
    sequences = inspector.sequences(24_000, 1e12)
    with inspector.autocast():
        neurons = find_neurons(inspector.model, sequences, parse_neurons(wanted, inspector.model.config))
    return NeuronInspection(neurons=neurons, sequences=sequences)


def _changes(inspected: InspectedModel) -> dict[int, dict[str, float]]:
    """By step of each whole checkpoint, how far the matrices are from initialization."""
    run, cpu = inspected.run, torch.device("cpu")
    initial, changes = run.initial_model(cpu), {}
    for step in run.steps:
        try:
            changes[step] = relative_change(run.load_model(str(step), cpu)[0], initial)
        except UserError:  # damaged, or deleted meanwhile
            continue
    return changes


def _save_heatmaps(inspector: Inspector, tokens: np.ndarray, patterns: np.ndarray, folder: Path) -> None:
    texts = [display_token(inspector.tokenizer, int(token)) for token in tokens]
    attention_figures.save_heatmaps(patterns, texts, folder)
