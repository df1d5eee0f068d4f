"""What the commands share: types of their arguments, recipe settings, messages and exit codes."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from talewright.cli.dashes import looks_like_option
from talewright.cli.words import print_message, print_pieces
from talewright.config.data import NEW_SOURCE, StoryFormat
from talewright.errors import UserError
from talewright.files import error_reason, json_text, shell_word
from talewright.train.launcher import is_main_process, reports_errors

if TYPE_CHECKING:
    from talewright.api import Run
    from talewright.generate.sampling import Sampling
    from talewright.train.loop import Outcome

logger = logging.getLogger("talewright.cli")
"""The messages of all commands."""

RunArgument = Annotated[str, Positional, arg(name="run", metavar="RUN", help="Run folder.")]
OptionalRun = Annotated[
    str,
    Positional,
    arg(name="run", metavar="[RUN]", help="Run folder; `included` is the model that comes with Talewright."),
]
RunsArgument = Annotated[tuple[str, ...], Positional, arg(metavar="[RUN ...]", help="Run folders.")]
Checkpoint = Annotated[str, arg(help="`best`, `last` or a step.")]
Device = Annotated[str | None, arg(help="cpu, cuda, cuda:1 or mps. Default: the GPU, if there is one.")]
Seed = Annotated[int, arg(help="The same seed generates the same stories; another one, others.")]
Json = Annotated[bool, arg(help="Print JSON.")]

INCLUDED = "included"
"""The name of the included model, as in `run.included`, which imports more than a command's help needs."""
Overrides = Mapping[str, str]
"""The recipe settings of a command line, by `section.key`."""


@dataclass(frozen=True)
class FileOptions:
    """How a file holds its stories, where that is not recognized, or not as it should be."""

    format: StoryFormat | None = None
    """How a file holds its stories (separator: between them, blank-lines: between them, lines: one per line, text: a
    book or a play without stories). Default: recognized, and logged."""
    separator: str | None = None
    """Line between the stories of a text file; `blank line` and `two blank lines` are understood."""
    text_key: str | None = None
    """Column or key that holds the story."""

    def reading(self, data: str | None) -> dict[str, Any]:
        """The settings that these options name for the stories of `data`. Raises UserError if that is not given."""
        given = {name: getattr(self, name) for name in ("format", "separator", "text_key")}
        given = {name: value for name, value in given.items() if value is not None}
        if given and data is None:
            options = " and ".join(f"--{name.replace('_', '-')}" for name in given)
            raise UserError(
                f"{options} {'says' if len(given) == 1 else 'say'} how the stories of --data are read, which is not "
                "given; the run's own stories are read as they were for its training"
            )
        return given


@dataclass(frozen=True)
class SourceOptions:
    """Where the stories come from."""

    data: str | None = None
    """Stories: bundled, hub:OWNER/NAME, or a file, folder or glob (text, CSV, TSV, JSON, Parquet; .gz, .zst)."""
    valid: str | None = None
    """Validation stories, if they have a source of their own."""
    test: str | None = None
    """Test stories, if they have a source of their own."""
    limit: int | None = None
    """Read at most this many stories."""


@dataclass(frozen=True)
class DataOptions(FileOptions, SourceOptions):  # a dataclass lists the fields of its last base first
    """Options for the stories, each short for a setting of the recipe."""

    def added_to(self, overrides: Overrides, moved: bool = False) -> dict[str, str]:
        """The overrides with these options. The recipe's limit and format are for its own source, so another one
        removes them, unless it is the same in another place (`moved`).
        """
        values = {("source" if name == "data" else name): value for name, value in vars(self).items()}
        # as JSON, so that a text stays a text, whatever YAML would read in it
        given = {
            f"data.{name}": json_text(value, ensure_ascii=False) for name, value in values.items() if value is not None
        }
        other = not moved and (self.data is not None or "data.source" in overrides)
        return {**(NEW_SOURCE if other else {}), **overrides, **given}


def parse_overrides(words: list[str]) -> tuple[list[str], dict[str, str]]:
    """Split a command line into the words for the command and the recipe settings: `--section.key=value` or
    `--section.key value`.
    """
    rest, overrides, bare, waiting = [], {}, [], list(words)
    while waiting:
        word = waiting.pop(0)
        key, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or "." not in key:
            rest.append(word)
        elif not equals and (not waiting or looks_like_option(waiting[0])):
            bare.append(word)
        else:
            overrides[key.replace("-", "_")] = value if equals else waiting.pop(0)
    if bare:
        raise UserError(f"{' and '.join(bare)} {'needs' if len(bare) == 1 else 'need'} a value, as in {bare[0]} VALUE")
    return rest, overrides


class _StderrHandler(logging.Handler):
    """Writes messages to the current `sys.stderr`, which a live progress bar may have replaced."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print_message(self.format(record))
        except Exception:
            self.handleError(record)


@contextmanager
def show_messages() -> Iterator[None]:
    """Show the messages that Talewright logs. Of several processes, only the main one shows them; until they have
    joined, the first one of each node shows its warnings.
    """
    package, handler = logging.getLogger("talewright"), _StderrHandler()
    handler.addFilter(lambda record: is_main_process() or (record.levelno >= logging.WARNING and reports_errors()))
    level = package.level
    package.addHandler(handler)
    package.setLevel(logging.INFO)
    # of a home folder that it cannot write, and of its fonts: neither changes a figure
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    try:
        yield
    finally:
        package.removeHandler(handler)
        package.setLevel(level)


@contextmanager
def hint_on_stop(folder: Path | None = None) -> Iterator[None]:
    """Say how to continue if a signal comes before there is anything to save."""
    try:
        yield
    except KeyboardInterrupt:
        if folder is not None and (folder / "recipe.yaml").exists():
            logger.info("nothing more was trained. To continue: talewright train --resume %s", shell_word(str(folder)))
        else:
            logger.info("stopped before training. To continue, give the same command again")
        raise


def exit_if_stopped(outcome: Outcome, folder: Path) -> None:
    """Exit with the signal's code, and say how to continue, if training was stopped by one."""
    if outcome.signal is not None and outcome.main_process:
        saved = ", and saved" if outcome.state.step else ""
        logger.info(
            "stopped at step %s%s. To continue: talewright train --resume %s",
            f"{outcome.state.step:,}",
            saved,
            shell_word(str(folder)),
        )
    if outcome.signal is not None:
        sys.exit(128 + outcome.signal)


def program() -> str:
    """The command that starts this program here, for a shell: `talewright`, the path of its script if that is not on
    PATH, or `PYTHON -m talewright`.
    """
    if shutil.which("talewright"):
        return "talewright"
    script = shutil.which("talewright", path=Path(sys.executable).parent)
    if script is None:
        return f"{shell_word(sys.executable)} -m talewright"
    inside = Path(script).is_relative_to(Path.cwd())
    return shell_word(os.path.relpath(script) if inside else script)


def print_story(run: Run, prompt: str, sampling: Sampling) -> None:
    """Generate a story and print it word by word."""
    from talewright.generate.engine import trimmed

    print_pieces(chain([trimmed(prompt)], run.stream(prompt, sampling)))


def read_prompts(path: str) -> list[str]:
    """The prompts in a file, one on each line. Only line feeds and carriage returns end a line."""
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise UserError(f"--prompts {path} cannot be read: {error_reason(error)}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"--prompts {path} is not UTF-8 text (byte {error.start + 1:,}); save it as UTF-8") from None
    if any("\0" in line for line in lines):
        raise UserError(f"--prompts {path} is not UTF-8 text, or no text at all: it has NUL bytes; save it as UTF-8")
    prompts = [line for line in (line.removeprefix("\ufeff") for line in lines) if line.strip()]
    if not prompts:
        raise UserError(f"--prompts {path} is empty; it must hold one prompt on each line")
    return prompts


def typed_text(option: str, text: str) -> str:
    """The text of an option as it was typed, also where Python reads the command line as ASCII.

    Raises UserError if it is not UTF-8.
    """
    try:
        text.encode()
        return text
    except UnicodeEncodeError:  # Python keeps a byte that it cannot decode as half of a surrogate pair
        pass
    try:
        return os.fsencode(text).decode()
    except UnicodeError:
        raise UserError(f"{option} is not UTF-8 text; set the terminal's encoding to UTF-8") from None


def to_json(value: Any) -> str:
    """Indented JSON; in ASCII, where standard output cannot show all its characters."""
    text, encoding = json_text(value, indent=2, ensure_ascii=False), getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        whole = text.encode(encoding).decode(encoding) == text  # some encodings take a similar character
    except UnicodeError:
        whole = False
    return text if whole else json_text(value, indent=2)
