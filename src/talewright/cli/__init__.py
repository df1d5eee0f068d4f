"""The command line: each command is the function of the module with its name, thin over the other packages.

Standard output is the answer, standard error the progress. A user's mistake is one message and exit code 2.
Heavy imports are inside the functions, so that `--help` answers at once.
"""

import signal
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from inspect import signature  # not `import inspect`: the command module of that name takes its place

import tyro
from tyro.conf import DisallowNone, FlagCreatePairsOff

from talewright.cli.common import parse_overrides, show_messages
from talewright.errors import UserError
from talewright.train.signals import StopSignal
from talewright.version import __version__

ABOUT = """Train small GPTs that write stories, from scratch, on your own machine.

Start with `talewright demo`. The command line can set any value of a recipe, as in
`talewright train --recipe mini-2m --model.n-layers 6 --train.learning-rate 2e-3`;
`talewright recipes NAME` shows them all."""

# fmt: off
COMMANDS = ["demo", "recipes", "prepare", "train", "plan", "sweep", "evaluate", "judge", "harness", "scores",
            "generate", "studio", "plot", "inspect", "verify", "export", "import", "tokenizer", "bench", "doctor"]
# fmt: on


def main(arguments: list[str] | None = None) -> None:
    """Run one command. Exits with 0, with 2 after a user's mistake, and with 128 + its number after a signal: 130 for
    Ctrl-C, 143 for SIGTERM.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words == ["--version"]:
        print(f"talewright {__version__}")
        return
    commands = {name: _command(name) for name in COMMANDS}
    try:
        if words and words[0] in commands and "overrides" in signature(commands[words[0]]).parameters:
            words, overrides = parse_overrides(words)
            commands[words[0]] = partial(commands[words[0]], overrides)
        with StopSignal(interruptible=True), show_messages():
            tyro.extras.subcommand_cli_from_dict(
                commands,
                prog="talewright",
                description=ABOUT,
                args=words,
                config=(DisallowNone, FlagCreatePairsOff),
            )
    except UserError as error:
        print(f"talewright: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as stopped:
        print("talewright: stopped", file=sys.stderr)
        sys.exit(128 + getattr(stopped, "number", signal.SIGINT))
    except BrokenPipeError:  # the reader of our output left, as `| head` does
        sys.stderr.close()
        sys.exit(0)


def _command(name: str) -> Callable[..., None]:
    module = "import_" if name == "import" else name
    return getattr(import_module(f"talewright.cli.{module}"), module)
