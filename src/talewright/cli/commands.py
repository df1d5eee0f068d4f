"""The commands: their names, what each does, the functions behind them, and the old names that still work."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from talewright.cli.patterns import path_exists
from talewright.errors import UserError

REMOVED_IN = "0.3.0"
"""The version without the old names."""
SIMILAR = 0.7
"""How similar to a second word (1: the same) a word is that was meant to be it, and not a run folder."""


@dataclass(frozen=True)
class Command:
    """What the help says of a command, in one line and one example."""

    what: str
    example: str
    """A whole command, but for `talewright`."""
    alone: bool = True
    """Whether it does something without one of its second words."""


GROUPS = {
    "Start": ("demo", "train", "generate", "runs"),
    "Data and choices": ("data", "recipes", "plan", "sweep"),
    "Understand": ("evaluate", "inspect", "studio"),
    "Take elsewhere": ("serve", "export", "import"),
    "Machine": ("doctor",),
}
"""The commands by task."""

COMMANDS = {
    "demo": Command("train a first model in two minutes, and read its stories", "demo"),
    "train": Command("train on your own stories, or resume a run", "train --data stories.txt --minutes 20"),
    "generate": Command("write stories with a run, or the included model", 'generate --prompt "One day, a dragon"'),
    "runs": Command("list your runs, the newest first", "runs"),
    "data": Command("prepare stories; train or show a tokenizer", "data prepare --data stories.txt", alone=False),
    "data prepare": Command(
        "read, clean and tokenize stories without training", "data prepare --data stories.txt --out prepared"
    ),
    "data tokenizer": Command("train a tokenizer, or show one", "data tokenizer show runs/demo-1", alone=False),
    "data tokenizer train": Command("train a tokenizer on stories", "data tokenizer train words --data stories.txt"),
    "data tokenizer show": Command(
        "describe a tokenizer, or a run's", "data tokenizer show runs/demo-1 --data stories.txt"
    ),
    "recipes": Command("list the recipes, or explain every setting of one", "recipes story-3m --explain"),
    "plan": Command("choose the model size for a time budget on this machine", "plan --minutes 30 --data stories.txt"),
    "sweep": Command("train many settings and seeds, and compare them", "sweep rates.yaml --jobs 2"),
    "evaluate": Command("score runs; compare them; have a judge grade their stories", "evaluate runs/demo-1"),
    "evaluate compare": Command(
        "compare evaluated runs on a Markdown page", "evaluate compare runs/demo-1 runs/demo-2 --out scores.md"
    ),
    "evaluate judge": Command(
        "have a large language model grade the stories",
        "evaluate judge runs/demo-1 --url URL --model NAME",
    ),
    "evaluate harness": Command("write questions for EleutherAI's evaluation harness", "evaluate harness questions"),
    "inspect": Command("curves, attention, weights, predictions: one page for a run", "inspect runs/demo-1"),
    "studio": Command("generate, compare, look inside and watch, in the browser", "studio"),
    "serve": Command("answer OpenAI's clients: completions over HTTP", "serve runs/demo-1 --port 8000"),
    "export": Command(
        "for transformers, llama.cpp, ONNX, llama2.c or a web page", "export runs/demo-1 dragon --to gguf"
    ),
    "import": Command("make a run of a model from another program", "import roneneldan/TinyStories-1M runs/tiny"),
    "doctor": Command("show what this machine has; measure it; verify a run", "doctor"),
    "doctor verify": Command("check that a run has not changed", "doctor verify runs/demo-1"),
    "doctor bench": Command("measure how fast this machine trains or generates", "doctor bench train"),
}
"""Every command by its words, each after the command whose second word it is."""

OLD_NAMES = {
    "prepare": "data prepare",
    "tokenizer": "data tokenizer",
    "scores": "evaluate compare",
    "judge": "evaluate judge",
    "harness": "evaluate harness",
    "plot": "inspect RUN --only curves",
    "verify": "doctor verify",
    "bench": "doctor bench",
}
"""The commands of version 0.1 that have another name now."""


TOP_LEVEL = [name for names in GROUPS.values() for name in names]
"""The commands that `talewright --help` lists."""


def second_words(name: str) -> dict[str, str]:
    """The words that may follow a command, each with the command that it makes of it; none for most."""
    return {each.split()[-1]: each for each in COMMANDS if each.rpartition(" ")[0] == name}


def find_command(words: list[str]) -> tuple[str, list[str]]:
    """The command that a command line names, and the words that are its arguments.

    A word is a second word if it follows the command and is one of those that the command knows. Raises UserError with
    the nearest name if a command or a second word is unknown.
    """
    name, *rest = words
    if name not in TOP_LEVEL:
        raise UserError(f"no command {name}; {_hint(name, _every_name())}")
    while rest and rest[0] in (known := second_words(name)):
        name = known[rest.pop(0)]
    known = second_words(name)
    if known and rest and not rest[0].startswith("-"):
        _refuse_unknown_word(name, rest[0], known)
    return name, rest


def _refuse_unknown_word(name: str, word: str, known: Mapping[str, str]) -> None:
    """Raise UserError if the word after a command was meant to be a second word, and is none."""
    similar = word.isalpha() and difflib.get_close_matches(word, known, 1, SIMILAR) and not path_exists(word)
    if similar or not COMMANDS[name].alone:
        raise UserError(f"{name} has no command {word}; {_hint(word, known, name)}")


def _every_name() -> dict[str, str]:
    """The commands by each word that they may be looked for under."""
    last = {name.split()[-1]: name for name in reversed(COMMANDS)}
    return {**OLD_NAMES, **last, **{name: name for name in TOP_LEVEL}}


def _hint(word: str, known: Mapping[str, str], command: str = "") -> str:
    near = difflib.get_close_matches(word, known, 1)
    help_of = " ".join(["talewright", *command.split(), "--help"])
    return f"did you mean {known[near[0]]}?" if near else f"`{help_of}` lists them"


def replace_old_name(words: list[str]) -> tuple[list[str], str | None]:
    """The command line in the present names, and a message on the old one if it has one."""
    name, *rest = words
    if name not in OLD_NAMES:
        return words, None
    message = f"{name} is now `talewright {OLD_NAMES[name]}`; the old name goes in {REMOVED_IN}"
    if name == "plot":
        return ["inspect", *rest, "--only", "curves"], message
    if name == "tokenizer":  # its action could stand behind options
        action = next((word for word in rest if word in second_words("data tokenizer")), None)
        if action is not None:
            rest.remove(action)
            rest = [action, *rest]
    return [*OLD_NAMES[name].split(), *rest], message


def function_of(name: str) -> Callable[..., Any]:
    """The function behind a command: of the module with its name, the words joined by underscores."""
    module = "import_" if name == "import" else name.replace(" ", "_")
    return getattr(import_module(f"talewright.cli.{module}"), module)
