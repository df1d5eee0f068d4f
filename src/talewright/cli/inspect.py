"""Commands that look at a run: its curves, inside its model, at what became of its files."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tyro.conf import FlagCreatePairsOff, Positional

from talewright.cli.shared import dump, say
from talewright.errors import UserError


def plot(run: Positional[str]) -> None:
    """Draw the training curves of a run from its log, also while it trains.

    Args:
        run: Run folder.
    """
    from talewright.inspect.curves import draw_curves

    print(draw_curves(Path(run)))


def inspect(
    run: Positional[str],
    text: str | None = None,
    only: tuple[Literal["curves", "predictions", "attention", "weights", "neurons"], ...] = (),
    against: str | None = None,
    checkpoint: str = "best",
    data: str | None = None,
    neurons: str = "",
    out: str | None = None,
) -> None:
    """Look inside a run: curves, attention, weights, expectations and neurons, as one page and as pictures.

    Writes report.html, which opens in any browser without a network, and plots/. Works while the run trains, too.

    Args:
        run: Run folder.
        text: The story that is looked at, token by token; one of the validation stories unless told.
        only: These parts alone.
        against: Set this beside it: another run folder, or a checkpoint of the same run (best, last, a step).
        checkpoint: best, last, or a step.
        data: Stories to measure on; the run's own validation stories unless told.
        neurons: Neurons to show, LAYER.NUMBER with commas; those with the clearest subjects unless told.
        out: Folder for the report and the pictures; the run's own unless told.
    """
    from talewright.inspect.inspection import PARTS, Wishes
    from talewright.inspect.session import look_inside

    wishes = Wishes(parts=only or PARTS, text=text, neurons=neurons)
    print(look_inside(run, wishes, checkpoint=checkpoint, against=against, data=data, out=out, say=say))


def verify(run: Positional[str], json: FlagCreatePairsOff[bool] = False) -> None:
    """Check that a run is still what it was: its files' hashes, the stories it was trained on, its score.

    Exits with 2 where something is not.

    Args:
        run: Run folder.
        json: Print JSON.
    """
    from talewright.evaluate.evaluator import validation_loss
    from talewright.run.verify import verify as findings_of

    found = []
    for finding in findings_of(Path(run), validation_loss):
        found.append(finding)
        if not json:
            print(f"{finding.what}: {'WRONG, ' + finding.fault if finding.fault else finding.detail}", flush=True)
    if json:
        print(dump([finding._asdict() for finding in found]))
    if faults := [finding.what for finding in found if finding.fault]:
        raise UserError(f"{run} is not what it was: " + ", ".join(faults))
