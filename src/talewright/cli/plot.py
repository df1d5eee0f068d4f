"""The command `plot`."""

from pathlib import Path

from talewright.cli.common import RunArgument


def plot(run: RunArgument) -> None:
    """Draw the training curves of a run from its log, also while it trains."""
    from talewright.inspect.curves import draw_curves

    print(draw_curves(Path(run)))
