"""The page of commands, made of what `talewright --help` and each command's own help print."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from unittest import mock

from talewright import cli

WIDE = {"COLUMNS": "5000"}  # so that the help does not wrap its lines
INTRODUCTION = """# Commands

This page is made from the commands' own help: `talewright --help` lists them, and `talewright COMMAND --help` explains
one. A command prints its answer on standard output, and progress and warnings on standard error. It exits with 0, with
2 after a mistake in what it was given, and with 130 after Ctrl-C.
"""
LISTED = r"^ {2}(\w+) +\S.*\n +talewright %s \1\b.*\n"
"""A command in the help of the command before it, with its example on the next line."""


def commands_page() -> str:
    parts = [INTRODUCTION]
    for group, names in command_groups(help_text()).items():
        parts += [f"## {group}\n", *(section for name in names for section in sections(name))]
    return "\n".join(parts)


def help_text(command: str = "") -> str:
    """What `talewright COMMAND --help` prints, in one line per paragraph."""
    printed = io.StringIO()
    with mock.patch.dict(os.environ, WIDE), redirect_stdout(printed), suppress(SystemExit):
        cli.main([*command.split(), "--help"])
    return printed.getvalue()


def command_groups(overview: str) -> dict[str, list[str]]:
    """The commands that the overview lists below each title."""
    blocks = re.findall(r"^(\S.*)\n((?: {2}.*\n)+)", overview, re.MULTILINE)
    return {title: re.findall(r"^ {2}(\w+) +\S", block, re.MULTILINE) for title, block in blocks}


def sections(name: str) -> Iterator[str]:
    """The section of a command, and those of the commands that its help lists."""
    text = help_text(name)
    listed = LISTED % re.escape(name)
    more = re.findall(listed, text, re.MULTILINE)
    text = re.sub(listed, "", text, flags=re.MULTILINE)
    yield command_section(name, text.replace("More commands:\n", f"More commands: {', '.join(more)}.\n"))
    for word in more:
        yield from sections(f"{name} {word}")


def command_section(name: str, text: str) -> str:
    """A command's help as Markdown: usage, what it does, and its options as a definition list."""
    usage, _, rest = text.partition("\n")
    about, *groups = re.split(r"^ (?=\S.*\n -{20,}$)", rest, flags=re.MULTILINE)
    about = re.sub(r"^Example: (.*)$", r"Example: `\1`", about.strip(), flags=re.MULTILINE)
    lines = [f"### {name}", "", "```", usage.removeprefix("usage: "), "```", "", plain(about), ""]
    for group in groups:
        title, _, body = group.partition("\n")
        terms = list(options(body))
        if terms:
            lines += [f"**{title.strip().capitalize()}**", ""]
            lines += [f"`{term}`\n:   {plain(meaning)}\n" for term, meaning in terms]
    return "\n".join(lines)


def options(body: str) -> Iterator[tuple[str, str]]:
    """Each option or argument of a group with its meaning. The group's own description, above a rule, is left out."""
    body = re.sub(r"^ {2}\S.*\n {2}-{20,}$", "", body, flags=re.MULTILINE)
    for entry in re.split(r"^ {2}(?=[^ ])", body, flags=re.MULTILINE)[1:]:
        term, _, meaning = re.sub(r"\n\s*", "  ", entry.strip()).partition("  ")
        if term != "-h, --help":
            yield term, re.sub(r" {2,}", " ", meaning).strip()


def plain(text: str) -> str:
    """The text with what Markdown would take for a mark escaped, but for `code`."""
    pieces = re.split(r"(`[^`\n]*`)", text)
    return "".join(each if each.startswith("`") else re.sub(r"([*_<\[\]])", r"\\\1", each) for each in pieces)
