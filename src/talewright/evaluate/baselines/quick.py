"""Losses of the simplest language models on a run's stories, in about a second: lines to compare a loss with."""

from __future__ import annotations

from pathlib import Path

from talewright.evaluate.baselines.kneser_ney import ORDERS, train_ngram_models
from talewright.evaluate.likelihood import summarize
from talewright.run import RunFolder
from talewright.run.evaluated import evaluated_stories

QUICK = ("unigram", "bigram")
MAX_TOKENS = 500_000
"""Training tokens that are counted."""


def quick_baselines(run: Path) -> dict[str, float]:
    """The loss of each n-gram model of QUICK, in nats per token, on the validation stories that training evaluates on.

    Raises UserError if the run's stories are unavailable.
    """
    folder = RunFolder(run)
    corpus = folder.corpus()
    stories, sizes, *_ = evaluated_stories(folder, corpus)
    orders = {name: ORDERS[name] for name in QUICK}
    models, _ = train_ngram_models(corpus.split("train"), corpus.tokenizer, MAX_TOKENS, orders)
    return {f"{name} model": summarize(model.score(stories), sizes).loss for name, model in models.items()}
