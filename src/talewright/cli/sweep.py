"""The command `sweep`."""

from dataclasses import asdict
from pathlib import Path

from tyro.conf import Positional

from talewright.cli.common import Json, logger, to_json
from talewright.errors import UserError


def sweep(file: Positional[str], out: str | None = None, jobs: int = 1, json: Json = False) -> None:
    """Train a recipe with many values of its settings and many seeds, and say what is best, and how surely.

    FILE is YAML: `recipe` (a name or a file), `set` (settings that all runs have), `vary` (settings and their values: a
    list, or with `search: random` a range) or instead `points` (by a name, the settings that it changes), `seeds` (a
    list), `search` (grid or random), `trials` (how many points a random search draws). Stopped and started again, it
    goes on; a run that fails is written down, and the others go on.

    Args:
        file: The YAML file that says what is varied.
        out: Folder of the sweep, with a run folder for each trial; sweeps/NAME, after the file, unless told.
        jobs: Trials trained at the same time, each in a process of its own.
    """
    from talewright.sweep.pictures import draw_results
    from talewright.sweep.reading import read_sweep
    from talewright.sweep.results import rows_of, table, write_table
    from talewright.sweep.running import open_study, run_sweep, trials_of

    if jobs < 1:
        raise UserError(f"--jobs is {jobs}; it counts processes, so 1 or more")
    plan, folder = read_sweep(Path(file)), Path(out) if out else Path("sweeps") / Path(file).stem
    study = open_study(plan, folder)
    try:
        run_sweep(study, plan, folder, jobs, logger.info)
    except KeyboardInterrupt:
        logger.info(f"stopped; the same command goes on with {folder}")
        raise
    trials = trials_of(study, folder)
    rows = rows_of(trials)
    write_table(rows, folder / "results.csv")
    pictures = draw_results(rows, trials, folder)
    for trial in trials:
        if trial.state == "failed":
            logger.info(f"{trial.run} failed: {trial.reason}")
    logger.info(f"the table: {folder / 'results.csv'}")
    for picture in pictures:
        logger.info(f"a picture: {picture}")
    print(to_json([asdict(row) for row in rows]) if json else table(rows))
