"""Quality of generated stories, as far as it can be counted; the texts may come from a model or not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from talewright.evaluate import UnavailableError
from talewright.evaluate.context import EvaluationContext
from talewright.evaluate.generation.classifier import RealStyle, classifier_accuracy
from talewright.evaluate.generation.grammar import grammar_errors, names_reused, pronouns_agree, rule_errors
from talewright.evaluate.ngrams import words_of

MAX_INVENTED = 0.2
"""Share of invented words above which the grammar has no figure: a checker finds no errors in what is no language."""


def quality_figures(texts: Sequence[str], real: RealStyle, vocabulary: frozenset[str] | None) -> dict[str, Any]:
    """All figures of a list of stories, compared with real ones. `vocabulary` has the words of the training stories;
    None if those are not available. Figures that are made for English are left out where the real stories are not
    English; characters take the place of words where no blanks separate them.
    """
    stories = [words_of(text) for text in texts]
    total = max(1, sum(map(len, stories)))
    invented = _invented(stories, vocabulary)
    return {
        "stories": len(texts),
        "words" if real.language.spaced else "characters": total / len(texts),
        **(_english_figures(texts, total, invented) if real.language.english else {}),
        "classifier_accuracy": classifier_accuracy(texts, real),
        "invented": invented,
    }


def _english_figures(texts: Sequence[str], words: int, invented: dict[str, Any] | None) -> dict[str, Any]:
    """The figures by rules that are made for English."""
    return {
        "rule_errors": 1000 * sum(map(rule_errors, texts)) / words,
        "grammar": None if invented and invented["share"] > MAX_INVENTED else _grammar(texts, words),
        "names_reused": _share(map(names_reused, texts)),
        "pronouns_agree": _share(map(pronouns_agree, texts)),
    }


def evaluate_generation(context: EvaluationContext) -> dict[str, Any]:
    """The figures of stories that the model generates, and those of as many real ones."""
    samples = context.samples
    count = min(len(samples), len(context.texts) // 2)
    if count == 0:
        raise UnavailableError("at least two held-out stories are needed, to compare generated stories with")
    try:
        vocabulary = context.vocabulary
    except UnavailableError:
        vocabulary = None
    texts = context.some_texts(2 * count)
    real = RealStyle(texts[::2])
    return {
        "finished": sum(story.finished for story in samples) / len(samples),
        **quality_figures([story.text for story in samples], real, vocabulary),
        "real": quality_figures(texts[1::2], real, vocabulary),
        "examples": [story.text for story in samples[:3]],
    }


def _invented(stories: Sequence[Sequence[str]], vocabulary: frozenset[str] | None) -> dict[str, Any] | None:
    """Words that no training story has: their share, and the most common of them."""
    if vocabulary is None:
        return None
    invented = [word for words in stories for word in words if word not in vocabulary]
    most_common = sorted(set(invented), key=lambda word: (-invented.count(word), word))
    return {"share": len(invented) / max(1, sum(map(len, stories))), "words": most_common[:20]}


def _grammar(texts: Sequence[str], words: int) -> dict[str, Any] | None:
    """Harper's errors per 1,000 words, all and by kind; None if it is not installed."""
    errors = grammar_errors(texts)
    if errors is None:
        return None
    ordered = sorted(errors.items(), key=lambda item: (-item[1], item[0]))
    kinds = {kind: 1000 * count / words for kind, count in ordered}
    return {"errors": sum(kinds.values()), "kinds": kinds}


def _share(counts: Iterable[tuple[int, int]]) -> dict[str, Any]:
    """The number of cases, and the share that is right; None if there are no cases."""
    pairs = list(counts)
    cases = sum(case for case, _ in pairs)
    return {"cases": cases, "share": sum(right for _, right in pairs) / cases if cases else None}
