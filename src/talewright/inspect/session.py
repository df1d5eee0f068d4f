"""Inspecting a run: opens its model, stories and a second model, inspects the wanted parts, writes the report."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from talewright.config import DataConfig
from talewright.data import tokenize_source
from talewright.data.corpus import evenly_spread
from talewright.errors import UserError
from talewright.inspect.circuits.graph import check_pre_norm
from talewright.inspect.circuits.search import RESULT, CircuitInspection, find_circuits, write_circuits
from talewright.inspect.curves import curve_panels, save_curves
from talewright.inspect.figures.style import Panel
from talewright.inspect.influence.query import InfluenceInspection
from talewright.inspect.inspection import (
    InspectedModel,
    Inspection,
    Inspector,
    inspect_attention,
    inspect_neurons,
    inspect_predictions,
    inspect_weights,
)
from talewright.inspect.opening import NgramComparison, compare_with_ngrams, last_sample, verdict, write_story
from talewright.inspect.parts import Part
from talewright.inspect.report.page import write_report
from talewright.inspect.timeline import Timeline, inspect_timeline, write_timeline
from talewright.machine import choose_device, gpu_memory_errors, keep_heap
from talewright.run import RunFolder
from talewright.run.checkpoint import check
from talewright.run.history import write_history
from talewright.run.included import run_path, writable_results

logger = logging.getLogger(__name__)

PARTS = ("curves", "predictions", "attention", "weights", "neurons", "timeline")
TIMELINE = "timeline.json"
STORIES = 3000
"""Number of stories to read. Each figure takes as many of the first as it needs, so they are evenly spread, and
shuffled."""


@dataclass(frozen=True, kw_only=True)
class InspectionOptions:
    """What to inspect, and on which stories."""

    parts: tuple[str, ...] = PARTS
    text: str | None = None
    """The story to show token by token; one of the stories if it is None."""
    neurons: str = ""
    """Neurons to show, as in "0.12,3.511"; those that respond most clearly to one token if it is empty."""
    checkpoint: str = "best"
    """best, last, or a step."""
    device: str | None = None
    """The device to compute on, as `machine.choose_device` reads it."""
    against: str | None = None
    """A second model to compare with: another run's folder, or a checkpoint of the same run."""
    data: str | None = None
    """Source of the stories; the run's own validation stories if it is None."""
    reading: Mapping[str, Any] = field(default_factory=dict)
    """How `data` is read: settings of the section data, such as {"format": "lines"}."""
    influence: InfluenceInspection | None = None
    """What `find_influence` found, to be shown as a section."""
    circuits: CircuitInspection | None = None
    """What `inspect_circuits` found, to be shown as a section."""

    @property
    def log_alone(self) -> bool:
        """Whether the curves alone are wanted, for which the log suffices: no model and no story is read."""
        return self == InspectionOptions(parts=("curves",), against=self.against, device=self.device)


def inspect_run(folder: str | Path, options: InspectionOptions | None = None, out: str | Path | None = None) -> Path:
    """Inspect a run, write `report.html`, `plots/` and, with three checkpoints or more, `timeline.json` into its folder
    or into `out`, and return the report's path.

    Whatever could not be done as wanted (a run still in training, a cut text) is logged, and noted in the report.
    Raises UserError if there is nothing to inspect.
    """
    run, options, notes = RunFolder(folder), options or InspectionOptions(), []
    device = choose_device(options.device)
    keep_heap()
    if options.log_alone:
        inspected = _open_log(run, notes)
        if not inspected.history.steps:
            raise UserError(f"{run.path / 'log.jsonl'} has no step yet; let the run train first")
    else:
        inspected = open_model(run, options.checkpoint, notes, device)
    if inspected.model is None and not inspected.history.steps:
        raise UserError(f"{run.path} has neither a step in its log nor a checkpoint yet; let it train first")
    other = None if options.against is None else _open_other(run, options, notes, device)
    inspection = Inspection(model=inspected, other=other, notes=notes)
    inspection.influence, inspection.circuits = options.influence, options.circuits
    target = writable_results(run.path, out)
    if "curves" in options.parts:
        inspection.curves = _inspect_curves(inspected, other, target / "plots")
    if inspected.model is not None:
        tokens, context = len(run.tokenizer.encode(options.text or "")), inspected.model.config.context_length
        if tokens > context:
            notes.append(
                f"The text has {tokens:,} tokens, more than the model's context: it is cut to the first {context:,}."
            )
        inspector = Inspector(inspected, _stories(run, options, notes), options.text)
        with gpu_memory_errors(device):
            _inspect_model(inspection, inspector, options, target / "plots")
            inspection.story = write_story(inspected.model, run.tokenizer)
        inspection.ngrams = _ngrams(run, inspection, options)
    inspection.story = inspection.story or last_sample(inspected.history)
    inspection.verdict = verdict(inspected.history, inspected.step, inspection.ngrams)
    for note in notes:
        logger.warning(note)
    return write_report(inspection, target / "report.html")


def inspect_circuits(
    folder: str | Path, options: InspectionOptions | None = None, out: str | Path | None = None
) -> CircuitInspection:
    """The circuit of each kind of understanding question, which takes minutes; also written to `circuits.json` in the
    run folder, or in `out`. Of the options, the checkpoint, the device and the stories count.

    Raises UserError for a run without a checkpoint, or a post-norm model.
    """
    run, options = RunFolder(folder), options or InspectionOptions()
    target = writable_results(run.path, out)
    device = choose_device(options.device)
    keep_heap()
    inspected = open_model(run, options.checkpoint, [], device)
    if inspected.model is None or inspected.step is None:
        raise UserError(f"{run.path} has no checkpoint yet, so --circuits has no model to look into")
    check_pre_norm(inspected.model.config)
    with gpu_memory_errors(device):
        heads, _ = Inspector(inspected, _stories(run, options, [])).heads()
        roles = {Part(head.layer, head.head): head.role for head in heads}
        found = find_circuits(inspected.model, run.tokenizer, roles, inspected.step)
    write_circuits(found, target / RESULT)
    return found


def open_model(run: RunFolder, which: str, notes: list[str], device: torch.device) -> InspectedModel:
    """The run's model at that checkpoint, or at the newest whole one; without a model if there is none yet."""
    inspected = _open_log(run, notes)
    history = inspected.history
    if not run.steps:
        notes.append(f"{run.path} has no checkpoint yet: only its curves are shown. Its first evaluation saves one.")
        return inspected
    wanted = run.find_checkpoint(which)
    model, checkpoint = run.load_model(which, device)
    if checkpoint != wanted:
        reason = check(wanted) or "it is gone"
        notes.append(f"{wanted.name} cannot be used ({reason}): this report shows {checkpoint.name}, which is whole.")
    newest = run.steps[-1:]
    if newest and history.steps > newest[0]:
        notes.append(
            f"The run has reached step {history.steps:,} since its newest checkpoint, step {newest[0]:,}: it is still "
            "training, or was stopped. This report shows what its checkpoints hold."
        )
    return dataclasses.replace(inspected, model=model, step=int(checkpoint.name.removeprefix("step-")))


def _open_log(run: RunFolder, notes: list[str]) -> InspectedModel:
    """The run's history, without a model."""
    history = run.history()
    if history.torn:
        notes.append(f"The last line of {run.path / 'log.jsonl'} is incomplete (the run was stopped): it is left out.")
    return InspectedModel(run=run, history=history)


def _open_other(run: RunFolder, options: InspectionOptions, notes: list[str], device: torch.device) -> InspectedModel:
    against = str(options.against)
    of_same_run = against in ("best", "last") or against.isdigit()
    if not of_same_run and not run_path(against).exists():
        raise UserError(f"--against is {against}, which is neither a run folder nor a checkpoint (best, last, a step)")
    other = run if of_same_run else RunFolder(against)
    if options.log_alone:
        return _open_log(other, [] if of_same_run else notes)
    return open_model(other, against, [], device) if of_same_run else open_model(other, "best", notes, device)


def _stories(run: RunFolder, options: InspectionOptions, notes: list[str]) -> list[np.ndarray]:
    """Stories of `options.data`, or the run's validation stories, or bundled ones if these are not available: shuffled,
    so that the first ones are a fair sample.
    """
    if options.data is not None:
        config = DataConfig(source=options.data, limit=STORIES, **options.reading)
        return _shuffled(tokenize_source(config, run.tokenizer)[0])
    try:
        split = run.corpus().split("valid")
        return _shuffled(split.stories(evenly_spread(STORIES, split.n_stories))[0])
    except UserError as error:
        notes.append(f"The run's validation stories are not available ({error}): bundled stories are used instead.")
        return tokenize_source(DataConfig(source="bundled", limit=500), run.tokenizer)[0]  # drawn at random


def _shuffled(stories: list[np.ndarray]) -> list[np.ndarray]:
    """The same order at each call."""
    return [stories[i] for i in np.random.default_rng(0).permutation(len(stories))]


def _inspect_curves(inspected: InspectedModel, other: InspectedModel | None, plots: Path) -> list[Panel] | None:
    """The curves of the run, or of two runs beside each other; None if neither has logged a step."""
    histories = [inspected.history]
    if other is not None and other.history != inspected.history:
        histories.append(other.history)
    histories = [history for history in histories if history.steps]
    if not histories:
        return None
    path = plots / "training_curves.png"
    logger.info("Drawing the curves, also as %s ...", path)
    save_curves(histories, path)
    write_history(inspected.history, plots)
    return curve_panels(histories)


def _ngrams(run: RunFolder, inspection: Inspection, options: InspectionOptions) -> NgramComparison | None:
    """The model beside an n-gram model of its training stories, if they and its predictions are there."""
    predictions, timeline, known = inspection.predictions, inspection.timeline, None
    if predictions is None or options.data is not None:
        return None
    if timeline is not None and timeline.ngrams:
        known = timeline.ngrams, timeline.counted_tokens
    else:
        logger.info("Counting n-grams ...")
    try:
        train = run.corpus().split("train")
    except UserError:  # `_stories` has noted why
        return None
    return compare_with_ngrams(predictions.stats, predictions.sequences, train, run.tokenizer, known)


def _inspect_model(inspection: Inspection, inspector: Inspector, options: InspectionOptions, plots: Path) -> None:
    """Fill in the parts that need a model."""
    other = inspection.other
    beside = None if other is None or other.model is None else inspector.beside(other)
    for part in PARTS[1:]:
        if part not in options.parts:
            continue
        logger.info("Inspecting the %s ...", part)
        if part == "predictions":
            inspection.predictions = inspect_predictions(inspector, beside)
        elif part == "attention":
            inspection.attention = inspect_attention(inspector, plots, beside)
        elif part == "weights":
            inspection.weights = inspect_weights(inspector, plots, beside)
        elif part == "neurons":
            inspection.neurons = inspect_neurons(inspector, options.neurons)
        else:
            inspection.timeline = _inspect_timeline(inspection, inspector, plots.parent / TIMELINE)


def _inspect_timeline(inspection: Inspection, inspector: Inspector, path: Path) -> Timeline | None:
    """What the model learned when, also written as JSON; None for a run with too few checkpoints."""
    device = inspector.model.output_weight.device
    timeline = inspect_timeline(inspector.inspected.run, inspector.stories, device, inspection.notes)
    if timeline is not None:
        write_timeline(timeline, path)
    return timeline
