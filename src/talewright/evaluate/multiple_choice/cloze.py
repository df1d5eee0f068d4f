"""Cloze questions from held-out stories: the correct name, thing or pronoun against another one from the same story.

The model reads the story up to the blank. The rest of the sentence is part of each choice: the score is the probability
of the word and everything after it in its sentence. The word alone would be judged before the model reads what it does,
and its end would be ambiguous ("Tim" also begins "Timmy").

Both words occur before the blank, and neither elsewhere in its sentence. The questions are balanced: the correct word
is the more recent one in half of them, the more frequent one in half of them (names and things), and "he" in half of
the pronouns, so each of these rules alone answers exactly half. The questions are the same for all tokenizers and for
any order of the stories. Stories were not written as questions: some blanks can be filled either way, so nobody would
answer all of them correctly.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from typing import NamedTuple

from talewright.evaluate.multiple_choice.scoring import Question

PER_KIND = 100
"""Questions of each kind, if the stories have as many."""
MAX_CONTEXT = 600
"""Characters before the blank: about 150 tokens."""
MAX_REST = 80
"""Characters after the blank, to the end of its sentence."""

_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+\b(?!['’-][a-z])")
"""A capitalized word within a sentence."""
_TITLES = {"Mr", "Mrs", "Ms", "Miss", "Dr"}
_THING = re.compile(
    r"(?<=\b[Tt]he )[a-z]{3,}(?=[.,!?]|\s(?:and|was|is|were|are|had|in|on|to|with|that|for|from|at|said)\b)"
)
"""A noun: a word after "the" that is followed by the next phrase or sentence, so it is no adjective."""
_PRONOUN = re.compile(r"\b[Hh]e\b|\b[Ss]he\b")
_REST = re.compile(r"[^.!?\n]*[.!?]\"?")
_WORD = re.compile(r"\w+")


class _Blank(NamedTuple):
    """A possible question, and the group it belongs to: which simple rules would answer it."""

    question: Question
    group: tuple[bool, bool]
    key: str
    """A hash of its text, which decides between blanks of one group."""


def cloze_questions(stories: Iterable[str], per_kind: int = PER_KIND) -> list[Question]:
    """At most `per_kind` questions of each kind: at most one of a kind per story, as many of each group."""
    shuffled = sorted(set(stories), key=_hash)  # independent of the order of the stories
    return [question for kind, blanks in _KINDS.items() for question in _balanced(map(blanks, shuffled), per_kind // 4)]


def _balanced(stories: Iterable[Iterator[_Blank]], limit: int) -> list[Question]:
    """One blank from each story, of the group that has the fewest, until each has `limit`; as many of each group."""
    groups: dict[tuple[bool, bool], list[Question]] = {group: [] for group in product((False, True), (False, True))}
    for blanks in stories:
        if ordered := sorted(blanks, key=lambda blank: (len(groups[blank.group]), blank.key)):
            groups[ordered[0].group].append(ordered[0].question)
        if min(map(len, groups.values())) >= limit:
            break
    count = min(limit, *map(len, groups.values()))
    return [question for group in groups.values() for question in group[:count]]


def _names(story: str) -> Iterator[_Blank]:
    matches = list(_NAME.finditer(story))
    return _repeated_words(story, "names", matches, {match.group() for match in matches} - _TITLES)


def _things(story: str) -> Iterator[_Blank]:
    matches = list(_THING.finditer(story))
    things = {match.group() for match in matches}
    for plural in (False, True):  # a choice of the other number would be ungrammatical
        some = {thing for thing in things if thing.endswith("s") == plural}
        yield from _repeated_words(story, "things", matches, some)


def _pronouns(story: str) -> Iterator[_Blank]:
    for match in _PRONOUN.finditer(story):
        context, correct = story[: match.start()], match.group()
        wrong = {"he": "she", "He": "She", "she": "he", "She": "He"}[correct]
        earlier = [word for word in _WORD.findall(context.lower()) if word in ("he", "she")]
        if {"he", "she"} <= set(earlier):
            group = (correct.lower() == "he", earlier[-1] == correct.lower())
            yield from _blank(story, "pronouns", match, wrong, group)


def _repeated_words(story: str, kind: str, matches: list[re.Match[str]], candidates: set[str]) -> Iterator[_Blank]:
    """The blanks at a candidate that occurs earlier too, against each other candidate that does."""
    for match in matches:
        correct, words = match.group(), _WORD.findall(story[: match.start()])
        if correct not in candidates or correct not in words:
            continue
        last = {word: position for position, word in enumerate(words) if word in candidates}
        for wrong in sorted(set(last) - {correct}):
            difference = words.count(correct) - words.count(wrong)
            if difference:
                yield from _blank(story, kind, match, wrong, (last[correct] > last[wrong], difference > 0))


def _blank(story: str, kind: str, match: re.Match[str], wrong: str, group: tuple[bool, bool]) -> Iterator[_Blank]:
    """The blank, if it is short enough and neither word occurs elsewhere in its sentence."""
    rest = _REST.match(story, match.end())
    context, correct = story[: match.start()], match.group()
    if rest is None or len(rest.group()) > MAX_REST or len(context) > MAX_CONTEXT:
        return
    if not context.endswith(" "):  # at the start of a line, no space separates it from the context
        return
    sentence = re.split(r"[.!?\n]", context)[-1] + rest.group()
    if {correct.lower(), wrong.lower()} & set(_WORD.findall(sentence.lower())):
        return
    choices = [f" {word}{rest.group()}" for word in (correct, wrong)]
    key = _hash(f"{wrong}\n{context}{choices[0]}")
    answer = int(key[0], 16) % 2  # either position is as likely
    yield _Blank(Question(kind, context[:-1], tuple(choices if answer == 0 else choices[::-1]), answer), group, key)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


_KINDS: dict[str, Callable[[str], Iterator[_Blank]]] = {"names": _names, "things": _things, "pronouns": _pronouns}
