"""The engine of the story grammar: templates, characters, plots, and how a story is drawn from a plot.

The head of `stories/words.txt` explains what templates look like.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

Draw = Callable[[], float]  # Random.random: the one method whose numbers Python keeps the same between its versions


class Slot(NamedTuple):
    """``{key}`` in a template."""

    key: str
    capital: bool


class Choice(NamedTuple):
    """``[a|b|c]`` in a template; it is optional where one of the alternatives is empty."""

    options: tuple[Template, ...]
    optional: bool


Template = tuple[str | Slot | Choice, ...]

_TOKEN = re.compile(r"[\[\]|]|\{[^{}]*\}|[^\[\]|{}]+|[{}]")
_SLOT = re.compile(r"\{[A-Za-z][a-z_]*(\.[a-z]+)?\}")


def parse(text: str, line: int = 1) -> Template:
    """Read a template that starts on this line of its file; a ValueError names the line that is malformed."""
    levels: list[list[list[str | Slot | Choice]]] = [[[]]]  # the alternatives of every open bracket, innermost last
    opened = [line]
    for match in _TOKEN.finditer(text):
        token, alternatives = match[0], levels[-1]
        if token[0] not in "[]|{}":
            alternatives[-1].append(token)
            line += token.count("\n")
        elif token == "[":
            levels.append([[]])
            opened.append(line)
        elif token in ("|", "]") and len(levels) == 1:
            raise ValueError(f"line {line}: {token!r} is not inside [ and ]")
        elif token == "|":
            alternatives.append([])
        elif token == "]":
            options = tuple(tuple(option) for option in alternatives if option)
            if not options:
                raise ValueError(f"line {line}: [ and ] have no words between them")
            levels.pop()
            opened.pop()
            levels[-1][-1].append(Choice(options, optional=len(options) < len(alternatives)))
        elif _SLOT.fullmatch(token):
            alternatives[-1].append(Slot(token[1].lower() + token[2:-1], token[1].isupper()))
        else:
            raise ValueError(f"line {line}: {token!r} is no slot; write {{word}}, {{Word}} or {{role.he}}")
    if len(levels) > 1:
        raise ValueError(f"line {opened[-1]}: this [ has no ]")
    return tuple(levels[0][0])


def _expand(template: Template, words: Mapping[str, Template], draw: Draw, terse: float, out: list[str]) -> None:
    """Append one drawing of `template` to `out`; `terse` is how likely an optional choice is left out."""
    for node in template:
        if isinstance(node, str):
            out.append(node)
        elif isinstance(node, Choice):
            options, optional = node
            if not optional or draw() >= terse:
                _expand(options[int(draw() * len(options))], words, draw, terse, out)
        else:
            first = len(out)
            _expand(words[node.key], words, draw, terse, out)
            if node.capital and len(out) > first:
                out[first] = out[first][0].upper() + out[first][1:]


_PRONOUNS = {
    "male": {"he": "he", "him": "him", "his": "his", "himself": "himself"},
    "female": {"he": "she", "him": "her", "his": "her", "himself": "herself"},
}


class Character(NamedTuple):
    """Somebody in a story."""

    name: str
    """What the story calls them: "Lily", "Mr. Brown", "the rabbit", or a template such as "{hero.his} mom"."""
    gender: str
    """male or female."""
    kind: str
    """"girl", "fox", "mom" ..."""
    call: str = ""
    """How one speaks to them ("Mom"); the name where empty."""


@cache
def character_words(role: str, who: Character) -> dict[str, Template]:
    """The words that templates have for a character in this role; the pronouns of the hero also go without the role."""
    forms = {"kind": who.kind, **_PRONOUNS[who.gender]}
    words: dict[str, Template] = {role: parse(who.name), f"{role}.call": parse(who.call or who.name)}
    for form, word in forms.items():
        words[f"{role}.{form}"] = (word,)
        if role == "hero":
            words[form] = (word,)
    return words


class Story(NamedTuple):
    """A story, and what it was made of."""

    text: str
    plot: str
    cast: dict[str, Character]


@dataclass
class Plot:
    """A story that can be written in very many ways."""

    name: str
    cast: dict[str, list[Character]] = field(default_factory=dict)
    """Role to those who can play it, drawn in this order; no two characters of a story have the same name."""
    tables: list[list[dict[str, Template]]] = field(default_factory=list)
    """Rows of words; one row of each table is drawn for a story."""
    template: Template = ()
    """The whole story."""

    def write(self, draw: Draw, phrases: Mapping[str, Template]) -> Story:
        """Draw one story; `phrases` are the words that all plots share."""
        words = dict(phrases)
        cast: dict[str, Character] = {}
        taken: set[str] = set()
        for role, players in self.cast.items():
            who = players[int(draw() * len(players))]
            while who.name in taken:
                who = players[int(draw() * len(players))]
            taken.add(who.name)
            cast[role] = who
            words.update(character_words(role, who))
        for table in self.tables:
            words.update(table[int(draw() * len(table))])
        out: list[str] = []
        _expand(self.template, words, draw, 0.3 + 0.7 * draw(), out)
        return Story(_finish("".join(out), one_paragraph=draw() < 0.25), self.name, cast)


# a vowel that does not sound like one (a unicorn, a useful, a one-) keeps "a"; a silent h takes "an"
_VOWEL_SOUND = r"(?=(?!uni|use|usu|one\b|once\b)[aeiouAEIOU]|hour|honest)"
_SMALL_A, _LARGE_A = re.compile(" a " + _VOWEL_SOUND), re.compile("A " + _VOWEL_SOUND)
_SENTENCE_START = re.compile(r'[.!?\n](?:(?<=\.)")? ?"?[a-z]')


def _finish(text: str, one_paragraph: bool) -> str:
    """Correct the spaces, paragraphs, capitals and articles of a story."""
    paragraphs = [" ".join(block.split()) for block in text.split("\n\n")]
    text = (" " if one_paragraph else "\n\n").join(block for block in paragraphs if block)
    for mark in ".,!?":
        text = text.replace(" " + mark, mark)  # a space before an option that was left out
    text = f"\n{text}\n".replace(' " ', '" ').replace(' "\n', '"\n')
    text = _SENTENCE_START.sub(lambda start: start[0][:-1] + start[0][-1].upper(), text)
    return _LARGE_A.sub("An ", _SMALL_A.sub(" an ", text)).strip()


def draws(seed: int, index: int, attempt: int) -> Draw:
    """The stream of random numbers of one story, the same on every machine and Python."""
    return random.Random(f"talewright {seed} {index} {attempt}").random
