"""Values that begin with a dash, such as `--prompt "-Hello"`: the parser of the command line takes them for options."""

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from talewright.cli.arguments import arguments_of
from talewright.errors import UserError
from talewright.files import shell_word

OPTION = re.compile(r"-h|--[A-Za-z][\w.-]*(=.*)?", re.DOTALL)


def looks_like_option(word: str) -> bool:
    """Whether a word is `-h`, or `--` with a name behind it."""
    return OPTION.fullmatch(word) is not None


def join_dashed_values(words: list[str], command: Callable[..., Any]) -> list[str]:
    """The words with `--option=VALUE` in place of an option and a value that begins with a dash. Raises UserError if
    an option has another one in place of its value.
    """
    arguments = list(arguments_of(command))
    options = {each.option for each in arguments if each.takes_value and not each.several and not each.positional}
    for option, value in pairwise(words):
        if option.replace("_", "-") in options and looks_like_option(value):
            raise UserError(f"{option} needs a value. If {value} is that value: {shell_word(f'{option}={value}')}")
    joined: list[str] = []
    for word in words:
        if word.startswith("-") and not looks_like_option(word) and joined and joined[-1].replace("_", "-") in options:
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined
