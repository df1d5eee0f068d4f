"""Grammar and coherence of stories, as far as rules can check them: a few exact rules, and the Harper grammar checker.

The rules are few and say little each, but they separate broken text from well-formed text. They are made for English.
The package `harper-py` holds Harper's rules and dictionary; nothing is downloaded.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

IGNORED = ("Capitalization", "Enhancement", "Formatting", "Readability", "Style", "Spelling", "Typo", "WordChoice")
"""Kinds of Harper's messages that are a matter of taste, or that reject names and words of children's stories."""
_NAMED = re.compile(r"\b(?:named|called)\s+([A-Z][a-z]+)\b")
_NAMELESS = re.compile(r"\bnamed\b(?!\s+[\"“‘']?[A-Z])")
_GENDERED = re.compile(
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
_LOWERCASE_START = re.compile(r"(?:^|[.!?]\s+)[a-z]")


def names_reused(text: str) -> tuple[int, int]:
    """Characters introduced by "named X" or "called X", and how many of them are named again later. "named" without a
    name after it counts as a character who is not.
    """
    seen, reused = set(), 0
    for match in _NAMED.finditer(text):
        name = match[1]
        if name not in seen:
            reused += re.search(rf"\b{name}\b", text[match.end() :]) is not None
            seen.add(name)
    return len(seen) + len(_NAMELESS.findall(text)), reused


def pronouns_agree(text: str) -> tuple[int, int]:
    """In a story with one named girl or boy and no other person who is "he" or "she": the pronouns after the name, and
    how many of them are that child's. (0, 0) for any other story.
    """
    child = _CHILD.search(text)
    if child is None or len({match[1].lower() for match in _GENDERED.finditer(text)}) != 1:
        return 0, 0
    if len(_NAMED.findall(text)) != 1:
        return 0, 0
    rest = text[child.end() :]
    she, he = len(_SHE.findall(rest)), len(_HE.findall(rest))
    return she + he, she if child[1] == "girl" else he


def rule_errors(text: str) -> int:
    """Errors by four rules: "a" before a vowel, "an" before a consonant, a doubled word, a lowercase sentence start."""
    doubled = sum(match[1].lower() not in _MAY_DOUBLE for match in _DOUBLED.finditer(text))
    return doubled + sum(len(rule.findall(text)) for rule in (_A_VOWEL, _AN_CONSONANT, _LOWERCASE_START))


def grammar_errors(texts: Sequence[str]) -> Counter[str] | None:
    """Errors that Harper finds in all the texts, by kind, without those of IGNORED. None if it is not installed."""
    linter = _linter()
    if linter is None:
        return None
    errors = Counter(error.lint_kind for text in texts for error in linter.lint(text))
    return Counter({kind: count for kind, count in errors.items() if kind not in IGNORED})


@cache
def _linter() -> Any:
    try:
        from harper import Linter
    except ImportError:
        return None
    return Linter()  # takes about a second: it reads its dictionary
