"""How well stories are written, by what can be checked without a judge: a few exact rules, and Harper's grammar.

The rules are few and say little each; what they say is certain enough to tell broken text from whole text. They are
made for English. Grammar is Harper's: the package `harper-py` has rules and dictionary in one wheel, and fetches none.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

from talewright.evaluate.context import AbsentError

LEFT_OUT = ("Capitalization", "Enhancement", "Formatting", "Readability", "Style", "Spelling", "Typo", "WordChoice")
"""Harper's kinds that are a matter of taste, or find names and the words of children's stories wrong."""
_END = re.compile(r"[.!?…][\"”'’)]*\s*$")
_NAMED = re.compile(r"\b(?:named|called)\s+([A-Z][a-z]+)\b")
_NAMELESS = re.compile(r"\bnamed\b(?!\s+[\"“‘']?[A-Z])")
_MARK = re.compile('["“”]')
_GIRL_OR_BOY = re.compile(
    r"\b(girl|boy|woman|man|princess|prince|queen|king|mommy|daddy|mom|dad|mother|father|lady|grandma|grandpa|"
    r"sister|brother|daughter|son|aunt|uncle)s?\b",
    re.IGNORECASE,
)
_SHE, _HE = re.compile(r"\b(?:she|her|hers|herself)\b", re.I), re.compile(r"\b(?:he|him|his|himself)\b", re.I)
_CHILD = re.compile(r"\b(girl|boy)\s+(?:named|called)\s+[A-Z][a-z]+\b")
_DOUBLED = re.compile(r"\b(\w+)\s+\1\b", re.IGNORECASE)
_MAY_DOUBLE = {"very", "really", "so", "many", "had", "that", "ha", "no", "bye", "knock", "big", "far", "long", "up"}
_A_VOWEL = re.compile(r"\ba\s+(?:[aio]|e(?!u|w)|u(?!n[aeiou]|s[aeiou]|k|t[eio]))[a-z]*\b(?<!a one)(?<!a once)", re.I)
_AN_CONSONANT = re.compile(r"\ban\s+(?!h(?:our|onest|eir|onou?r)|x)[bcdfghjklmnpqrstvwxyz][a-z]+\b", re.I)
_SMALL_START = re.compile(r"(?:^|[.!?]\s+)[a-z]")


def ends(text: str) -> bool:
    """Whether the text ends as a sentence does."""
    return _END.search(text) is not None


def quotes_closed(text: str) -> tuple[int, int]:
    """1 where the text has quotations, and 1 where in each of its paragraphs they open and close in turn: each opens
    before a word, and closes behind one. A text that nobody speaks in says nothing of it: (0, 0).
    """
    if not _MARK.search(text):
        return 0, 0
    return 1, int(all(_in_turn(part) for part in re.split(r"\n\s*\n", text)))


def _in_turn(part: str) -> bool:
    marks = [found.start() for found in _MARK.finditer(part)]
    opened, closed = marks[::2], marks[1::2]
    before_words = all(part[i] != "”" and part[i + 1 : i + 2].strip() for i in opened)
    behind_words = all(part[i] != "“" and part[i - 1].strip() for i in closed)
    return len(opened) == len(closed) and before_words and behind_words


def names_kept(text: str) -> tuple[int, int]:
    """Characters that are introduced by "named X" or "called X", and how many of them are named again afterwards.
    "named" with no name behind it introduces somebody who is not kept.
    """
    kept, seen = 0, set[str]()
    for found in _NAMED.finditer(text):
        name = found[1]
        if name not in seen:
            kept += re.search(rf"\b{name}\b", text[found.end() :]) is not None
            seen.add(name)
    return len(seen) + len(_NAMELESS.findall(text)), kept


def pronouns_agree(text: str) -> tuple[int, int]:
    """In a story with one girl or boy who is named, and nobody else who is he or she: pronouns after the name, and how
    many of them are that child's. (0, 0) in any other story.
    """
    child = _CHILD.search(text)
    if child is None or len({found[1].lower() for found in _GIRL_OR_BOY.finditer(text)}) != 1:
        return 0, 0
    if len(_NAMED.findall(text)) != 1:
        return 0, 0
    rest = text[child.end() :]
    she, he = len(_SHE.findall(rest)), len(_HE.findall(rest))
    return she + he, she if child[1] == "girl" else he


def rule_faults(text: str) -> int:
    """Faults by four rules: "a" before a vowel, "an" before none, a word doubled, a sentence that begins small."""
    doubled = sum(found[1].lower() not in _MAY_DOUBLE for found in _DOUBLED.finditer(text))
    rules = (_A_VOWEL, _AN_CONSONANT, _SMALL_START)
    return doubled + sum(len(rule.findall(text)) for rule in rules)


def grammar_faults(texts: Sequence[str]) -> Counter[str]:
    """Faults that Harper finds in all the texts, by its kinds, but those of LEFT_OUT. Raises AbsentError without it."""
    found = Counter(fault.lint_kind for text in texts for fault in _linter().lint(text))
    return Counter({kind: times for kind, times in found.items() if kind not in LEFT_OUT})


@cache
def _linter() -> Any:
    try:
        from harper import Linter
    except ImportError:
        raise AbsentError('grammar is checked by harper-py: pip install "talewright[scores]"') from None
    return Linter()  # a second or so: it reads its dictionary
