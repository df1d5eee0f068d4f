"""Gaps in stories that the model was not trained on: the right name, thing or pronoun against another of that story.

The model reads the story up to the gap, and the rest of the gap's sentence decides with it: what is compared is the
probability of the word and all that follows it in its sentence. The word alone would be judged before what it is said
to do is read, and its end would not be clear ("Tim" also begins "Timmy").

Both words were told before the gap, and neither stands in its sentence. The questions are balanced: as often as not
the right word is the one told last, or the one told more often (of names and things), or "he" (of pronouns); who goes
by that alone has exactly half of them right. They are the same for all tokenizers, and whatever the stories' order.
Stories were not written as questions: some gaps can be filled either way, so nobody would have all of them right.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from typing import NamedTuple

from talewright.evaluate.multiple_choice.scoring import Question

PER_KIND = 100
"""Questions of a kind, where the stories give as many."""
LONGEST_CONTEXT = 600
"""Characters before the gap: about 150 tokens."""
LONGEST_REST = 80
"""Characters after the gap, to the end of its sentence."""

_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+\b(?!['’-][a-z])")
"""A capital within a sentence."""
_TITLES = {"Mr", "Mrs", "Ms", "Miss", "Dr"}
_THING = re.compile(
    r"(?<=\b[Tt]he )[a-z]{3,}(?=[.,!?]|\s(?:and|was|is|were|are|had|in|on|to|with|that|for|from|at|said)\b)"
)
"""A word after "the" that an adjective would not stand for: the sentence, or another part of it, comes next."""
_PRONOUN = re.compile(r"\b[Hh]e\b|\b[Ss]he\b")
_REST = re.compile(r"[^.!?\n]*[.!?]\"?")
_WORD = re.compile(r"\w+")


class _Gap(NamedTuple):
    """A gap, and what tells it from others that are as easy by a rule of thumb."""

    question: Question
    group: tuple[bool, bool]
    key: str
    """A hash of its text: decides between gaps that are wanted as much."""


def cloze_questions(stories: Iterable[str], per_kind: int = PER_KIND) -> list[Question]:
    """At most `per_kind` questions of each kind: at most one of a kind from each story, as many of each group."""
    shuffled = sorted(set(stories), key=_hash)  # the same for each order that they come in
    return [question for kind, gaps in _KINDS.items() for question in _balanced(map(gaps, shuffled), per_kind // 4)]


def _balanced(stories: Iterable[Iterator[_Gap]], most: int) -> list[Question]:
    """From each story the gap that is wanted most, until there are `most` of each group; of each as many as of all."""
    groups: dict[tuple[bool, bool], list[Question]] = {group: [] for group in product((False, True), (False, True))}
    for gaps in stories:
        if found := sorted(gaps, key=lambda gap: (len(groups[gap.group]), gap.key)):
            groups[found[0].group].append(found[0].question)
        if min(map(len, groups.values())) >= most:
            break
    count = min(most, *map(len, groups.values()))
    return [question for group in groups.values() for question in group[:count]]


def _names(story: str) -> Iterator[_Gap]:
    matches = list(_NAME.finditer(story))
    return _told_before(story, "names", matches, {match.group() for match in matches} - _TITLES)


def _things(story: str) -> Iterator[_Gap]:
    matches = list(_THING.finditer(story))
    things = {match.group() for match in matches}
    for plural in (False, True):  # one of several would be out of place for the grammar's sake
        some = {thing for thing in things if thing.endswith("s") == plural}
        yield from _told_before(story, "things", matches, some)


def _pronouns(story: str) -> Iterator[_Gap]:
    for match in _PRONOUN.finditer(story):
        context, right = story[: match.start()], match.group()
        wrong = {"he": "she", "He": "She", "she": "he", "She": "He"}[right]
        told = [word for word in _WORD.findall(context.lower()) if word in ("he", "she")]
        if {"he", "she"} <= set(told):
            group = (right.lower() == "he", told[-1] == right.lower())
            yield from _gap(story, "pronouns", match, wrong, group)


def _told_before(story: str, kind: str, matches: list[re.Match[str]], candidates: set[str]) -> Iterator[_Gap]:
    """The gaps where one of the candidates stands that was told before, against each other that was."""
    for match in matches:
        right, words = match.group(), _WORD.findall(story[: match.start()])
        if right not in candidates or right not in words:
            continue
        last = {word: place for place, word in enumerate(words) if word in candidates}
        for wrong in sorted(set(last) - {right}):
            more = words.count(right) - words.count(wrong)
            if more:
                yield from _gap(story, kind, match, wrong, (last[right] > last[wrong], more > 0))


def _gap(story: str, kind: str, match: re.Match[str], wrong: str, group: tuple[bool, bool]) -> Iterator[_Gap]:
    """The gap, where it is short enough and its sentence tells neither word."""
    rest = _REST.match(story, match.end())
    context, right = story[: match.start()], match.group()
    if rest is None or len(rest.group()) > LONGEST_REST or len(context) > LONGEST_CONTEXT:
        return
    if not context.endswith(" "):  # the beginning of a line: what parts it from the context is no space
        return
    sentence = re.split(r"[.!?\n]", context)[-1] + rest.group()
    if {right.lower(), wrong.lower()} & set(_WORD.findall(sentence.lower())):
        return
    choices = [f" {word}{rest.group()}" for word in (right, wrong)]
    key = _hash(f"{wrong}\n{context}{choices[0]}")
    place = int(key[0], 16) % 2  # where the right one stands says nothing
    question = Question(kind, context[:-1], tuple(choices if place == 0 else choices[::-1]), place)
    yield _Gap(question, group, key)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


_KINDS: dict[str, Callable[[str], Iterator[_Gap]]] = {"names": _names, "things": _things, "pronouns": _pronouns}
