"""The page of commands, made of what each command's own `--help` prints."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from unittest import mock

from talewright import cli
from talewright.cli.help import COMMANDS

WIDE = {"COLUMNS": "5000"}  # so that the help does not wrap its lines
INTRODUCTION = """# Commands

This page is made from each command's own help, which `talewright COMMAND --help` prints. Every command exits with 0,
with 2 after a mistake in what it was given, and with 130 after Ctrl-C. The answer goes to standard output; progress
and warnings go to standard error.
"""


def commands_page() -> str:
    parts = [INTRODUCTION]
    for group, commands in COMMANDS.items():
        parts.append(f"## {group}\n")
        parts += [command_section(name, help_text(name)) for name in commands]
    return "\n".join(parts)


def help_text(command: str) -> str:
    """What `talewright COMMAND --help` prints, in one line per paragraph."""
    printed = io.StringIO()
    with mock.patch.dict(os.environ, WIDE), redirect_stdout(printed), suppress(SystemExit):
        cli.main([*command.split(), "--help"])
    return printed.getvalue()


def command_section(name: str, text: str) -> str:
    """A command's help as Markdown: usage, what it does, and its options as a definition list."""
    usage, _, rest = text.partition("\n")
    about, *groups = re.split(r"^ (?=\S.*\n -{20,}$)", rest, flags=re.MULTILINE)
    lines = [f"### {name}", "", "```", usage.removeprefix("usage: "), "```", "", plain(about.strip()), ""]
    for group in groups:
        title, _, body = group.partition("\n")
        terms = list(options(body))
        if terms:
            lines += [f"**{title.capitalize()}**", ""]
            lines += [f"`{term}`\n:   {plain(meaning)}\n" for term, meaning in terms]
    return "\n".join(lines)


def options(body: str) -> Iterator[tuple[str, str]]:
    """Each option or argument of a group with its meaning. The group's own description, between rules, is left out."""
    body = re.sub(r"^ {2}\S.*\n {2}-{20,}$", "", body, flags=re.MULTILINE)
    for entry in re.split(r"^ {2}(?=[^ ])", body, flags=re.MULTILINE)[1:]:
        term, _, meaning = re.sub(r"\n\s*", "  ", entry.strip()).partition("  ")
        if term != "-h, --help":
            yield term, re.sub(r" {2,}", " ", meaning).strip()


def plain(text: str) -> str:
    """The text with what Markdown would take for a mark escaped, but for `code`."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(each if each.startswith("`") else re.sub(r"([*_<\[\]])", r"\\\1", each) for each in pieces)
