"""The command `inspect`."""

from typing import Literal

from tyro.conf import OmitArgPrefixes

from talewright.cli.common import Checkpoint, Device, FileOptions, RunArgument, typed_text
from talewright.cli.words import show


def inspect(
    run: RunArgument,
    text: str | None = None,
    only: tuple[Literal["curves", "predictions", "attention", "weights", "neurons", "timeline"], ...] = (),
    against: str | None = None,
    checkpoint: Checkpoint = "best",
    data: str | None = None,
    file: OmitArgPrefixes[FileOptions] = FileOptions(),  # noqa: B008  (it is immutable)
    neurons: str = "",
    device: Device = None,
    out: str | None = None,
) -> None:
    """Look inside a run: curves, attention, weights, predictions, neurons and when it learned what, as one page.

    Writes report.html, which opens in any browser without a network, plots/ and, for a run with three checkpoints or
    more (--train.timeline-checkpoints), timeline.json. Also works while the run trains.

    Args:
        text: The story to look at, token by token. Default: one of the validation stories.
        only: Only these parts.
        against: Compare with this: another run folder, or a checkpoint of the same run (best, last, a step).
        data: Stories to measure on. Default: the run's own validation stories.
        neurons: Neurons to show, as LAYER.NUMBER separated by commas. Default: those with the clearest pattern.
        out: Folder for the report and the figures. Default: the run's own.
    """
    from talewright.inspect.session import PARTS, InspectionOptions, inspect_run

    options = InspectionOptions(
        parts=only or PARTS,
        text=None if text is None else typed_text("--text", text),
        neurons=neurons,
        checkpoint=checkpoint,
        device=device,
        against=against,
        data=data,
        reading=file.reading(data),
    )
    show(inspect_run(run, options, out))
