"""The page of commands."""

from __future__ import annotations

import re

from talewright.cli.help import overview
from website.commands import command_groups, command_section, commands_page, options, plain

HELP = """usage: talewright paint [-h] [OPTIONS] RUN

Paint a run. It writes *.png and `a_b`.

Example: talewright paint runs/demo-1

 positional arguments
 --------------------------------
  RUN          The run's folder. (required)

 options
 --------------------------------
  -h, --help   show this help message and exit
  --very-long-option {red,green,blue}
               Which color: one
               of three. (default: red)

 file options
 --------------------------------
  What this group is for.
  --------------------------------
  --out PATH   File to write.

"""


def test_a_commands_help_becomes_a_definition_list() -> None:
    section = command_section("paint", HELP)
    assert section.startswith("### paint\n\n```\ntalewright paint [-h] [OPTIONS] RUN\n```\n")
    assert r"It writes \*.png and `a_b`." in section
    assert "Example: `talewright paint runs/demo-1`" in section
    assert "**Positional arguments**\n\n`RUN`\n:   The run's folder. (required)\n" in section
    assert "`--very-long-option {red,green,blue}`\n:   Which color: one of three. (default: red)\n" in section
    assert "**File options**\n\n`--out PATH`\n:   File to write.\n" in section
    assert "--help" not in section


def test_the_page_has_every_command_and_every_option() -> None:
    page = commands_page()
    names = [name for group in command_groups(overview()).values() for name in group]
    headings = re.findall(r"^### (.*)$", page, re.MULTILINE)
    assert len(names) > 10
    assert set(names) <= set(headings)
    assert len(headings) == len(set(headings))
    train = page.partition("### train\n")[2].partition("\n### ")[0]
    assert {"`--minutes MINUTES`", "`--data STORIES`", "`--resume RUN`"} <= set(train.splitlines())


def test_commands_are_found_by_their_groups() -> None:
    groups = "Start\n  demo   first\n         talewright demo\n  runs   list\n\nMore\n  data   it\n"
    assert command_groups(f"usage: x\n\nWhat it is.\n\n{groups}\n`x --help` explains.\n") == {
        "Start": ["demo", "runs"],
        "More": ["data"],
    }


def test_options_without_a_meaning_and_marks_of_markdown_survive() -> None:
    assert list(options("  --fast\n  --to {a,b}\n       one of a|b\n")) == [
        ("--fast", ""),
        ("--to {a,b}", "one of a|b"),
    ]
    assert plain("a_b `a_b` <x> [y]") == r"a\_b `a_b` \<x> \[y\]"
