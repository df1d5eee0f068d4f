"""The help: the overview of all commands, and what each command's own help says beside its options."""

import inspect
import io
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from tyro.conf import arg

from talewright.cli.arguments import POSITIONAL
from talewright.cli.commands import COMMANDS, GROUPS, second_words

LEAST_COLUMNS = 20
BOLD, DIM = "\x1b[1m", "\x1b[2m"
INTRODUCTION = "Train small GPTs that write stories, from scratch, on your own machine."
SETTINGS = """Any setting of the recipe can be given too, as in --model.n-layers 6. `talewright recipes NAME --explain`
lists them all, with their values and meanings."""

METAVARS = {
    "data": "STORIES",
    "valid": "STORIES",
    "test": "STORIES",
    "init_from": "RUN",
    "resume": "RUN",
    "against": "RUN",
    "out": "PATH",
    "prompts": "FILE",
    "device": "DEVICE",
    "recipe": "RECIPE",
    "minutes": "MINUTES",
    "max_minutes": "MINUTES",
    "seconds": "SECONDS",
}
"""What the help puts behind an option, where the kind of its value would say less."""
KINDS = {str: "TEXT", int: "N", float: "X"}


def overview() -> str:
    """What `talewright --help` prints."""
    lines = ["usage: talewright COMMAND [options]", "", INTRODUCTION]
    for title, names in GROUPS.items():
        lines += ["", _styled(title, BOLD), *_entries(list(names))]
    lines += ["", "`talewright COMMAND --help` explains a command; `talewright --completion bash`"]
    return "\n".join([*lines, "(zsh, fish) prints a script that completes them. New here? talewright demo"])


def words_help(name: str) -> str:
    """The help of a command that does nothing without a second word."""
    what = COMMANDS[name].what
    lines = [f"usage: talewright {name} COMMAND [options]", "", f"{what[0].upper()}{what[1:]}.", ""]
    lines += _entries([f"{name} {word}" for word in second_words(name)])
    return "\n".join([*lines, "", f"`talewright {name} COMMAND --help` explains a command."])


def description(name: str, command: Callable[..., Any]) -> str:
    """The text above the options of a command: its docstring without the arguments, a paragraph on each line; an
    example; and the commands that a second word makes of it.
    """
    text = (inspect.getdoc(command) or "").partition("\nArgs:")[0].strip()
    if "overrides" in inspect.signature(command).parameters:
        text += f"\n\n{SETTINGS}"
    paragraphs = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
    paragraphs.append(f"Example: talewright {COMMANDS[name].example}")
    if words := second_words(name):
        paragraphs += ["More commands:", "\n".join(_entries([f"{name} {word}" for word in words]))]
        if "runs" in inspect.signature(command).parameters:
            paragraphs.append(f"A run folder with one of these names is given with its path, as ./{next(iter(words))}.")
    return "\n\n".join(paragraphs)


def _entries(names: list[str]) -> list[str]:
    """A line and an example for each command."""
    lines = []
    for name in names:
        lines.append(f"  {_styled(f'{name.split()[-1]:11}', BOLD)}{COMMANDS[name].what}")
        lines.append(f"{'':13}{_styled(f'talewright {COMMANDS[name].example}', DIM)}")
    return lines


def _styled(text: str, style: str) -> str:
    """The text in a style, in a terminal that shows it."""
    plain = not sys.stdout.isatty() or sys.platform == "win32" or "NO_COLOR" in os.environ
    return text if plain or os.environ.get("TERM") == "dumb" else f"{style}{text}\x1b[0m"


def widen_terminal() -> None:
    """Let a terminal of a few columns count as a wider one: at a width of 1, tyro's help never ends."""
    if shutil.get_terminal_size().columns < LEAST_COLUMNS:
        os.environ["COLUMNS"] = str(LEAST_COLUMNS)


@contextmanager
def wrapped_output() -> Iterator[None]:
    """Within: standard output is held back, and then printed with its paragraphs wrapped for the terminal."""
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            yield
    finally:
        width = shutil.get_terminal_size().columns
        for line in re.sub(r"\n{3,}", "\n\n", printed.getvalue()).splitlines():
            print(line.rstrip() if line.startswith(" ") else _wrap(line, width))  # the options are wrapped already


@cache
def with_plain_hints(target: Any) -> Any:
    """The command, or dataclass of options, whose help names values plainly and hides defaults that say nothing."""
    hints = get_type_hints(target, include_extras=True)
    target.__annotations__ = {name: _plain_hint(name, hint) for name, hint in hints.items()}
    return target


def _plain_hint(name: str, hint: Any) -> Any:
    kind, *metadata = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    if is_dataclass(kind):
        with_plain_hints(kind)
    if name == "return" or is_dataclass(kind):
        return hint
    optional = get_origin(kind) in (Union, UnionType)
    value = next(each for each in get_args(kind) if each is not NoneType) if optional else kind
    metavar = None
    if value in KINDS:
        metavar = name.upper() if POSITIONAL in metadata else METAVARS.get(name, KINDS[value])
    # before the others: what a command itself says wins
    return Annotated[kind, arg(metavar=metavar, help_behavior_hint=_shown_default), *metadata]


def _shown_default(label: str) -> str:
    return "" if label in ("", "None", "False") else f"(default: {label})"


def _wrap(line: str, width: int) -> str:
    indent = " " * 4 if line.startswith("usage:") else ""
    return textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
