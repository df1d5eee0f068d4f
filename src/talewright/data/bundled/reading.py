"""Reads the text files of the story grammar; the head of `stories/words.txt` explains their format."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

from talewright.data.bundled.grammar import Character, Plot, Template, character_words, parse
from talewright.errors import UserError

_HEADING = re.compile(r"(?:(group|phrase|role|table) ([a-z_]+(?: / [a-z_]+)*)|(plot|text)):(.*)")
_SLOT_KEY = re.compile(r"\{([\w.]+)\}")
_GENDERS = {"he": "male", "she": "female"}
_HERO = character_words("hero", Character("", "male", "")).keys()


class TextBlock(NamedTuple):
    """A heading and what follows it."""

    line: int
    keyword: str
    name: str
    lines: list[str]
    """The rest of the heading's line, then every line before the next heading."""

    def template(self) -> Template:
        """All that follows the heading, as one template."""
        text = "\n".join(self.lines).rstrip()
        start = len(text) - len(text.lstrip())
        return parse(text[start:], self.line + text.count("\n", 0, start))

    def rows(self) -> list[tuple[int, list[str]]]:
        """Line number and cells of each row."""
        rows: list[tuple[int, str]] = []
        for line, text in enumerate(self.lines, self.line):
            if rows and text.startswith("     "):
                rows[-1] = (rows[-1][0], f"{rows[-1][1]} {text.strip()}")
            elif text.strip():
                rows.append((line, text.strip()))
        return [(line, [cell.strip() for cell in row.split(" / ")]) for line, row in rows]

    def slots(self) -> list[tuple[int, str]]:
        """Line number and key of each slot."""
        found = [(line, _SLOT_KEY.findall(text)) for line, text in enumerate(self.lines, self.line)]
        return [(line, key[0].lower() + key[1:]) for line, keys in found for key in keys]


def split_blocks(text: str) -> list[TextBlock]:
    """Split a file at its headings, and check their order."""
    blocks: list[TextBlock] = []
    for line, content in enumerate(text.splitlines(), 1):
        if match := _HEADING.fullmatch(content):
            keyword, name, other, rest = match.groups(default="")
            blocks.append(TextBlock(line, keyword or other, name, [rest]))
        elif content and content[0] not in "# ":
            raise ValueError(f"line {line}: {content!r} is neither indented nor a heading such as 'role hero:'")
        elif blocks:
            blocks[-1].lines.append(content if content[:1] != "#" else " ")  # an empty line would begin a paragraph
        elif content.startswith(" "):
            raise ValueError(f"line {line}: {content.strip()!r} has no heading above it")
    in_plot = False
    for block in blocks:
        if in_plot != (block.keyword in ("role", "table", "text")):
            raise ValueError(f"line {block.line}: a plot is 'plot', then each 'role' and 'table', then 'text'")
        in_plot = block.keyword in ("plot", "role", "table")
        if not "".join(block.lines).strip():
            raise ValueError(f"line {block.line}: nothing follows {block.keyword!r}")
    if in_plot:
        raise ValueError(f"line {blocks[-1].line}: the last plot has no 'text'")
    return blocks


class StoryReader:
    """Reads files one after another; each may use the groups and phrases of those before it."""

    def __init__(self) -> None:
        self.plots: list[Plot] = []
        self.phrases: dict[str, Template] = {}
        self._groups: dict[str, list[Character]] = {}
        self._words: set[str] = set()
        """What the current plot's roles and tables define."""
        self._slots: list[tuple[int, str]] = []
        """What the current plot uses."""

    def read(self, file: str, text: str) -> None:
        """Add what a file contains; a UserError names the file and the line that is malformed."""
        try:
            for block in split_blocks(text):
                self._add(block)
        except ValueError as error:
            raise UserError(f"{file}, {error}") from None

    def _add(self, block: TextBlock) -> None:
        line, keyword, name, _ = block
        if keyword == "group":
            _check_new(line, [name], self._groups)
            _check_slots(block.slots(), _HERO)
            self._groups[name] = self._players(block)
        elif keyword == "phrase":
            _check_new(line, [name], self.phrases)
            _check_slots(block.slots(), _HERO | self.phrases.keys())
            self.phrases[name] = block.template()
        elif keyword == "plot":
            title = " ".join(" ".join(block.lines).split())
            _check_new(line, [title], [plot.name for plot in self.plots])
            self.plots.append(Plot(title))
            self._words, self._slots = set(), []
        else:
            self._slots += block.slots()
            {"role": self._add_role, "table": self._add_table, "text": self._add_text}[keyword](block, self.plots[-1])

    def _add_role(self, block: TextBlock, plot: Plot) -> None:
        players = self._players(block)
        _check_new(block.line, [block.name], self._words)
        names = {who.name for who in players}
        if sum(any(who.name in names for who in others) for others in plot.cast.values()) >= len(names):
            raise ValueError(f"line {block.line}: other roles may have every name of role {block.name!r}")
        plot.cast[block.name] = players
        self._words |= character_words(block.name, players[0]).keys()

    def _add_table(self, block: TextBlock, plot: Plot) -> None:
        columns = block.name.split(" / ")
        _check_new(block.line, columns, self._words)
        table = []
        for line, cells in block.rows():
            if len(cells) != len(columns):
                raise ValueError(f"line {line}: {len(cells)} cells for the {len(columns)} columns {block.name!r}")
            table.append({column: parse(cell, line) for column, cell in zip(columns, cells, strict=True)})
        plot.tables.append(table)
        self._words.update(columns)

    def _add_text(self, block: TextBlock, plot: Plot) -> None:
        _check_slots(self._slots, self._words | self.phrases.keys())
        plot.template = block.template()

    def _players(self, block: TextBlock) -> list[Character]:
        """The characters of a group or role."""
        players: list[Character] = []
        for line, (first, *cells) in block.rows():
            if not cells:
                for item in first.split(", "):
                    players += self._group(item, line)
            elif len(cells) in (2, 3) and cells[0] in _GENDERS:
                parse(cells[1], line)
                players += [Character(name, _GENDERS[cells[0]], first, *cells[2:]) for name in cells[1].split(", ")]
            else:
                raise ValueError(f"line {line}: a character is 'KIND / he or she / NAME, NAME' or that and ' / CALL'")
        return players

    def _group(self, item: str, line: int) -> list[Character]:
        article, _, kind = item.partition(" ")
        if kind and article == "the":
            return [Character(item, gender, kind, kind) for gender in _GENDERS.values()]
        if kind and article in ("a", "an"):
            return [who._replace(kind=kind) for who in self._group("animals", line)]
        if item not in self._groups:
            raise ValueError(f"line {line}: {item!r} is no group; a group stands above its first use")
        return self._groups[item]


def _check_new(line: int, names: list[str], known: Collection[str]) -> None:
    for index, name in enumerate(names):
        if name in known or name in names[:index]:
            raise ValueError(f"line {line}: {name!r} is defined twice")


def _check_slots(slots: list[tuple[int, str]], known: Collection[str]) -> None:
    for line, key in slots:
        if key not in known:
            raise ValueError(f"line {line}: nothing defines {{{key}}}")
