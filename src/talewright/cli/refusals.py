"""Certain mistakes in the words of a command line, refused before a command sees them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from talewright.cli.arguments import arguments_of
from talewright.cli.dashes import looks_like_option
from talewright.errors import UserError

MAY_BE_EMPTY = ("--prompt", "--text", "--influence", "--neurons", "--separator", "--api-key")
SOURCES = ("--data", "--valid", "--test")
"""Options that report themselves that they are empty, and what they take."""


def refuse_empty_words(words: Sequence[str]) -> None:
    """Raise UserError for an empty name, as that of an unset variable of the shell: it would be the working folder, or
    the option's default.
    """
    for before, word in pairwise(["", *words]):
        option, equals, value = word.partition("=")
        if not (equals and looks_like_option(option)):
            option, value = before, word
        if not value.strip() and option.replace("_", "-") not in MAY_BE_EMPTY + SOURCES:
            what = f"{option} is empty" if looks_like_option(option) else 'a word of the command is empty ("")'
            raise UserError(f"{what}; give it a value, or leave it out")


def refuse_settings_without_section(words: Sequence[str], command: Callable[..., Any]) -> None:
    """Raise UserError for an unknown option that is a setting of the recipe if its section is put before it."""
    known = {each.option for each in arguments_of(command)}
    for word in words:
        option = word.partition("=")[0].replace("_", "-")
        if looks_like_option(word) and option not in known:
            from talewright.config import setting_names

            names = [f"--{name}".replace("_", "-") for name in setting_names()]
            if meant := [name for name in names if name.endswith(f".{option[2:]}")]:
                raise UserError(f"no option {option}; the recipe has the setting {' and '.join(meant)}")
