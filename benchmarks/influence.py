"""Does what `talewright inspect --influence` finds matter? Trains again without it.

python benchmarks/influence.py [--run RUN] [--sentences "..." "..."] [--top 25] [--seeds 3] [--steps N]

1. For each sentence: the loss on it after training on all stories, without the most influential ones, without those
   that share the most words with it, and without as many random ones. Weights start the same and the batches are the
   same: a story that is left out keeps its row, and its tokens do not count.
2. On a tiny corpus: the rank correlation of influence with how much the loss rises when a story is left out alone.

Without --run, a tiny model on bundled stories; with it, the recipe, the tokenizer and the stories of that run (one
story to a row). Needs (1 + 3 x sentences) x seeds trainings, and one for each story of the tiny corpus.
"""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from torch import Tensor

from talewright.config import Recipe, load_recipe
from talewright.data import Batches, Corpus, open_corpus
from talewright.data.batches import IGNORED
from talewright.inspect.influence.index import build_index
from talewright.inspect.influence.overlap import shared_ngrams
from talewright.inspect.influence.projections import SecondMoment
from talewright.inspect.sequences import batches, make_sequence
from talewright.machine import autocast
from talewright.model.gpt import GPT
from talewright.model.loss import cross_entropy
from talewright.run import RunFolder
from talewright.train.optimizer import make_optimizer
from talewright.train.schedule import lr_multiplier

SENTENCES = (
    "Tom had a red ball and he loved to play with it.",
    "The dog ran to the park and saw a bird.",
    "Lily was sad because she lost her doll.",
    "Mom made a cake for the party.",
    "The little bird could not fly.",
    "One day, a boy found a key in the garden.",
    "The cat was hungry and wanted some milk.",
    "Anna and Ben built a tower of blocks.",
    "It was raining, so they stayed at home.",
    "The king lived in a big castle.",
)
TINY = """
model: {n_layers: 2, n_heads: 2, d_model: 48, d_ff: 96, vocab_size: 512, context_length: 96, positions: rotary}
data: {source: bundled, limit: 800, layout: rows}
schedule: {warmup_steps: 10}
train: {learning_rate: 1e-2, micro_batch: 24, max_steps: 200}
"""


@dataclass
class Options:
    run: str | None = None
    """Run folder whose recipe and stories are used; a tiny model on bundled stories if unset."""
    sentences: tuple[str, ...] = SENTENCES
    """Sentences whose loss is measured."""
    top: int = 25
    """Stories that are left out at once."""
    seeds: int = 3
    """Trainings of each kind: other initial weights, another order, other random stories."""
    steps: int | None = None
    """Steps of a training; the recipe's if unset."""
    tiny_corpus: int = 40
    """Stories of the corpus of which each is left out alone; 0 leaves this part out."""
    tiny_steps: int = 40
    """Steps of its trainings, each on all of its stories."""


@dataclass
class Experiment:
    """A recipe, its training stories and the sentences."""

    recipe: Recipe
    corpus: Corpus
    sentences: list[np.ndarray]
    """Each with the token before it."""

    def train(self, seed: int, left_out: Collection[int] = (), only: int | None = None) -> tuple[GPT, Moments]:
        """A model trained without some stories; with `only`, each step on all of the first `only` stories."""
        recipe, split = self.recipe, self.corpus.split("train")
        torch.manual_seed(seed)
        model = GPT(recipe.model)
        optimizer = make_optimizer(model, recipe.optimizer, recipe.train.learning_rate)
        order = Batches(split, context_length=recipe.sequence_length, layout="rows", stride=None, seed=seed)
        rows, steps = only or recipe.train.micro_batch * recipe.train.accumulation, recipe.train.max_steps or 0
        gone = np.array(sorted(left_out), dtype=int)
        for step in range(steps):
            first = 0 if only else step * rows
            stories = np.array([order.stories(i, 1)[0] for i in range(first, first + rows)])
            inputs, targets = order.samples(first, rows)
            targets[np.isin(stories, gone)] = IGNORED
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * lr_multiplier(recipe.schedule, step, step / steps)
            with autocast(recipe.train.precision, model.output_weight.device):
                hidden = model.hidden(torch.from_numpy(inputs))
                loss = cross_entropy(hidden, model.output_weight, torch.from_numpy(targets))
            (loss / max(1, int((targets >= 0).sum()))).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.optimizer.clip or float("inf"))
            optimizer.step()
            optimizer.zero_grad()
        return model.eval(), moments_of(model, optimizer)

    def losses(self, model: GPT) -> list[float]:
        """The mean loss on each sentence, in nats per token."""
        with torch.no_grad():
            return [
                float(cross_entropy(model.hidden(tokens), model.output_weight, targets)) / (len(sentence) - 1)
                for sentence in self.sentences
                for tokens, targets in batches([sentence])
            ]

    def scores(self, model: GPT, moments: Moments, numbers: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """For each sentence and story: the influence, and the share of n-grams, (sentences, stories) each."""
        split, separator = self.corpus.split("train"), self.corpus.tokenizer.separator
        stories = [split.story(number) for number in numbers]
        sequences = [make_sequence(story, separator, self.recipe.model.context_length) for story in stories]
        index = build_index(model, numbers, sequences, moments)
        projector = index.projector(model)
        gradients = torch.cat([projector.gradients(*next(batches([each]))) for each in self.sentences])
        shared = [shared_ngrams(each[1:], stories) for each in self.sentences]
        return index.scores(index.query(gradients)).numpy(), np.array(shared)


Moments = dict[str, SecondMoment]


def moments_of(model: GPT, optimizer: torch.optim.Optimizer) -> Moments:
    """AdamW's second moments of the matrices that it trains."""
    found: dict[str, Tensor] = {
        name: optimizer.state[parameter]["exp_avg_sq"]
        for name, parameter in model.named_parameters()
        if parameter.dim() == 2 and "exp_avg_sq" in optimizer.state[parameter]
    }
    return {name: SecondMoment.of(value) for name, value in found.items()}


def open_experiment(options: Options) -> Experiment:
    if options.run is None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "tiny.yaml"
            path.write_text(TINY)
            recipe = load_recipe(path)
        corpus = open_corpus(recipe)
    else:
        run = RunFolder(options.run)
        recipe, corpus = run.recipe, run.corpus()
    train = dataclasses.replace(recipe.train, max_steps=options.steps or recipe.train.max_steps)
    separator, context = corpus.tokenizer.separator, recipe.model.context_length
    sentences = [
        make_sequence(tokens, separator, context)[: len(tokens) + 1]
        for tokens in corpus.tokenizer.encode_batch(list(options.sentences))
    ]
    return Experiment(dataclasses.replace(recipe, train=train), corpus, sentences)


def leave_many_out(experiment: Experiment, options: Options) -> None:
    """Part 1: print, for each sentence, the loss and its rises, each a mean over seeds."""
    numbers = list(range(experiment.corpus.split("train").n_stories))
    kinds = ("influential", "by words", "random")
    rises: dict[str, list[list[float]]] = {kind: [[] for _ in experiment.sentences] for kind in kinds}
    losses: list[list[float]] = [[] for _ in experiment.sentences]
    for seed in range(options.seeds):
        model, moments = experiment.train(seed)
        influence, shared = experiment.scores(model, moments, numbers)
        before, generator = experiment.losses(model), np.random.default_rng(seed)
        for i in range(len(experiment.sentences)):
            losses[i].append(before[i])
            left_out = {
                "influential": np.argsort(-influence[i])[: options.top],
                "by words": np.argsort(-shared[i], kind="stable")[: options.top],
                "random": generator.choice(len(numbers), options.top, replace=False),
            }
            for kind, stories in left_out.items():
                after = experiment.losses(experiment.train(seed, stories.tolist())[0])
                rises[kind][i].append(after[i] - before[i])
    print(f"\nRise of the loss on a sentence without {options.top} of {len(numbers):,} stories (mean of "
          f"{options.seeds} seeds, +- standard error)\n")  # fmt: skip
    print(f"{'loss':>6}" + "".join(f"{kind:>18}" for kind in kinds) + "  sentence")
    for i, sentence in enumerate(options.sentences):
        cells = "".join(f"{mean_and_error(rises[kind][i]):>18}" for kind in kinds)
        print(f"{statistics.mean(losses[i]):6.3f}{cells}  {sentence}")
    everything = {kind: [statistics.mean(values) for values in rises[kind]] for kind in kinds}
    print(f"{'':6}" + "".join(f"{mean_and_error(everything[kind]):>18}" for kind in kinds) + "  mean of the sentences")


def leave_one_out(experiment: Experiment, options: Options) -> None:
    """Part 2: print the rank correlations."""
    train = dataclasses.replace(experiment.recipe.train, max_steps=options.tiny_steps)
    recipe = dataclasses.replace(experiment.recipe, train=train)
    tiny = dataclasses.replace(experiment, recipe=recipe)
    count = options.tiny_corpus
    split, length = tiny.corpus.split("train"), recipe.sequence_length
    order = Batches(split, context_length=length, layout="rows", stride=None, seed=0)
    numbers = [order.stories(i, 1)[0] for i in range(count)]
    model, moments = tiny.train(0, only=count)
    influence, shared = tiny.scores(model, moments, numbers)
    before = np.array(tiny.losses(model))
    rises = np.array([np.array(tiny.losses(tiny.train(0, [number], only=count)[0])) - before for number in numbers]).T
    print(f"\nRank correlation with the rise of the loss without each of {count} stories alone\n")
    print(f"{'influence':>10}{'words':>8}  sentence")
    pairs = [(spearman(influence[i], rises[i]), spearman(shared[i], rises[i])) for i in range(len(before))]
    for (ours, words), sentence in zip(pairs, options.sentences, strict=True):
        print(f"{ours:10.2f}{words:8.2f}  {sentence}")
    print(f"{np.mean([a for a, _ in pairs]):10.2f}{np.mean([b for _, b in pairs]):8.2f}  mean")


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """The rank correlation; ranks of equal values are their mean."""

    def ranks(values: np.ndarray) -> np.ndarray:
        _, number, counts = np.unique(values, return_inverse=True, return_counts=True)
        return (np.cumsum(counts) - (counts - 1) / 2)[number]

    if len(np.unique(a)) == 1 or len(np.unique(b)) == 1:
        return 0.0
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def mean_and_error(values: list[float]) -> str:
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return f"{statistics.mean(values):+.3f} +- {error:.3f}"


def main(options: Options) -> None:
    started = time.perf_counter()
    experiment = open_experiment(options)
    leave_many_out(experiment, options)
    if options.tiny_corpus:
        leave_one_out(experiment, options)
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main(tyro.cli(Options))
