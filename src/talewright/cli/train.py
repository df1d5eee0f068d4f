"""The command `train`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import OmitArgPrefixes

from talewright.cli.common import DataOptions, Overrides, exit_if_stopped, hint_on_stop, logger, program
from talewright.cli.words import show
from talewright.config import BUDGETS, HUB_TINYSTORIES, Recipe, load_recipe
from talewright.errors import UserError
from talewright.files import shell_word
from talewright.train.launcher import is_main_process

if TYPE_CHECKING:
    from talewright.live.server import TrainingStatus
    from talewright.run.folder import RunFolder

RULE_WIDTH = 79
"""Columns of the rules around what a training left."""


def train(
    overrides: Overrides,
    minutes: float | None = None,
    recipe: str | None = None,
    ladder: str | None = None,
    data: OmitArgPrefixes[DataOptions] = DataOptions(),  # noqa: B008  (it is immutable)
    out: str | None = None,
    resume: str | None = None,
    init_from: str | None = None,
    max_steps: int | None = None,
    max_minutes: float | None = None,
    seed: int | None = None,
    force: bool = False,
    open: bool = False,
) -> None:
    """Train a model on your stories, in the given minutes; or from a recipe; or resume a run that was stopped.

    `--minutes` alone chooses the model size and every setting for this machine and this amount of text. Ctrl-C saves
    first.

    Args:
        minutes: Minutes of training for which everything else is chosen. Without --data: on the bundled stories.
        recipe: A recipe's name (`talewright recipes` lists them), or a YAML file, in place of --minutes.
        ladder: With --minutes, the recipes to choose from: `story` (default) exports to transformers, llama.cpp,
            ONNX and the web. `storyx` learns more in the same time, but exports to `hf-remote`, `onnx`, `web` and
            `space` only.
        out: Folder of the run. Default: the next free runs/NAME-N.
        resume: Run folder to resume, bit-for-bit: the weights equal those of an uninterrupted run. `auto`: the folder
            of --out if it holds a run; if not, a new run begins there, so the same command begins and continues.
        init_from: Run folder whose model is trained further, into a new run: its weights, its model's shape and its
            tokenizer. The rest comes from --recipe, by default from that run's own recipe.
        max_steps: Stop after this many optimizer steps. It replaces the recipe's budget.
        max_minutes: Stop after this many minutes, in which the learning-rate schedule ends. It replaces the recipe's
            budget.
        seed: Seed of the weights, the data order, dropout and the samples.
        force: Train even if the memory is estimated not to suffice.
        open: Show the losses, the time left and the samples in the browser while it trains.
    """
    named = {"train.max_steps": max_steps, "train.max_minutes": max_minutes, "seed": seed}
    given = {key: str(value) for key, value in named.items() if value is not None}
    overrides = {**data.added_to(overrides, moved=resume not in (None, "auto")), **given}
    if resume == "auto":
        resume, begun = _begun_run(out), {"train.max_minutes": minutes, "train.init_from": init_from}
        if resume is not None:
            overrides = {**overrides, **{key: str(value) for key, value in begun.items() if value is not None}}
            return _resume_same_command(resume, None if init_from else recipe, overrides, force, open)
    if resume:
        _refuse_beside_resume(resume, {"--init-from": init_from, "--recipe": recipe, "--out": out})
    if minutes is not None:
        _refuse_beside_minutes(minutes, {"--recipe": recipe, "--resume": resume, "--init-from": init_from})
    elif ladder is not None:
        raise UserError("--ladder chooses among recipes with --minutes; with --recipe, name one, such as storyx-3m")
    if resume:
        return _train(None, Path(resume), overrides, force, open)
    if minutes is not None:
        chosen = _chosen_recipe(minutes, ladder or "story", overrides)
    elif init_from:
        from talewright.train.session import recipe_from_run

        chosen = recipe_from_run(init_from, recipe, overrides)
    else:
        chosen = _named_recipe(recipe, overrides)  # a wrong setting is reported before torch is loaded
    from talewright.run.new_folder import new_run_path

    _train(chosen, new_run_path(chosen, out), overrides, force, open)


def _refuse_beside_minutes(minutes: float, others: Mapping[str, str | None]) -> None:
    """Raise UserError if an option that chooses a recipe in another way is given."""
    for name, value in others.items():
        if value is not None:
            budget = "--max-minutes" if name != "--resume" else "--train.max-minutes"
            raise UserError(f"give --minutes or {name}, not both. {budget} {minutes:g} is the budget with {name}")


def _refuse_beside_resume(run: str, others: Mapping[str, str | None]) -> None:
    """Raise UserError if an option that only a new run takes is given."""
    for name, value in others.items():
        if value is not None:
            raise UserError(
                f"give --resume or {name}, not both: a resumed run keeps its own model, recipe and folder. "
                f"--init-from {shell_word(run)} begins a new run with its weights"
            )


def _begun_run(out: str | None) -> str | None:
    """The folder of --out, if it holds a run."""
    if out is None:
        raise UserError("--resume auto needs --out RUN: the folder to begin the run in, or to resume it from")
    return out if (Path(out) / "recipe.yaml").exists() else None


def _resume_same_command(run: str, recipe: str | None, overrides: Overrides, force: bool, open: bool) -> None:
    """Resume the run that this command began."""
    from talewright.train.session import budgets_of_same_command

    _train(None, Path(run), budgets_of_same_command(Path(run), recipe, overrides), force, open)


def _train(recipe: Recipe | None, folder: Path, overrides: Overrides, force: bool, open: bool) -> None:
    """Train the recipe into a new folder, or without one resume that folder's run; then show what came of it."""
    from talewright.api import CALLBACKS
    from talewright.run.folder import RunFolder
    from talewright.train.session import resume_run, start_run
    from talewright.train.speed import ComputeShare, record_run

    share = ComputeShare()
    with _live_page(folder) if open and is_main_process() else nullcontext() as live:
        with hint_on_stop(folder):
            if recipe is None:
                outcome = resume_run(folder, overrides, CALLBACKS, force=force)
            else:
                outcome = start_run(recipe, folder, CALLBACKS, force=force)
        exit_if_stopped(outcome, folder)
        if not outcome.main_process:
            return
        if live is not None:
            live.finish()
        record_run(folder, RunFolder(folder).recipe, share())
        if outcome.state.step:
            show_result(folder)
        show(folder)


def _live_page(folder: Path) -> AbstractContextManager[TrainingStatus]:
    from talewright.evaluate.baselines.quick import quick_baselines
    from talewright.live.server import live_page

    return live_page(folder, quick_baselines)


def _chosen_recipe(minutes: float, ladder: str, overrides: Overrides) -> Recipe:
    """The recipe that the plan for this time, machine and text chooses; says in one line what it is."""
    load_recipe("story-1m", overrides)  # a wrong setting is reported before torch is loaded
    from talewright.scaling.plan import choose, summary

    chosen, goal = choose(minutes, overrides, ladder)
    logger.info("%s", summary(chosen, goal))
    if "data.source" not in overrides:
        logger.info("Trains on the bundled stories; --data names others, such as stories.txt or %s", HUB_TINYSTORIES)
    return chosen.recipe(goal.overrides)


def _named_recipe(recipe: str | None, overrides: Overrides) -> Recipe:
    if recipe is None:
        raise UserError(
            "say for how long: `talewright train --data stories.txt --minutes 20` chooses everything else; or name a "
            "recipe, such as `--recipe quickstart` (`talewright recipes` lists them)"
        )
    return load_recipe(recipe, overrides)


def show_result(folder: Path) -> None:
    """Draw the run's curves, and say what training reached, where it is saved and what to do next."""
    from talewright.evaluate.training_summary import summarize_training
    from talewright.inspect.curves import draw_curves
    from talewright.run import RunFolder

    run, advice, curves = RunFolder(folder), [], None
    try:
        curves = draw_curves(folder)
    except UserError as error:  # such as a full disk: the run itself is saved
        logger.info("the curves cannot be drawn: %s", error)
    try:
        logger.info("scoring an n-gram model of the same stories ...")
        summary = summarize_training(run)
    except UserError as error:  # such as stories that were deleted meanwhile
        logger.info("no comparison with other models: %s", error)
        summary = None
    if summary is not None:
        logger.info("\n%s", summary)
        advice = [_longer(run.recipe)] if summary.undertrained else []
    path, look = shell_word(str(folder)), "studio" if find_spec("gradio") else "evaluate"
    commands = [f"train --resume {path} {budget}" for budget in advice]
    commands += [f'generate {path} --prompt "Once upon a time"', f"{look} {path}"]
    logger.info("\n%s\n", result_box(run, curves, [f"{program()} {command}" for command in commands[:2]]))


def result_box(run: RunFolder, curves: Path | None, commands: Sequence[str]) -> str:
    """What a training left, between two rules: its best validation loss, its files, and the commands to go on with.

    Paths and commands are never broken, so that they can be copied.
    """
    from talewright.train.progress import sparkline

    evaluations = run.history().evaluations
    rows = zip(evaluations["step"], evaluations["loss"], evaluations["bits_per_byte"], strict=True)
    found = [(loss, step, bits) for step, loss, bits in rows if loss is not None and step > 0]
    losses = [loss for loss in evaluations["loss"] if loss is not None]
    lines: list[tuple[str, str]] = []
    if found:
        loss, step, bits = min(found)
        size = "" if bits is None else f" ({bits:.3f} bits per byte)"
        lines = [("best validation loss", f"{loss:.3f}{size}, step {step:,} of {run.history().steps:,}")]
        lines += [("validation loss", sparkline(losses))] if len(losses) > 1 else []
    lines.append(("model", str(run.find_checkpoint())))
    lines += [("curves", str(curves))] if curves is not None else []
    lines += [("next" if number == 0 else "", command) for number, command in enumerate(commands)]
    width = max(len(name) for name, _ in lines)
    rule = "─" * RULE_WIDTH
    return "\n".join([rule, *(f" {name:{width}}  {text}" for name, text in lines), rule])


def _longer(recipe: Recipe) -> str:
    """The options that double the recipe's budget."""
    budgets = {name: getattr(recipe.train, name.removeprefix("train.")) for name in BUDGETS}
    return " ".join(f"--{name.replace('_', '-')} {2 * value:g}" for name, value in budgets.items() if value is not None)
