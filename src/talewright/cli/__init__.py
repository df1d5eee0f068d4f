"""The command line: one command, `talewright`, thin over `talewright.api`. Standard output is the answer, standard
error the progress; a mistake of the user's is one message and exit code 2.

Heavy imports stand inside the commands that need them, so that `--help` answers at once.
"""

from __future__ import annotations

import signal
import sys

import tyro
from tyro.conf import DisallowNone

from talewright.cli.doctor import bench, doctor
from talewright.cli.export import export, import_
from talewright.cli.generate import evaluate, generate, scores, studio
from talewright.cli.inspect import inspect, plot, verify
from talewright.cli.judge import harness, judge
from talewright.cli.plan import plan, sweep
from talewright.cli.shared import take_settings
from talewright.cli.train import demo, prepare, recipes, tokenizer, train
from talewright.errors import UserError
from talewright.train.signals import StopSignal
from talewright.version import __version__

ABOUT = """Train small GPTs from scratch to tell stories, on the machine you have.

Begin with `talewright demo`. Any value of a recipe can be set on the command line, as in
`talewright train --recipe mini-2m --model.n-layers 6 --train.learning-rate 2e-3`;
`talewright recipes NAME` shows them all."""


def main(arguments: list[str] | None = None) -> None:
    """Run one command. Exits with 0, with 2 at a mistake of the user's, with 128 + its number when stopped by a signal:
    130 for Ctrl-C, 143 for SIGTERM.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    commands = {
        "demo": demo,
        "recipes": recipes,
        "prepare": prepare,
        "train": train,
        "plan": plan,
        "sweep": sweep,
        "evaluate": evaluate,
        "judge": judge,
        "harness": harness,
        "scores": scores,
        "generate": generate,
        "studio": studio,
        "plot": plot,
        "inspect": inspect,
        "verify": verify,
        "export": export,
        "import": import_,
        "tokenizer": tokenizer,
        "bench": bench,
        "doctor": doctor,
    }
    try:
        if words == ["--version"]:
            print(f"talewright {__version__}")
            return
        words = take_settings(words)
        with StopSignal(interruptible=True):
            tyro.extras.subcommand_cli_from_dict(
                commands, prog="talewright", description=ABOUT, args=words, config=(DisallowNone,)
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
