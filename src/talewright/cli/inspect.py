"""The command `inspect`."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from tyro.conf import OmitArgPrefixes

from talewright.cli.common import INCLUDED, Checkpoint, Device, FileOptions, OptionalRun, typed_text
from talewright.cli.tables import text_table
from talewright.cli.words import show
from talewright.errors import UserError

if TYPE_CHECKING:
    from talewright.inspect.influence.query import InfluenceInspection, StoryInfluence

PARTS_WITH_TEXT = ("predictions", "attention")


def inspect(
    run: OptionalRun = INCLUDED,
    text: str | None = None,
    only: tuple[Literal["curves", "predictions", "attention", "weights", "neurons", "timeline"], ...] = (),
    against: str | None = None,
    influence: str | None = None,
    circuits: bool = False,
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
        only: Only these parts. The curves alone need no checkpoint, only the log, and are drawn in seconds.
        against: Compare with this: another run folder, or a checkpoint of the same run (best, last, a step).
        influence: List the training stories with the most influence on what the model expects of this text, or of a
            held-out story, such as valid:12. Without --only or --circuits, no report is written.
        circuits: Find which parts of the model answer each kind of question (minutes), as sentences here and graphs in
            the report.
        data: Stories to measure on. Default: the run's own validation stories, or bundled ones if they are not there.
        neurons: Neurons to show, as LAYER.NUMBER separated by commas. Default: those with the clearest pattern.
        out: Folder for the report and the figures. Default: the run's own; included-results for the included model.
    """
    from talewright.inspect.influence.query import find_influence
    from talewright.inspect.session import PARTS, InspectionOptions, inspect_circuits, inspect_run

    _refuse_without_part("--text", text, only, PARTS_WITH_TEXT)
    _refuse_without_part("--neurons", neurons, only, ("neurons",))
    if not circuits:
        _refuse_without_part("--data", data, only, PARTS[1:])
    found, reported = None, bool(only) or circuits or influence is None
    if influence is not None:
        if not reported:
            _refuse_without_report({"--text": text, "--against": against, "--data": data, "--neurons": neurons})
        found = find_influence(run, typed_text("--influence", influence), checkpoint, device, out)
        show(influence_page(found, shutil.get_terminal_size().columns))
        if not reported:
            return
    options = InspectionOptions(
        parts=only or PARTS,
        text=None if text is None else typed_text("--text", text),
        neurons=neurons,
        checkpoint=checkpoint,
        device=device,
        against=against,
        data=data,
        reading=file.reading(data),
        influence=found,
    )
    if circuits:
        parts = inspect_circuits(run, options, out)
        show(f"{parts.summary()}\n")
        options = dataclasses.replace(options, circuits=parts)
    show(inspect_run(run, options, out))


def influence_page(found: InfluenceInspection, width: int) -> str:
    """The most influential stories, and those that share the most words with the text, as tables."""
    both = len({each.story for each in found.influential} & {each.story for each in found.nearest})
    title = found.query if len(found.query) <= width - 4 else f"{found.query[: width - 7]}..."
    lines = [
        f"“{title}”",
        f"loss {found.loss:.2f} per token at step {found.step:,}; {found.searched:,} of the {found.seen:,} stories "
        "that the model has seen, by influence:",
        "",
        _stories_table(found.influential, width, "where it adds most", lambda each: each.excerpt),
    ]
    if found.nearest:
        lines += [
            "",
            f"By shared words ({both} of these {len(found.nearest)} are above):",
            "",
            _stories_table(found.nearest, width, "longest shared passage", lambda each: each.longest_match),
        ]
    return "\n".join(lines)


def _stories_table(
    stories: Sequence[StoryInfluence], width: int, passage: str, text_of: Callable[[StoryInfluence], str]
) -> str:
    columns = {
        "rank": [f"{each.rank:,}" for each in stories],
        "influence": [f"{each.influence:.3f}" for each in stories],
        "shared": [f"{100 * each.shared:.0f} %" for each in stories],
        "story": [f"{each.story}" for each in stories],
    }
    room = max(24, width - len(text_table(columns, width).splitlines()[0]) - 2)
    texts = (" ".join(text_of(each).split()) for each in stories)
    return text_table({**columns, passage: [_shortened(text, room) for text in texts]}, width)


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3].rstrip()}..."


def _refuse_without_part(option: str, value: str | None, only: Sequence[str], parts: Sequence[str]) -> None:
    """Raise UserError if an option is given, and none of the parts that it is for."""
    if value and only and not set(only) & set(parts):
        raise UserError(f"{option} is for {', '.join(parts)}; name one of them after --only, or leave {option} out")


def _refuse_without_report(options: Mapping[str, str | None]) -> None:
    """Raise UserError if an option is given that says how the report is made, and none is."""
    for option, value in options.items():
        if value:
            raise UserError(f"{option} is for the report, and --influence alone writes none; add --only with the parts "
                            "of a report, or leave it out")  # fmt: skip
