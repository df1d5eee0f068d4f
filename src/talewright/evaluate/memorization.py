"""Whether a model repeats its training stories, and whether its splits share stories.

Three measurements, after the section on memorization in TinyStories (Eldan & Li 2023, arXiv:2305.07759): what generated
stories share with the training stories, word for word; the nearest training story to each by ROUGE-2; and how the model
continues the first part of training stories, compared with stories that it has never seen. Words are compared in lower
case, without punctuation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from talewright.data.corpus import evenly_spread
from talewright.evaluate.context import EvaluationContext
from talewright.evaluate.ngrams import rouge_precision, words_of
from talewright.evaluate.split_overlap import N
from talewright.evaluate.text_overlap import OverlapSearch

CONTINUED = 50
"""Training stories, and as many held-out ones, that the model continues, evenly spread over all."""
PROMPT_SHARE = 0.4
"""Share of a story's tokens that is the prompt."""


def evaluate_memorization(context: EvaluationContext) -> dict[str, Any]:
    """The figures of stories that the model generates, and those of as many held-out stories."""
    search, splits, _ = context.training_overlap
    count = len(context.samples)
    context.log("continuing stories")
    return {
        **overlap_figures(search, range(count)),
        "held_out": overlap_figures(search, range(count, len(search.words))),
        "splits": splits.figures(),
        "continued": _continuation_figures(context),
    }


def overlap_figures(search: OverlapSearch, which: range) -> dict[str, Any]:
    """What some of the searched texts share with the corpus."""
    matches = search.matches()
    own = [matches[search.starts[i] : search.starts[i] + search.lengths[i]] for i in which]
    longest = np.array([lengths.max(initial=0) for lengths in own])
    some = slice(which.start, which.stop)
    shares = search.ngram_shares(N)[some]
    counts = np.maximum(search.lengths[some] - N + 1, 0)
    nearest, rouge = (values[some] for values in search.nearest())
    order = sorted(range(len(which)), key=lambda i: (-longest[i], i))[:3]
    return {
        "longest": int(longest.max(initial=0)),
        "longest_mean": _mean(longest),
        "copied_10grams": float((shares * counts).sum() / max(1, counts.sum())),
        "half_copied": _mean(shares >= 0.5),
        "nearest_rouge2": _mean(rouge),
        "nearest_rouge2_highest": float(rouge.max(initial=0)),
        "nearest": nearest.tolist(),
        "examples": [_example(search, which[i], own[i]) for i in order if longest[i]],
    }


def _continuation_figures(context: EvaluationContext) -> dict[str, float]:
    """ROUGE-2 precision of the model's greedy continuation of stories against the stories' own, for training stories
    and for held-out ones.
    """
    train = context.train
    known, _ = train.stories(evenly_spread(CONTINUED, train.n_stories))
    stories = known + [context.stories[i] for i in evenly_spread(CONTINUED, len(context.stories))]
    cuts = [max(1, int(PROMPT_SHARE * len(story))) for story in stories]
    prompts = context.tokenizer.decode_batch(story[:cut] for story, cut in zip(stories, cuts, strict=True))
    rests = context.tokenizer.decode_batch(story[cut:] for story, cut in zip(stories, cuts, strict=True))
    samples = context.engine.generate(
        prompts, replace(context.generation.sampling, temperature=0.0, max_new_tokens=100)
    )
    scores = [
        rouge_precision(words_of(sample.continuation), words_of(rest), 2)
        for sample, rest in zip(samples, rests, strict=True)
    ]
    return {"training": _mean(scores[: len(known)]), "held_out": _mean(scores[len(known) :])}


def _example(search: OverlapSearch, i: int, matches: np.ndarray) -> dict[str, Any]:
    """The longest match of a text."""
    position = int(matches.argmax())
    length = int(matches[position])
    return {
        "story": i,
        "words": length,
        "text": " ".join(search.words[i][position : position + length]),
        "training_story": search.source(int(search.starts[i]) + position, length),
    }


def _mean(values: Iterable[Any]) -> float:
    numbers = [float(value) for value in values]
    return sum(numbers) / max(1, len(numbers))
