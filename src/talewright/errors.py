"""What a user is meant to read: errors, and any text with what a terminal would obey made visible."""

import re
from collections.abc import Sequence

_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """The text with control characters, but for tab and line feed, as signs that a terminal only shows: ␛ for ESC."""
    return _OBEYED.sub(_sign, text)


def _sign(match: re.Match[str]) -> str:
    code = ord(match[0])
    return chr(0x2400 + code) if code < 0x20 else f"\\u{code:04x}"


def listed(names: Sequence[str], most: int = 4) -> str:
    """The first names, and how many more there are: "a, b and 3 more"."""
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


class UserError(ValueError):
    """Something in the user's input is wrong. The message says what, where, and what would be right.

    The command line prints only the message, without a traceback, and exits with code 2. It may quote any file: what a
    terminal would obey is made visible.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(visible(str(message)))


class LostProcessError(RuntimeError):
    """Another process of a training ended or cannot be reached. The message says how to go on; empty if another
    process says so.
    """
