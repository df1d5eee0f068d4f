"""The command `evaluate harness`."""

from pathlib import Path

from tyro.conf import Positional

from talewright.cli.words import show


def evaluate_harness(folder: Positional[str]) -> None:
    """Write the understanding questions as a task of EleutherAI's lm-evaluation-harness, for use with any model there.

    Writes talewright_understanding.yaml and .jsonl into the folder; docs/understanding.md says how to run them.

    Args:
        folder: Folder to write to.
    """
    from talewright.evaluate.multiple_choice.harness import write_task

    show(write_task(Path(folder)))
