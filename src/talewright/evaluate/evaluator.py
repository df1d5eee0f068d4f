"""The evaluation of runs: the tasks, and the scores.json that they fill in each run folder."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from talewright.data.corpus import evenly_spread
from talewright.errors import UserError
from talewright.evaluate import UnavailableError
from talewright.evaluate.baselines.compressors import compressed_bits_per_byte
from talewright.evaluate.baselines.kneser_ney import ngram_scorer
from talewright.evaluate.context import EvaluationContext, EvaluationOptions
from talewright.evaluate.generation.quality import evaluate_generation
from talewright.evaluate.likelihood import (
    TextUnits,
    TokenScores,
    by_length,
    by_position,
    check_finite,
    check_stories,
    intervals,
    score_stories,
    score_tokens,
    summarize,
)
from talewright.evaluate.memorization import evaluate_memorization
from talewright.evaluate.multiple_choice.cloze import cloze_questions
from talewright.evaluate.multiple_choice.scoring import (
    Question,
    Scorer,
    accuracy_figures,
    choice_log_probs,
    encode_question,
    model_scorer,
)
from talewright.evaluate.multiple_choice.understanding import understanding_figures, understanding_questions
from talewright.evaluate.scores import FORMAT, OLD_TASKS, VERSION, add_task, held_out_facts, reusable_tasks, scores_path
from talewright.files import read_json
from talewright.machine import autocast, gpu_memory_errors, keep_heap
from talewright.model.cost import count_parameters
from talewright.run import RunFolder
from talewright.run.evaluated import evaluated_stories, start_of
from talewright.version import __version__

logger = logging.getLogger(__name__)

Figures = dict[str, Any]

UNTRAINED_STORIES = 500
"""Held-out stories, evenly spread, that the untrained model is scored on. All of them would take as long as the trained
model, and give the same loss to a thousandth."""


def evaluate_runs(folders: Sequence[Path], options: EvaluationOptions) -> list[Figures]:
    """Evaluate each run and write its scores. Warns if runs were evaluated on different stories.

    Raises UserError if a folder is not a run, before any is evaluated.
    """
    runs = [RunFolder(folder) for folder in folders]
    scores = [evaluate_run(run, options) for run in runs]
    if len({own["held_out"]["sha256"] for own in scores}) > 1:
        logger.warning(
            "These runs were scored on different stories and cannot be compared. Use --data to name the same for all"
        )
    return scores


def evaluate_run(run: RunFolder, options: EvaluationOptions) -> Figures:
    """Evaluate a run and write its scores, those on other stories into a file of their own (see scores.py). Tasks of
    the same weights, stories and options are kept.
    """
    keep_heap()
    context = EvaluationContext(run, options)
    scores: Figures = {
        "format": FORMAT,
        "version": VERSION,
        "talewright": __version__,
        "name": run.recipe.name,
        "run": _run_facts(run, context.checkpoint),
        "held_out": held_out_facts(context.source, context.texts),
        "generation_options": asdict(options.generation),
    }
    if context.note is not None:
        scores["note"] = context.note
    path = scores_path(run.results, options.data)
    if run.included:
        with suppress(OSError):  # `add_task` warns
            path.parent.mkdir(exist_ok=True)
        logger.info("The scores go into %s", path)
    scores["tasks"] = reusable_tasks(path, scores)
    for name in options.tasks:  # each is written before the next starts, so an interruption loses only one
        context.log(name)
        try:
            with gpu_memory_errors(context.device):
                figures = TASKS[name](context)
        except UnavailableError as error:
            figures = {"unavailable": str(error)}
        add_task(path, scores, name, figures)
    return scores


def _run_facts(run: RunFolder, checkpoint: Path) -> Figures:
    """What was trained, on what machine, and for how long."""
    state = read_json(checkpoint / "state.json") or {}
    manifest = read_json(checkpoint / "manifest.json") or {}
    start = start_of(run.path)
    return {
        "folder": run.name,
        "checkpoint": checkpoint.name,
        "weights": manifest.get("model.safetensors", {}).get("sha256"),
        "parameters": count_parameters(run.recipe.model).total,
        "seed": run.recipe.seed,
        "steps": state.get("step"),
        "tokens": state.get("tokens"),
        "seconds": state.get("seconds"),
        "machine": start.get("device"),
        "precision": start.get("precision"),
    }


def evaluate_likelihood(context: EvaluationContext) -> Figures:
    """The likelihood of the held-out stories, and that of the untrained model and of the baselines."""
    stories, sizes, separator = context.stories, context.story_bytes, context.tokenizer.separator
    check_stories(stories, sizes)
    with autocast(context.run.recipe.train.precision, context.device):
        trained = score_tokens(context.model, stories, separator)
        check_finite(trained.losses, context.run.path)
        context.log("likelihood of the untrained model")
        some = evenly_spread(UNTRAINED_STORIES, len(stories))
        untrained = score_tokens(context.untrained, [stories[i] for i in some], separator)
    units = _text_units(context)
    return {
        **_likelihood_figures(trained, sizes, units),
        "intervals": intervals(trained, sizes, units),
        "by_position": by_position(trained),
        "by_length": by_length(trained, sizes),
        "untrained": _likelihood_figures(untrained, sizes[some], TextUnits(units.name, units.counts[some])),
        "baselines": _likelihood_baselines(context, units),
    }


def _text_units(context: EvaluationContext) -> TextUnits:
    """The words of each held-out story; its characters where no blanks separate words."""
    if context.language.spaced:
        return TextUnits("word", np.array([len(text.split()) for text in context.texts]))
    return TextUnits("character", np.array([len("".join(text.split())) for text in context.texts]))


def _likelihood_baselines(context: EvaluationContext, units: TextUnits) -> Figures:
    context.log("compressors and n-gram models")
    compressors = {name: {"bits_per_byte": bits} for name, bits in compressed_bits_per_byte(context.texts).items()}
    try:
        models, tokens = context.ngram_models
    except UnavailableError as error:
        return {**compressors, "unavailable": str(error)}
    ngrams = {
        name: _likelihood_figures(model.score(context.stories), context.story_bytes, units)
        for name, model in models.items()
    }
    return {**ngrams, **compressors, "counted_tokens": tokens}


def _likelihood_figures(scores: TokenScores, sizes: np.ndarray, units: TextUnits) -> Figures:
    likelihood, count = summarize(scores, sizes), int(units.counts.sum())
    bits = likelihood.loss * likelihood.tokens / math.log(2)
    return {**asdict(likelihood), f"{units.name}s": count, f"bits_per_{units.name}": bits / max(1, count)}


def evaluate_understanding(context: EvaluationContext) -> Figures:
    """The accuracy on questions about facts, reasoning and context."""
    _check_english(context)
    return _multiple_choice(context, understanding_questions(), understanding_figures)


def evaluate_cloze(context: EvaluationContext) -> Figures:
    """The accuracy on cloze questions from the held-out stories."""
    _check_english(context)
    questions = cloze_questions(context.texts)
    if not questions:
        raise UnavailableError("the held-out stories give no balanced cloze questions; a few hundred stories do")
    return _multiple_choice(context, questions, lambda log_probs: accuracy_figures(questions, log_probs))


def _multiple_choice(
    context: EvaluationContext, questions: Sequence[Question], figures_of: Callable[[list[np.ndarray]], Figures]
) -> Figures:
    """The figures of the model, the untrained model and the 5-gram model."""
    context_length = context.model.config.context_length
    encoded = [encode_question(question, context.tokenizer, context_length) for question in questions]

    def answer(scorer: Scorer) -> Figures:
        return figures_of(choice_log_probs(scorer, encoded))

    untrained = answer(model_scorer(context.untrained))
    figures = {**answer(model_scorer(context.model)), "untrained": untrained}
    try:
        return {**figures, "baselines": {"5-gram": answer(ngram_scorer(context.ngram_models[0]["5-gram"]))}}
    except UnavailableError as error:
        return {**figures, "baselines": {"unavailable": str(error)}}


def _check_english(context: EvaluationContext) -> None:
    if not context.language.english:
        raise UnavailableError("its questions are in English, and the held-out stories are not")


TASKS: dict[str, Callable[[EvaluationContext], Figures]] = {
    "likelihood": evaluate_likelihood,
    "generation": evaluate_generation,
    "memorization": evaluate_memorization,
    "understanding": evaluate_understanding,
    "cloze": evaluate_cloze,
}
"""The tasks, by the names that `--only` takes. Their figures are plain values, written to scores.json as they are."""


def selected_tasks(only: str | None) -> list[str]:
    """The tasks in a comma-separated list; all if it is None. Raises UserError if a name is unknown."""
    names = list(TASKS) if only is None else [name.strip() for name in only.split(",")]
    names = [OLD_TASKS.get(name, name) for name in names]
    for name in names:
        if name not in TASKS:
            raise UserError(f"--only {name}: no such task; there are {', '.join(TASKS)}")
    return names


def validation_loss(run: RunFolder) -> float:
    """The loss of the best checkpoint on the validation stories that training evaluates."""
    stories, sizes, *_ = evaluated_stories(run, run.corpus())
    keep_heap()
    model, _ = run.load_model()
    with autocast(run.recipe.train.precision, model.output_weight.device):
        return score_stories(model, stories, sizes, run.tokenizer.separator).loss
