"""The command `evaluate`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, arg

from talewright.cli.common import (
    INCLUDED,
    Checkpoint,
    Device,
    FileOptions,
    Json,
    RunsArgument,
    Seed,
    read_prompts,
    to_json,
)
from talewright.cli.words import show
from talewright.errors import UserError


def evaluate(
    runs: RunsArgument = (),
    data: str | None = None,
    file: OmitArgPrefixes[FileOptions] = FileOptions(),  # noqa: B008  (it is immutable)
    checkpoint: Checkpoint = "best",
    only: str | None = None,
    samples: Annotated[int, arg(aliases=("--told",))] = 200,
    prompts: str | None = None,
    seed: Seed = 0,
    limit: int | None = None,
    each: bool = False,
    device: Device = None,
    json: Json = False,
) -> None:
    """Evaluate runs: how likely they find held-out stories, and how good the stories are that they generate.

    The scores go into `scores.json` in each run folder, those on the stories of --data into `scores-NAME.json`;
    `talewright evaluate compare` makes a page of several runs.

    Args:
        runs: Run folders. Default: the included model.
        data: Stories to evaluate on, all of them. Default: each run's own validation stories; for the included model,
            500 bundled ones.
        only: Tasks of the evaluation, separated by commas. Default: all.
        samples: Number of stories that each run generates for the evaluation (--told is the old name).
        prompts: File with a prompt on each line, used in turn. Default: generate without a prompt.
        limit: Evaluate only on this many held-out stories, from the first on.
        each: Show each run below the mean of its seeds. Default: runs that differ only in their seed share a row.
        json: Print JSON: an object for one run, a list for several.
    """
    from talewright.evaluate.context import EvaluationOptions, GenerationOptions
    from talewright.evaluate.evaluator import evaluate_runs, selected_tasks
    from talewright.evaluate.scores import described
    from talewright.evaluate.tables import side_by_side
    from talewright.evaluate.text_table import terminal_width

    tasks, runs = selected_tasks(only), runs or (INCLUDED,)
    for value, name in ((samples, "samples"), (limit, "limit")):
        if value is not None and value < 1:
            raise UserError(f"--{name} is {value}; it must be 1 or more")
    sampling = replace(GenerationOptions.sampling, seed=seed)
    generation = GenerationOptions(
        stories=samples, prompts=tuple(read_prompts(prompts) if prompts is not None else [""]), sampling=sampling
    )
    options = EvaluationOptions(
        tasks=tasks,
        data=data,
        reading=file.reading(data),
        checkpoint=checkpoint,
        device=device,
        limit=limit,
        generation=generation,
    )
    results = evaluate_runs([Path(run) for run in runs], options)
    if json:  # the likelihood's scores come first as well, where they are looked for
        answers = [
            {**scores["tasks"].get("likelihood", {}), "checkpoint": scores["run"]["checkpoint"], **scores}
            for scores in results
        ]
        show(to_json(answers[0] if len(answers) == 1 else answers))
    else:
        shown = [described(Path(run), own) for run, own in zip(runs, results, strict=True)]
        show(side_by_side(shown, each, terminal_width()))
