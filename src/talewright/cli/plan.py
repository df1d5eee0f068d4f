"""Commands about many runs: which settings, and which size, are worth training."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from tyro.conf import FlagCreatePairsOff, Positional

from talewright.cli.shared import dump, say
from talewright.errors import UserError


def plan(minutes: float, size: str | None = None, json: FlagCreatePairsOff[bool] = False) -> None:
    """Say which size of the story ladder this machine should train in so many minutes, how, and what to expect.

    Each size's speed is measured here for some seconds; the rest follows from its parameters and from what finished
    runs of the ladder came to. The last line is the command that trains the best one.

    Args:
        minutes: Minutes of training.
        size: Plan this size alone: 1m, 5m, 15m, 40m or 125m.
        json: Print JSON.
    """
    from talewright.config import Recipe
    from talewright.scaling import plan as planning

    def speed(recipe: Recipe) -> planning.Speed:
        say(f"measuring how fast {recipe.name} is trained here, half a minute or so")
        return planning.measured_speed(recipe)

    found = planning.plan(minutes, planning.SIZES if size is None else (size,), speed)
    print(dump([asdict(each) for each in found]) if json else planning.plan_table(found))


def sweep(file: Positional[str], out: str | None = None, jobs: int = 1, json: FlagCreatePairsOff[bool] = False) -> None:
    """Train a recipe with many values of its settings and many seeds, and say what is best, and how surely.

    FILE is YAML: `recipe` (a name or a file), `set` (settings that all runs have), `vary` (settings and their values: a
    list, or with `search: random` a range) or instead `points` (by a name, the settings that it changes), `seeds` (a
    list), `search` (grid or random), `trials` (how many points a random search draws). Stopped and started again, it
    goes on; a run that fails is written down, and the others go on.

    Args:
        file: The YAML file that says what is varied.
        out: Folder of the sweep, with a run folder for each trial; sweeps/NAME, after the file, unless told.
        jobs: Trials trained at the same time, each in a process of its own.
        json: Print JSON.
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
        run_sweep(study, plan, folder, jobs, say)
    except KeyboardInterrupt:
        say(f"stopped; the same command goes on with {folder}")
        raise
    trials = trials_of(study, folder)
    rows = rows_of(trials)
    write_table(rows, folder / "results.csv")
    pictures = draw_results(rows, trials, folder)
    for trial in trials:
        if trial.state == "failed":
            say(f"{trial.run} failed: {trial.reason}")
    say(f"the table: {folder / 'results.csv'}")
    for picture in pictures:
        say(f"a picture: {picture}")
    print(dump([asdict(row) for row in rows]) if json else table(rows))
