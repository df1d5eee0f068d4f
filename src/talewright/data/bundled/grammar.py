"""The engine of the story grammar: templates, characters, plots, and how one story is drawn from a plot.

A template is text in which

- ``[a|b|c]`` stands for one of its alternatives, drawn evenly; brackets nest;
- ``[a|b|]``, with an empty last one, may be left out: more often in a short telling of the plot than in a long one;
- ``{word}`` stands for what the plot's cast or tables or the shared phrases give under that name, itself a template;
- ``{Word}`` is the same with a capital letter first;
- ``{friend.he}`` is a pronoun or another form of a member of the cast (see `Character`); ``{he}`` is the hero's;
- an empty line is a place where a new paragraph may begin, every other white space is one space.

"a" is written before every word and sentences may begin small: "an" and capitals are put where they belong when the
story is done (but not after ``!"`` or ``?"``, where "she said" may follow).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple

Draw = Callable[[], float]  # Random.random: the one method whose numbers Python keeps the same between its versions


class Slot(NamedTuple):
    """``{key}`` in a template."""

    key: str
    capital: bool


class Choice(NamedTuple):
    """``[a|b|c]`` in a template."""

    options: tuple[Template, ...]
    optional: bool


Template = tuple["str | Slot | Choice", ...]

_PARTS = re.compile(r"[\[\]|]|\{[^{}]*\}|[^\[\]|{}]+|[{}]")
_SLOT = re.compile(r"\{[A-Za-z][a-z_]*(\.[a-z]+)?\}")
# a vowel that is not said as one (a unicorn, a useful, a one-) keeps "a"; a silent h takes "an"
_VOWEL_SOUND = r"(?=(?!uni|use|usu|one\b|once\b)[aeiouAEIOU]|hour|honest)"
_SMALL_A, _LARGE_A = re.compile(" a " + _VOWEL_SOUND), re.compile("A " + _VOWEL_SOUND)
_SENTENCE_START = re.compile(r'[.!?\n](?:(?<=\.)")? ?"?[a-z]')


@cache
def parse(text: str) -> Template:
    """Read a template; a ValueError says where brackets or braces are wrong."""
    parts = _PARTS.findall(text)
    template, end = _sequence(parts, 0)
    if end != len(parts):
        raise ValueError(f"a template has a stray {parts[end]!r} after {''.join(parts[max(0, end - 3) : end])!r}")
    return template


def _sequence(parts: list[str], at: int) -> tuple[Template, int]:
    """Nodes from `at` to the ``|`` or ``]`` that ends them, and where that is."""
    nodes: list[str | Slot | Choice] = []
    while at < len(parts) and parts[at] not in ("|", "]"):
        part = parts[at]
        if part == "[":
            choice, at = _choice(parts, at + 1)
            nodes.append(choice)
            continue
        if part.startswith(("{", "}")):
            if not _SLOT.fullmatch(part):
                raise ValueError(f"a template has {part!r} where {{word}}, {{Word}} or {{who.form}} would be right")
            nodes.append(Slot(part[1].lower() + part[2:-1], part[1].isupper()))
        else:
            nodes.append(part)
        at += 1
    return tuple(nodes), at


def _choice(parts: list[str], at: int) -> tuple[Choice, int]:
    options: list[Template] = []
    while True:
        option, at = _sequence(parts, at)
        options.append(option)
        if at == len(parts):
            raise ValueError(f"a template has a [ without its ]: {''.join(parts[-5:])!r}")
        at += 1
        if parts[at - 1] == "]":
            told = tuple(option for option in options if option)
            return Choice(told, optional=len(told) < len(options)), at


class Telling(NamedTuple):
    """What one drawing of a template depends on."""

    words: Mapping[str, Template | str]
    draw: Draw
    terse: float
    """How likely an optional part is left out."""


def expand(template: Template, telling: Telling, out: list[str]) -> None:
    """Append to `out` the pieces of one drawing of `template`."""
    words, draw, terse = telling
    for node in template:
        if isinstance(node, str):
            out.append(node)
        elif isinstance(node, Choice):
            options, optional = node
            if not optional or draw() >= terse:
                expand(options[int(draw() * len(options))], telling, out)
        else:
            value = words[node.key]
            first = len(out)
            if isinstance(value, str):
                out.append(value)
            else:
                expand(value, telling, out)
            if node.capital:
                _capitalise(out, first)


def _capitalise(out: list[str], first: int) -> None:
    for index in range(first, len(out)):
        if out[index]:
            out[index] = out[index][0].upper() + out[index][1:]
            return


_PRONOUNS = {
    "male": {"he": "he", "him": "him", "his": "his", "himself": "himself"},
    "female": {"he": "she", "him": "her", "his": "her", "himself": "herself"},
}


@dataclass(frozen=True)
class Character:
    """Somebody in a story: ``{role}`` is the name, ``{role.he}`` and so on the pronouns, ``{role.kind}`` the kind."""

    name: str
    """What the story calls them: "Lily", "Mr. Brown", "the rabbit", or a template such as "{hero.his} mom"."""
    gender: str
    """male or female."""
    kind: str
    """"girl", "fox", "mom" ..."""
    call: str = ""
    """How one speaks to them ("Mom"); the name where empty."""


@cache
def _forms(role: str, who: Character) -> dict[str, Template | str]:
    """What a member of the cast adds to the words of a story."""
    forms: dict[str, Template | str] = {
        role: parse(who.name),
        f"{role}.kind": who.kind,
        f"{role}.call": who.call or who.name,
    }
    for form, word in _PRONOUNS[who.gender].items():
        forms[f"{role}.{form}"] = word
        if role == "hero":
            forms[form] = word
    if role == "hero":
        forms["kind"] = who.kind
    return forms


class Told(NamedTuple):
    """A story, and what it was made of."""

    text: str
    plot: str
    cast: dict[str, Character]


@dataclass(frozen=True)
class Plot:
    """A story that can be told in very many ways."""

    name: str
    cast: Mapping[str, Sequence[Character]]
    """Role to those who can play it, drawn in this order; no two of a story have the same "
    "name. The hero comes first."""
    tables: Mapping[str, Sequence[str | tuple[str, ...]]]
    """Column names (one or more words) to rows; one row is drawn for the story, so what belongs together stays so."""
    text: str
    """The template of the whole story."""

    @cached_property
    def template(self) -> Template:
        return parse(self.text)

    @cached_property
    def rows(self) -> list[list[dict[str, Template | str]]]:
        """The tables, each row ready to be laid over the words of a story."""
        tables = []
        for heading, rows in self.tables.items():
            columns = heading.split()
            table = []
            for row in rows:
                cells = (row,) if isinstance(row, str) else row
                if len(cells) != len(columns):
                    raise ValueError(f"plot {self.name!r}: the row {row!r} does not fit the columns {heading!r}")
                table.append({column: parse(cell) for column, cell in zip(columns, cells, strict=True)})
            tables.append(table)
        return tables

    def tell(self, draw: Draw, phrases: Mapping[str, Template | str]) -> Told:
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
            words.update(_forms(role, who))
        for table in self.rows:
            words.update(table[int(draw() * len(table))])
        out: list[str] = []
        expand(self.template, Telling(words, draw, terse=0.3 + 0.7 * draw()), out)
        return Told(_set("".join(out), one_paragraph=draw() < 0.25), self.name, cast)


def _set(text: str, one_paragraph: bool) -> str:
    """Put the story's spaces, paragraphs, capitals and articles in order."""
    paragraphs = [" ".join(block.split()) for block in text.split("\n\n")]
    text = (" " if one_paragraph else "\n\n").join(block for block in paragraphs if block)
    for mark in ".,!?":
        text = text.replace(" " + mark, mark)  # where an empty option left its words out
    text = f"\n{text}\n".replace(' " ', '" ').replace(' "\n', '"\n')
    text = _SENTENCE_START.sub(lambda start: start[0][:-1] + start[0][-1].upper(), text)
    return _LARGE_A.sub("An ", _SMALL_A.sub(" an ", text)).strip()


def draws(seed: int, index: int, attempt: int) -> Draw:
    """The stream of random numbers of one story, the same on every machine and Python."""
    return random.Random(f"talewright {seed} {index} {attempt}").random
