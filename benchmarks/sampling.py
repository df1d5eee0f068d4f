"""Which sampling settings give the best stories: the figures of `talewright evaluate` under several settings.

    python benchmarks/sampling.py RUN [--stories 200] [--data STORIES] [--checkpoint best] [--seed 0]

Prints a Markdown table. Story i draws the same random numbers under every setting, so rows differ by the settings, not
by chance alone. The last row is real stories: those held out by the run, or the ones of STORIES.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

from talewright.evaluate import UnavailableError
from talewright.evaluate.context import EvaluationContext, EvaluationOptions
from talewright.evaluate.generation.classifier import RealStyle
from talewright.evaluate.generation.quality import quality_figures
from talewright.evaluate.memorization import overlap_figures
from talewright.evaluate.ngrams import words_of
from talewright.evaluate.text_overlap import OverlapSearch
from talewright.generate.sampling import Sampling
from talewright.run import RunFolder

SETTINGS = [
    *({"temperature": t, "top_p": p} for t in (0.6, 0.8, 1.0) for p in (0.9, 0.95, 1.0)),
    {"temperature": 0.7, "top_p": 0.95},
    {"temperature": 0.8, "top_p": 1.0, "top_k": 50},
    {"temperature": 0.8, "top_p": 1.0, "min_p": 0.05},
    {"temperature": 1.0, "top_p": 1.0, "min_p": 0.05},
]
COLUMNS = {
    "words": "words",
    "finished": "finished",
    "grammar": "grammar errors / 1,000 words",
    "rule_errors": "rule errors / 1,000 words",
    "repeated": "repeated 4-grams",
    "names_reused": "names reused",
    "pronouns_agree": "pronouns agree",
    "classifier_accuracy": "classifier accuracy",
    "invented": "invented words",
    "copied": "copied 10-grams",
}
PERCENT = set(COLUMNS) - {"words", "grammar", "rule_errors"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--stories", type=int, default=200)
    parser.add_argument("--data")
    parser.add_argument("--checkpoint", default="best")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    evaluation = EvaluationOptions(tasks=[], data=options.data, checkpoint=options.checkpoint)
    context = EvaluationContext(RunFolder(options.run), evaluation)
    count = min(options.stories, len(context.texts) // 2)
    if count == 0:
        sys.exit("at least two held-out stories are needed: name more with --data")
    texts, finished = {}, {}
    for setting in SETTINGS:
        sampling = dataclasses.replace(Sampling(), seed=options.seed, **setting)
        print(f"generating: {name_of(sampling)}", file=sys.stderr, flush=True)
        samples = context.engine.generate([""] * options.stories, sampling)
        texts[name_of(sampling)] = [sample.text for sample in samples]
        finished[name_of(sampling)] = sum(sample.finished for sample in samples) / len(samples)
    real = context.some_texts(2 * count)
    texts["real stories"] = real[1::2]
    print_table(figures_of(context, texts, real[::2]), finished)


def name_of(sampling: Sampling) -> str:
    """Temperature, and the filters that act."""
    filters = {"top-p": sampling.top_p, "top-k": sampling.top_k, "min-p": sampling.min_p}
    acting = [f"{name} {value:g}" for name, value in filters.items() if value is not None and value != 1]
    return ", ".join([f"temperature {sampling.temperature:g}", *acting])


def figures_of(
    context: EvaluationContext, texts: dict[str, list[str]], real: list[str]
) -> dict[str, dict[str, float | None]]:
    """The figures of each list of stories, by the names of COLUMNS."""
    style, vocabulary, search = RealStyle(real), None, OverlapSearch([text for each in texts.values() for text in each])
    try:
        training = list(context.training_words())
        vocabulary = frozenset(word for words in training for word in words)
        search.read(training)
    except UnavailableError as error:
        print(error, file=sys.stderr)
    rows, start = {}, 0
    for name, stories in texts.items():
        print(f"scoring: {name}", file=sys.stderr, flush=True)
        quality = quality_figures(stories, style, vocabulary)
        copied = overlap_figures(search, range(start, start + len(stories)))["copied_10grams"] if vocabulary else None
        start += len(stories)
        rows[name] = {column: _figure(quality.get(column)) for column in COLUMNS}
        rows[name] |= {"repeated": repeated(stories), "copied": copied}
    return rows


def repeated(stories: list[str], n: int = 4) -> float:
    """Mean share of a story's n-grams of words that occurred before in it."""
    shares = []
    for words in map(words_of, stories):
        ngrams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        shares.append(1 - len(set(ngrams)) / len(ngrams) if ngrams else 0.0)
    return sum(shares) / len(shares)


def _figure(value: Any) -> float | None:
    """A figure, or the main one of several."""
    return next((value[key] for key in ("errors", "share") if key in value), None) if isinstance(value, dict) else value


def print_table(rows: dict[str, dict[str, float | None]], finished: dict[str, float]) -> None:
    print("| settings | " + " | ".join(COLUMNS.values()) + " |")
    print("|---|" + "---:|" * len(COLUMNS))
    for name, figures in rows.items():
        cells = {**figures, "finished": finished.get(name)}
        print(f"| {name} | " + " | ".join(_cell(column, cells[column]) for column in COLUMNS) + " |")


def _cell(column: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{100 * value:.1f}%" if column in PERCENT else f"{value:.1f}"


if __name__ == "__main__":
    main()
