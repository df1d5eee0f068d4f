"""The command `evaluate compare`."""

from pathlib import Path

from talewright.cli.common import RunsArgument
from talewright.cli.words import show
from talewright.errors import UserError


def evaluate_compare(runs: RunsArgument, data: str | None = None, out: str | None = None, each: bool = False) -> None:
    """Compare evaluated runs on a Markdown page, the best first.

    Args:
        data: The scores on these stories, as `evaluate --data` was given them. Default: on each run's validation
            stories.
        each: Show each run below the mean of its seeds. Default: runs that differ only in their seed share a row.
        out: File to write the page to. Default: print it.
    """
    from talewright.data.sources import last_name
    from talewright.evaluate.scores import read_scores
    from talewright.evaluate.tables import leaderboard
    from talewright.files import write_text_atomic

    if not runs:
        raise UserError("it compares run folders, as in: talewright evaluate compare runs/mini-2m-1 runs/mini-2m-2")
    names = " ".join(Path(run).name for run in runs)
    command = f"talewright evaluate compare {names}" + (f" --data {last_name(data)}" if data else "")
    text = leaderboard(read_scores([Path(run) for run in runs], data), command, each)
    if out is None:
        show(text, end="")
        return
    try:
        write_text_atomic(Path(out), text)
    except OSError as error:
        raise UserError(f"--out {out} cannot be written: {error.strerror}") from None
