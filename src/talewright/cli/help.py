"""The help: the overview of all commands, and what each command's own help says beside its options."""

import inspect
import io
import shutil
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from tyro.conf import Positional, arg

COMMANDS = {
    "Start": {
        "demo": "train a first model in two minutes, and read its stories",
        "train": "train on your own stories, or resume a run",
        "generate": "generate stories with a trained run",
        "runs": "list your runs, the newest first",
    },
    "Train": {
        "recipes": "list the recipes, or explain every setting of one",
        "plan": "choose the model size for a time budget on this machine",
        "prepare": "read, clean and tokenize stories without training",
        "tokenizer": "train a tokenizer, or describe one",
        "sweep": "train many settings and seeds, and compare them",
    },
    "Look inside": {
        "studio": "generate, compare and look inside, in the browser",
        "serve": "answer OpenAI's clients: completions over HTTP",
        "inspect": "attention, weights, predictions: one page for a run",
        "plot": "draw the training curves of a run",
        "evaluate": "score runs on held-out and generated stories",
        "scores": "compare evaluated runs on a Markdown page",
        "judge": "have a large language model grade the stories",
        "harness": "write questions for EleutherAI's evaluation harness",
    },
    "Take elsewhere": {
        "export": "transformers, llama.cpp, ONNX, llama2.c or a web page",
        "import": "make a run of a model from another program",
    },
    "Tools": {
        "verify": "check that a run has not changed",
        "bench": "measure this machine",
        "doctor": "show what this machine has",
    },
}
"""The commands by group, each with what it does in some words."""

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
POSITIONAL = get_args(Positional[str])[1]


def command_names() -> list[str]:
    return [name for group in COMMANDS.values() for name in group]


def overview() -> str:
    """What `talewright --help` prints."""
    lines = ["usage: talewright COMMAND [options]", "", INTRODUCTION]
    for title, group in COMMANDS.items():
        lines += ["", title, *(f"  {name:11}{what}" for name, what in group.items())]
    return "\n".join([*lines, "", "`talewright COMMAND --help` explains a command. New here? talewright demo"])


def description(command: Callable[..., Any]) -> str:
    """The text above the options of a command: its docstring without the arguments, a paragraph on each line."""
    text = (inspect.getdoc(command) or "").partition("\nArgs:")[0].strip()
    if "overrides" in inspect.signature(command).parameters:
        text += f"\n\n{SETTINGS}"
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


@contextmanager
def wrapped_output() -> Iterator[None]:
    """Within: standard output is held back, and then printed with its paragraphs wrapped for the terminal."""
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            yield
    finally:
        width = shutil.get_terminal_size().columns
        for line in printed.getvalue().splitlines():
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
