"""Patterns such as *.txt that the shell expanded, because they were not quoted: several words where one was meant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from talewright.cli.words import print_message
from talewright.errors import UserError

ONE_NAME = ("--data", "--valid", "--test", "--prompts")
"""Options that take one name of a file or folder. No command takes another file beside them."""
ADVICE = 'the shell makes several names of a pattern; quote it, as in --data "stories/*.txt", or give one name'
RUN_MARKS = ("recipe.yaml", "tokenizer.json", "tokenizer")
"""What a folder holds that a command may take beside such an option."""


def refuse_expanded_patterns(words: Sequence[str]) -> None:
    """Raise UserError if another file, or a folder of no run, follows the value of an option that takes one name."""
    for option, value, *others in (words[n : n + 3] for n in range(len(words) - 2)):
        if option in ONE_NAME and not value.startswith("-") and others and _is_no_argument(others[0]):
            raise UserError(f"{option} takes one name, {value}, and {others[0]} follows it; {ADVICE}")


@contextmanager
def hint_on_expanded_patterns(words: Sequence[str]) -> Iterator[None]:
    """Within: a command that refuses its words, with files or folders side by side, also says to quote patterns."""
    try:
        yield
    except SystemExit as stopped:
        if stopped.code == 2 and any(path_exists(one) and path_exists(next_) for one, next_ in pairwise(words)):
            print_message(f"talewright: {ADVICE}")
        raise


def path_exists(word: str) -> bool:
    """Whether a word of a command line is the path of a file or folder."""
    try:
        return not word.startswith("-") and Path(word).exists()
    except (OSError, ValueError):
        return False


def _is_no_argument(word: str) -> bool:
    """Whether a word names a file, or a folder that is neither a run's nor a tokenizer's."""
    return path_exists(word) and not (Path(word).is_dir() and any((Path(word) / mark).exists() for mark in RUN_MARKS))
