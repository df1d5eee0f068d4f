"""The command `plot`."""

from pathlib import Path

from talewright.cli.common import RunArgument
from talewright.cli.words import show


def plot(run: RunArgument) -> None:
    """Draw the training curves of a run from its log, also while it trains."""
    from talewright.inspect.curves import draw_curves

    show(draw_curves(Path(run)))
