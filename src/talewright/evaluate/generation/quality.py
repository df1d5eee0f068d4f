"""How good told stories are, as far as it can be counted: on any list of texts, a model's or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from talewright.errors import UserError
from talewright.evaluate.context import AbsentError, Subject
from talewright.evaluate.generation import grammar as language
from talewright.evaluate.generation.classifier import Features, lengths_agree, told_apart
from talewright.evaluate.generation.ngrams import Gram, words_of
from talewright.evaluate.generation.pos_tags import speech_agrees, speech_of
from talewright.evaluate.generation.repetition import distinct, loops, repeated, self_bleu

WORDS = 10_000
"""Words, of all stories together, that `distinct` looks at: a number that two hundred short stories have."""

NO_LANGUAGE = 0.2
"""Share of invented words from which on there is no figure for grammar: a checker has nothing to say of such text."""


@dataclass(frozen=True)
class Reference:
    """What told stories are set against."""

    real: Sequence[str]
    """Real stories, as many as are told."""
    vocabulary: frozenset[str] | None
    """The words of the training stories; None where those are not at hand."""

    @cached_property
    def features(self) -> Features:
        return Features(self.real)

    @cached_property
    def speech(self) -> Counter[Gram]:
        return speech_of(self.real)


def story_figures(texts: Sequence[str], reference: Reference) -> dict[str, Any]:
    """All figures of a list of stories. Raises UserError where there are none, or no real ones to set them against."""
    if not texts or not reference.real:
        raise UserError("there are no stories to look at; at least one is needed, and a real one beside it")
    stories = [words_of(text) for text in texts]
    total = max(1, sum(map(len, stories)))
    invented = _invented(stories, reference.vocabulary)
    return {
        "stories": len(texts),
        "words": total / len(texts),
        "sentence_end": _mean(map(language.ends, texts)),
        "repeated_4grams": _mean(map(repeated, stories)),
        "loops": _mean(loops(text, words) for text, words in zip(texts, stories, strict=True)),
        "distinct_1": distinct(stories, 1, WORDS),
        "distinct_2": distinct(stories, 2, WORDS),
        "distinct_3": distinct(stories, 3, WORDS),
        "distinct_words": min(WORDS, total),
        "self_bleu": self_bleu(stories),
        "invented": invented,
        "rule_faults": 1000 * sum(map(language.rule_faults, texts)) / total,
        "grammar": None if invented and invented["share"] > NO_LANGUAGE else _grammar(texts, total),
        "quotes_closed": _share(map(language.quotes_closed, texts)),
        "names_kept": _share(map(language.names_kept, texts)),
        "pronouns_agree": _share(map(language.pronouns_agree, texts)),
        "speech_agrees": _speech(texts, reference),
        "lengths_agree": lengths_agree([*map(len, stories)], [len(words_of(text)) for text in reference.real]),
        "told_apart": told_apart(texts, reference.real, reference.features),
    }


def told_part(subject: Subject) -> dict[str, Any]:
    """The figures of the stories that the model tells, beside those of as many real ones."""
    told, texts = subject.told, subject.texts
    count = min(len(told), len(texts) // 2)
    if count == 0:
        raise AbsentError("two held-out stories are needed at least, to set told stories against")
    try:
        vocabulary = frozenset(word for text in subject.train_texts() for word in words_of(text))
    except AbsentError:
        vocabulary = None
    reference = Reference(texts[:count], vocabulary)
    figures = story_figures([story.text for story in told], reference)
    return {
        "finished": _mean(story.finished for story in told),
        **figures,
        "real": story_figures(texts[count : 2 * count], reference),
        "examples": [story.text for story in told[:3]],
    }


def _invented(stories: Sequence[Sequence[str]], vocabulary: frozenset[str] | None) -> dict[str, Any] | None:
    """Words that no training story has: their share, and the commonest of them."""
    if vocabulary is None:
        return None
    found = [word for words in stories for word in words if word not in vocabulary]
    commonest = sorted(set(found), key=lambda word: (-found.count(word), word))
    return {"share": len(found) / max(1, sum(map(len, stories))), "words": commonest[:20]}


def _grammar(texts: Sequence[str], words: int) -> dict[str, Any] | None:
    """Faults by Harper for 1,000 words, all and by kind; None where it is not installed."""
    try:
        faults = language.grammar_faults(texts)
    except AbsentError:
        return None
    kinds = {kind: 1000 * times / words for kind, times in sorted(faults.items(), key=lambda item: (-item[1], item[0]))}
    return {"faults": sum(kinds.values()), "kinds": kinds}


def _speech(texts: Sequence[str], reference: Reference) -> float | None:
    """How far parts of speech stand as in real stories; None where there is no tagger."""
    try:
        return speech_agrees(speech_of(texts), reference.speech)
    except AbsentError:
        return None


def _share(counts: Iterator[tuple[int, int]]) -> dict[str, Any]:
    """Of all cases, how many, and the share that is right; None where there are no cases."""
    pairs = list(counts)
    cases = sum(case for case, _ in pairs)
    return {"cases": cases, "share": sum(right for _, right in pairs) / cases if cases else None}


def _mean(values: Iterator[Any]) -> float:
    every = [float(value) for value in values]
    return sum(every) / len(every)
