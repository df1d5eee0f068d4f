"""Values that begin with a dash, such as `--prompt "-Hello"`: the parser of the command line takes them for options."""

import re
from collections.abc import Callable
from dataclasses import is_dataclass
from itertools import pairwise
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from tyro.conf import Positional

from talewright.errors import UserError
from talewright.files import shell_word

POSITIONAL = get_args(Positional[str])[1]
OPTION = re.compile(r"-h|--[A-Za-z][\w.-]*(=.*)?", re.DOTALL)


def looks_like_option(word: str) -> bool:
    """Whether a word is `-h`, or `--` with a name behind it."""
    return OPTION.fullmatch(word) is not None


def join_dashed_values(words: list[str], command: Callable[..., Any]) -> list[str]:
    """The words with `--option=VALUE` in place of an option and a value that begins with a dash. Raises UserError if
    an option has another one in place of its value.
    """
    options = _value_options(command)
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


def _value_options(target: Any) -> set[str]:
    """The options of a command, or of a dataclass of options, that take one value."""
    options: set[str] = set()
    for name, hint in get_type_hints(target, include_extras=True).items():
        kind, *metadata = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        if is_dataclass(kind):
            options |= _value_options(kind)
        elif kind is not bool and get_origin(kind) is not tuple and POSITIONAL not in metadata:
            options.add("--" + name.replace("_", "-"))
    return options - {"--return", "--overrides"}
