"""Read the grades in a judge's answer: as one JSON object, as asked for, or as lines such as "Grammar: 8/10".

Grades are read exactly, or not at all. Thoughts before the answer are left out, because they weigh grades that the
judge does not give in the end. Grades that contradict each other, lie between two, or are out of range are refused.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

Grade = dict[str, Any]
ASPECTS = ("grammar", "creativity", "consistency", "plot")
"""Graded from 1 to 10."""
AGES = {"A": "3 or under", "B": "4-5", "C": "6-7", "D": "8-9", "E": "10-12", "F": "13-16"}
"""Age groups, by the letters that the judge answers with."""
OLDEST = {"A": 3, "B": 5, "C": 7, "D": 9, "E": 12, "F": 16}
"""The last year of each age group."""

_WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_WORDS += ["thirteen", "fourteen", "fifteen", "sixteen"]
_NUMBER_WORD = re.compile(rf"\b(?:{'|'.join(_WORDS)})\b")

_THOUGHTS = r"(?:seed:)?(?:think|thinking|thoughts?|reasoning|reflection|analysis|scratchpad|details)"
_END_OF_THOUGHTS = re.compile(
    rf"[<\[◁]\|?\s*(?:/\s*|end_(?:of_)?){_THOUGHTS}\s*\|?[>\]▷]|<channel\|>|\bassistantfinal\b|\bhere is my response:",
    re.I,
)
_START_OF_THOUGHTS = re.compile(
    rf"[<\[◁]\|?\s*(?:(?:start|begin)_(?:of_)?)?{_THOUGHTS}\b[^<>\[\]◁▷]*[>\]▷]"
    r"|<\|channel>|\bhere is my thought process:",
    re.I,
)
_FINAL_CHANNEL = re.compile(r"<\|channel\|>\s*final\b[^<]*<\|message\|>(.*?)(?:<\|(?:end|return)\|>|\Z)", re.S | re.I)

_KEY = re.compile(rf"({'|'.join(ASPECTS)}|age)(?:[ _-]?(?:score|grade|rating|group|range))?", re.I)
_SCORE = re.compile(r"(\d+(?:\.\d+)?)(?:\s*(?:/|out of|of)\s*10(?:\.0+)?)?")
_MARKUP = re.compile(r"[*_`'\"“”#]|\([^()\n]*10\)(?=\s*[:=|])")
"""Emphasis, quotation marks, headings, and the scale in "Plot (1-10): 6"."""
_LABEL = re.compile(
    rf"(?:^|[,;|{{]|\.\s)[\s>•+-]*(?:\d+[.)]\s*)?(?:(?:the|estimated|likely)\s+)*{_KEY.pattern}"
    r"\s*(?:[:=|]|->|→|[–—-](?!\d)|\bis\b)\s*((?:[^,;|}\n.]|\.(?!\s|$)|,(?=\s*\d))+)",
    re.I | re.M,
)
_EXPLANATION = re.compile(r"\s+[–—-]+\s+[a-z][^\d]*$|\s+\([^\d()]{3,}\)$")
"""What may follow a grade: words without a number, since a number could be another grade."""
_NUMBERED = re.compile(rf"\b({'|'.join(ASPECTS)})\b[^.;,|\n\d]{{0,40}}?(\d+(?:\.\d+)?)", re.I)
_FILLER = re.compile(
    r"\b(?:about|around|approximately|approx|roughly|probably|likely|maybe|between|aged?|ages|group|years?|yrs?|old|"
    r"olds|child|children|student|is|of|the)\b|\ban?\b(?= )|~"
)
_NUMBER, _TO = r"(\d{1,2}(?:\.\d+)?)", r"\s*(?:-|–|—|\bto\b|\band\b|\bor\b)\s*"
_ONE_AGE = re.compile(_NUMBER)
_TWO_AGES = re.compile(_NUMBER + _TO + _NUMBER)
_AT_MOST = re.compile(rf"{_NUMBER} (?:or|and) (?:under|younger|less|below)")
_BELOW = re.compile(rf"(?:under|below|younger than|less than|<) ?{_NUMBER}")
_AT_LEAST = re.compile(rf"{_NUMBER} ?(?:\+|(?:or|and) (?:over|older|more|above|up))")
_LETTER = re.compile(r"\(?([a-f])\)?(?:\s*[:=.,–—(-]\s*(\d[^()]*)\)?)?")


def parse_grade(text: str) -> Grade:
    """The grade in a judge's answer. Raises ValueError, with a short reason, if it has none or it is not certain."""
    answer = without_thoughts(text)
    fields = list(_json_fields(answer)) or list(_line_fields(answer))
    if not fields:
        raise ValueError("the answer has no grades")
    values: Grade = {}
    for name, value in fields:
        read = read_age(value) if name == "age" else read_score(value)
        if values.setdefault(name, read) != read:
            raise ValueError("the answer has two sets of grades that differ")
    return check_grade(values)


def check_grade(value: Any) -> Grade:
    """A grade as integers and a letter. Raises ValueError, LookupError or TypeError if it is not one."""
    if missing := [name for name in (*ASPECTS, "age") if name not in value]:
        raise ValueError(f"the answer has no grade for {', '.join(missing)}")
    return {**{aspect: read_score(value[aspect]) for aspect in ASPECTS}, "age": read_age(value["age"])}


def without_thoughts(text: str) -> str:
    """What follows a model's thoughts. Raises ValueError if the answer breaks off within them."""
    if "<|channel|>" in text:
        finals = _FINAL_CHANNEL.findall(text)
        text = finals[-1] if finals else "<think>"
    ends = [match.end() for match in _END_OF_THOUGHTS.finditer(text)]
    answer = text[ends[-1] :] if ends else text
    if _START_OF_THOUGHTS.search(answer):
        raise ValueError("the answer breaks off within its thoughts")
    return answer


def read_score(value: Any) -> int:
    """8 for 8, 8.0, "8", "8/10", "8 out of 10" and "eight". Raises ValueError for all that is no grade from 1 to 10."""
    if isinstance(value, str):
        match = _SCORE.fullmatch(_digits(value))
        value = float(match[1]) if match else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 10 or value != int(value):
        raise ValueError("the answer has a grade that is no whole number from 1 to 10")
    return int(value)


def read_age(value: Any) -> str:
    """The letter of an age group: of "C", "C: 6-7", "6-7", 7, "six to seven" and "around 7 years old".

    Raises ValueError for what is in none, or in two.
    """
    plain = isinstance(value, int | float | str) and not isinstance(value, bool)
    text = _digits(str(value).replace("_", " ")) if plain else ""
    years = " ".join(_FILLER.sub(" ", re.sub(r"(?<=[a-z0-9])-(?=year|old)", " ", text)).split())
    if letter := _LETTER.fullmatch(text) or _LETTER.fullmatch(years):
        found = letter[1].upper()
        certain = letter[2] is None or _group_of(letter[2].strip()) == found
    else:
        found = _group_of(years)
        certain = found is not None
    if found is None or not certain:
        raise ValueError("the answer has an age that is not in one of the age groups")
    return found


def _group_of(text: str) -> str | None:
    """The age group that holds all of these years; None if there is none, or they are in two."""
    if match := _ONE_AGE.fullmatch(text) or _TWO_AGES.fullmatch(text):
        low, high = float(match[1]), float(match[match.lastindex or 1])
    elif match := _AT_MOST.fullmatch(text):
        low, high = 0.0, float(match[1])
    elif match := _BELOW.fullmatch(text):
        low, high = 0.0, float(match[1]) - 1
    elif match := _AT_LEAST.fullmatch(text):
        low, high = float(match[1]), float(OLDEST["F"])
    else:
        return None
    first, last = (_group_of_year(year) for year in (math.floor(low), math.ceil(high)))
    return first if first == last and low <= high else None


def _group_of_year(year: int) -> str | None:
    return next((letter for letter, last in OLDEST.items() if year <= last), None)


def _digits(text: str) -> str:
    """In lower case, with numbers in digits."""
    return _NUMBER_WORD.sub(lambda match: str(_WORDS.index(match[0])), text.strip().lower())


def _json_fields(text: str) -> Iterator[tuple[str, Any]]:
    """The names and values of grades in all JSON objects of a text."""
    decoder, start = json.JSONDecoder(object_pairs_hook=_Pairs), text.find("{")
    while start >= 0:
        try:
            value, end = decoder.raw_decode(text, start)
            yield from _pairs_of_grades(value)
        except (ValueError, RecursionError):
            end = start + 1
        start = text.find("{", end)


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as its pairs, so that no repeated key is lost."""


def _pairs_of_grades(value: Any) -> Iterator[tuple[str, Any]]:
    for name, item in value if isinstance(value, _Pairs) else [("", each) for each in value]:
        if (key := _KEY.fullmatch(name.strip())) is not None:
            yield key[1].lower(), _score_of(item)
        elif isinstance(item, list):
            yield from _pairs_of_grades(item)


def _score_of(item: Any) -> Any:
    """8 of {"score": 8, "why": ...}; other values as they are."""
    if not isinstance(item, _Pairs):
        return item
    scores = [value for name, value in item if name.lower() in ("score", "grade", "rating", "value", "group")]
    return scores[0] if len(scores) == 1 else None


def _line_fields(text: str) -> Iterator[tuple[str, Any]]:
    """The names and values of grades in lines such as "- **Grammar:** 8/10 - few errors", and in lists of them.

    A number that follows the name of an aspect elsewhere counts too, so that a text that says two things is refused.
    """
    plain = _MARKUP.sub("", text)
    found = [(match[1].lower(), _EXPLANATION.sub("", _digits(match[2]))) for match in _LABEL.finditer(plain)]
    if found:
        yield from found
        yield from ((match[1].lower(), match[2]) for match in _NUMBERED.finditer(plain))
