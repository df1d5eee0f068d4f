"""The command `sweep`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from talewright.cli.common import Json, logger, to_json
from talewright.cli.words import show
from talewright.errors import UserError
from talewright.train.launcher import detect_launcher

if TYPE_CHECKING:
    from talewright.scaling.sweep.reading import Sweep
    from talewright.scaling.sweep.results import PointResult, Trial


def sweep(
    file: Positional[str],
    out: str | None = None,
    storage: str | None = None,
    jobs: int = 1,
    json: Json = False,
) -> None:
    """Train a recipe with many settings and seeds, and compare the results.

    FILE is YAML: `recipe` (a name or a file), `set` (settings that all trials share), `vary` (settings and their
    values: a list, or a range) or instead `points` (by name, the settings that each changes), `seeds` (a list),
    `sampler` (grid, random or tpe), `trials` (how many points random and tpe draw), `pruner` (none, median or
    hyperband). The same command continues an interrupted sweep, and several workers may run it at once. A trial that
    fails is recorded, and the others continue.

    Args:
        file: The YAML file of the sweep.
        out: Folder of the sweep, with a run folder for each trial; the default is sweeps/NAME, after the file.
        storage: Optuna's storage: a database URL such as sqlite:///sweep.db, or the path of a journal file; the default
            is journal.log in the sweep's folder.
        jobs: Trials to train at the same time, each in a process of its own and on a GPU of its own, as far as they go.
    """
    if launched := detect_launcher():
        raise UserError(f"{launched}: a sweep starts its own processes; start it once by itself, with --jobs N")
    if jobs < 1:
        raise UserError(f"--jobs is {jobs}; it counts processes, so 1 or more")
    from talewright.evaluate.text_table import terminal_width, wrap
    from talewright.scaling.sweep.reading import read_sweep
    from talewright.scaling.sweep.results import rows_of
    from talewright.scaling.sweep.verdict import LEGEND, table, verdict

    plan, folder = read_sweep(Path(file)), Path(out) if out else Path("sweeps") / Path(file).stem
    trials = _train(plan, folder, storage, jobs)
    rows, width = rows_of(trials), terminal_width()
    _write(plan, trials, rows, folder)
    if json:
        show(to_json([asdict(row) for row in rows]))
    else:
        sentences = "\n".join(wrap(line, width) for line in verdict(rows))
        show(f"{table(rows, width)}\n\n{wrap(LEGEND, width)}\n\n{sentences}")


def _train(plan: Sweep, folder: Path, storage: str | None, jobs: int) -> list[Trial]:
    """Train the trials that the sweep lacks, and return all."""
    from talewright.scaling.sweep.reading import has_time_budget

    try:
        from talewright.scaling.sweep.memory import check_memory_of_jobs
        from talewright.scaling.sweep.progress import SweepProgress
        from talewright.scaling.sweep.study import open_study, trials_of
        from talewright.scaling.sweep.worker import Worker
    except ImportError:
        raise UserError('talewright sweep needs Optuna: pip install "talewright[sweep]"') from None
    check_memory_of_jobs(plan, jobs)
    study = open_study(plan, folder, storage)
    if jobs > 1 and has_time_budget(plan):
        logger.warning(
            "The budget is in minutes, and %d trials share the cores: how far each gets depends on the others. "
            "To compare them, set train.max_tokens or train.max_steps (and train.max_minutes: null), or use --jobs 1",
            jobs,
        )
    try:
        with SweepProgress(jobs) as progress:
            Worker(study, plan, folder, jobs, progress).run()
    except KeyboardInterrupt:
        logger.info("stopped; the same command continues %s", folder)
        raise
    return trials_of(study, folder)


def _write(plan: Sweep, trials: list[Trial], rows: list[PointResult], folder: Path) -> None:
    """Write the results into the sweep's folder, and name the trials that have none."""
    from talewright.scaling.sweep.names import output_of
    from talewright.scaling.sweep.page import write_page
    from talewright.scaling.sweep.pictures import draw_results
    from talewright.scaling.sweep.results import scored_differently, write_table

    write_table(rows, folder / "results.csv")
    pages = [write_page(plan, rows, trials, folder), *draw_results(rows, trials, folder, plan.base)]
    for trial in trials:
        if trial.state == "fail":
            logger.info("%s failed: %s; its output is %s", trial.label, trial.reason, output_of(trial.run))
        elif trial.state == "running":
            logger.info("%s has no result yet: another worker trains it, or a signal stopped it", trial.label)
    if scored_differently(trials):
        logger.warning(
            "An earlier version scored some trials on the first validation stories, this one scores stories evenly "
            "spread over all: they cannot be compared. --out NAME begins the sweep anew"
        )
    for path in (folder / "results.csv", *pages):
        logger.info("wrote %s", path)
