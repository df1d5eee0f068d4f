"""The command line: each command is the function of the module with its name (`evaluate judge`: evaluate_judge), thin
over the other packages.

Standard output is the answer, standard error the progress. A user's mistake is one message and exit code 2.
Heavy imports are inside the functions, so that `--help` answers at once.
"""

import signal
import sys
from codecs import lookup
from contextlib import nullcontext
from functools import partial
from inspect import signature  # not `import inspect`: the command module of that name takes its place
from pathlib import Path

import tyro
from tyro.conf import DisallowNone, FlagCreatePairsOff, HelptextFromCommentsOff

from talewright.cli.commands import COMMANDS, find_command, function_of, replace_old_name, second_words
from talewright.cli.common import parse_overrides, show_messages
from talewright.cli.dashes import join_dashed_values
from talewright.cli.help import description, overview, widen_terminal, with_plain_hints, words_help, wrapped_output
from talewright.cli.patterns import hint_on_expanded_patterns, refuse_expanded_patterns
from talewright.cli.refusals import refuse_empty_words, refuse_settings_without_section
from talewright.cli.words import flushed_output, print_message, replace_unknown_characters
from talewright.errors import LostProcessError, UserError
from talewright.files import error_reason
from talewright.train.launcher import is_main_process, reports_errors
from talewright.train.signals import StopSignal
from talewright.version import __version__


def main(arguments: list[str] | None = None) -> None:
    """Run one command. Exits with 0, with 2 after a user's mistake, with 128 + its number after a signal (130 for
    Ctrl-C, 143 for SIGTERM), and with 1 if another process of the training is lost.
    """
    replace_unknown_characters()
    widen_terminal()
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with flushed_output(), StopSignal(interruptible=True), show_messages():
            _run_command(words)
    except UserError as error:
        if reports_errors():
            print_message(f"talewright: {error}")
        sys.exit(2)
    except LostProcessError as error:
        if str(error):
            print_message(f"talewright: {error}")
        sys.exit(1)
    except KeyboardInterrupt as stopped:
        if is_main_process():
            print_message("talewright: stopped")
        sys.exit(128 + getattr(stopped, "number", signal.SIGINT))
    except BrokenPipeError:  # the reader of our output left, as `| head` does
        sys.stderr.close()
        sys.exit(0)
    except UnicodeEncodeError as error:  # of a name that a recipe holds, say, as that of a file
        if lookup(error.encoding).name == "utf-8":
            raise
        print_message(
            f"talewright: {error.object} has characters that this terminal's encoding, {error.encoding}, lacks; set it "
            "to UTF-8"
        )
        sys.exit(2)
    except OSError as error:  # of a disk or a file, where no command says more
        if reports_errors():
            print_message(f"talewright: {error_reason(error)}{f': {error.filename}' if error.filename else ''}")
        sys.exit(2)


def _run_command(words: list[str]) -> None:
    if words == ["--version"]:
        print(f"talewright {__version__}")
        return
    if not words or words[:1] in (["--help"], ["-h"]):
        print(overview())
        return
    if words[0] == "--completion":
        from talewright.cli.completion import completion_script

        print(completion_script(" ".join(words[1:])), end="")
        return
    _refuse_deleted_folder()
    words, replaced = replace_old_name(words)
    if replaced:
        print_message(f"talewright: {replaced}")
    name, words = find_command(words)
    if COMMANDS[name].alone:
        _call_function(name, words)
    elif not words or _asks_for_help(words):
        print(words_help(name))
    else:
        raise UserError(f"{name} needs a command: {' or '.join(second_words(name))}")


def _refuse_deleted_folder() -> None:
    """Raise UserError if the working folder was deleted: there, importing torch ends the program with words of MKL."""
    try:
        Path.cwd()
    except FileNotFoundError:
        raise UserError("the folder that this command runs in was deleted; change into another") from None


def _asks_for_help(words: list[str]) -> bool:
    return bool({"--help", "-h"} & {*words})


def _call_function(name: str, words: list[str]) -> None:
    """Call the function of a command with its arguments."""
    command = with_plain_hints(function_of(name))
    text = description(name, command)
    words = join_dashed_values(words, command)
    if "overrides" in signature(command).parameters:
        words, overrides = parse_overrides(words)
        refuse_settings_without_section(words, command)
        command = partial(command, overrides)
    refuse_empty_words(words)
    refuse_expanded_patterns(words)
    with wrapped_output() if _asks_for_help(words) else nullcontext(), hint_on_expanded_patterns(words):
        tyro.cli(
            command,
            prog=f"talewright {name}",
            description=text,
            args=words,
            config=(DisallowNone, FlagCreatePairsOff, HelptextFromCommentsOff),
        )
