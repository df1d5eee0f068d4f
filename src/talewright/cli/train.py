"""The command `train`."""

from pathlib import Path

from tyro.conf import OmitArgPrefixes

from talewright.cli.common import DataOptions, Overrides, exit_if_stopped, hint_on_stop, logger
from talewright.config import load_recipe
from talewright.errors import UserError


def train(
    overrides: Overrides,
    recipe: str | None = None,
    data: OmitArgPrefixes[DataOptions] = DataOptions(),  # noqa: B008  (it is immutable)
    out: str | None = None,
    resume: str | None = None,
    init_from: str | None = None,
    max_steps: int | None = None,
    max_minutes: float | None = None,
    seed: int | None = None,
) -> None:
    """Train a model from a recipe into a run folder, or resume a run that was stopped.

    Ctrl-C saves first. A budget given here replaces the recipe's own.

    Args:
        recipe: A recipe's name (`talewright recipes` lists them), or a YAML file. Default: quickstart.
        out: Folder of the run. Default: the next free runs/NAME-N.
        resume: Run folder to resume, bit-for-bit: the weights equal those of an uninterrupted run.
        init_from: Run folder whose model is trained further, into a new run: its weights, its model's shape and its
            tokenizer. The rest comes from --recipe, by default from that run's own recipe.
        max_steps: Stop after this many optimizer steps.
        max_minutes: Stop after this many minutes. The learning-rate schedule ends with them.
        seed: Seed of the weights, the data order, dropout and the samples.
    """
    named = {"train.max_steps": max_steps, "train.max_minutes": max_minutes, "seed": seed}
    given = {key: str(value) for key, value in named.items() if value is not None}
    overrides = {**data.added_to(overrides), **given}
    if resume and init_from:
        raise UserError("give --resume or --init-from, not both")
    chosen = None
    if not resume and not init_from:
        chosen = load_recipe(recipe or "quickstart", overrides)  # a wrong setting is reported before torch is loaded

    from talewright import api
    from talewright.inspect.curves import draw_curves
    from talewright.run.folder import new_run_path
    from talewright.train.session import recipe_from_run, resume_run, start_run

    if init_from:
        chosen = recipe_from_run(init_from, recipe, overrides)
    folder = Path(str(resume)) if chosen is None else new_run_path(chosen, out)
    callbacks = api.CALLBACKS
    with hint_on_stop(folder):
        outcome = resume_run(folder, overrides, callbacks) if chosen is None else start_run(chosen, folder, callbacks)
    exit_if_stopped(outcome, folder)
    if not outcome.main_process:
        return
    if outcome.state.step:
        try:
            logger.info("curves: %s", draw_curves(folder))
        except OSError as error:  # such as a full disk: the run itself is saved
            logger.info("the curves cannot be drawn: %s", error.strerror)
    print(folder)
