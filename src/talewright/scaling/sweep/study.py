"""The Optuna study of a sweep: its storage, its queue of trials, and its trials as the results read them."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.storages.journal import JournalFileBackend

from talewright.config import load_recipe, recipe_to_yaml
from talewright.errors import UserError
from talewright.files import read_json, write_text_atomic
from talewright.locks import wait_for_lock
from talewright.scaling.sweep.names import run_name
from talewright.scaling.sweep.reading import Range, Sweep, grid
from talewright.scaling.sweep.results import Trial

BASE, JOURNAL = "base.yaml", "journal.log"
OLD_PLAN = "sweep.json"
"""Where earlier versions kept what is now the study's user attribute `sweep`."""
HEARTBEAT = 60
"""Seconds between the heartbeats of a running trial, in a database."""


def open_study(sweep: Sweep, folder: Path, storage: str | None = None) -> optuna.Study:
    """Create the study or load it, and queue the trials that it lacks.

    `storage` is a database URL or the path of a journal file; the default is a journal in the sweep's folder.
    Raises UserError if the folder or the study belongs to something else, or cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)  # heartbeats, constant_liar
    names = {path.name for path in folder.iterdir() if path.name[0] != "."} if folder.is_dir() else set()
    if names and not names & {BASE, JOURNAL}:
        raise UserError(f"{folder} holds something else; name another folder with --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with wait_for_lock(folder / "study", on_wait=lambda: None):
            study = optuna.create_study(
                storage=_open_storage(storage or str(folder / JOURNAL)),
                study_name="sweep" if storage is None else folder.resolve().name,
                sampler=optuna.samplers.TPESampler(constant_liar=True),
                pruner=_pruner(sweep.pruner),
                load_if_exists=True,
            )
            _check_same(study, sweep, folder)
            if not (folder / BASE).exists():
                write_text_atomic(folder / BASE, recipe_to_yaml(load_recipe(sweep.recipe, sweep.overrides())))
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"cannot write {error.filename or folder}: {error.strerror or error}") from None
    except Exception as error:  # a database's driver raises exceptions of its own
        first = (str(error).splitlines() or [type(error).__name__])[0]
        where = re.sub("//.*@", "//", storage or str(folder / JOURNAL))  # without the password
        raise UserError(f"cannot open the study in {where}: {first}") from None
    queue_missing(study, sweep, folder)
    return study


def queue_missing(study: optuna.Study, sweep: Sweep, folder: Path) -> None:
    """Queue the trials that the sweep asks for and the study lacks.

    A tpe sweep queues its points without values; the sampler chooses them when a worker takes the trial, and the other
    seeds of the point are queued then.
    """
    with wait_for_lock(folder / "study", on_wait=lambda: None):
        known = [_parameters(trial) for trial in study.get_trials(deepcopy=False)]
        if sweep.sampler == "tpe":
            chosen = [{name: v for name, v in each.items() if name != "seed"} for each in known]
            complete = [point for point in chosen if point.keys() == sweep.vary.keys()]
            points = [point for i, point in enumerate(complete) if point not in complete[:i]]
            pending = len(chosen) - len(complete)  # without values yet, or in the middle of getting them
            for _ in range((sweep.trials or 0) - len(points) - pending):
                study.enqueue_trial({"seed": sweep.seeds[0]})
        else:
            points = _random_points(sweep) if sweep.sampler == "random" else list(grid(sweep))
        for values in [{**point, "seed": seed} for point in points for seed in sweep.seeds]:
            if values not in known:  # Optuna's own check takes points that are nearly the same for one
                study.enqueue_trial(values)
                known.append(values)


def suggest(trial: optuna.Trial, sweep: Sweep) -> None:
    """Give the trial a value of each setting that varies: the queued one, or one that the sampler chooses."""
    for name, values in sweep.vary.items():
        if not isinstance(values, Range):
            trial.suggest_categorical(name, values)
        elif values.whole:
            trial.suggest_int(name, int(values.low), int(values.high), log=values.log)
        else:
            trial.suggest_float(name, values.low, values.high, log=values.log)


def trials_of(study: optuna.Study, folder: Path) -> list[Trial]:
    """The trials that have their values, in order; where one was retried, or was queued twice, the one that counts."""
    trials: dict[str, Trial] = {}
    for trial in [to_trial(each, folder) for each in study.get_trials(deepcopy=False) if each.params]:
        key = json.dumps([trial.point, trial.seed])
        if key not in trials or trials[key].state == "fail":
            trials[key] = trial
    return list(trials.values())


def waiting_trials(study: optuna.Study, sweep: Sweep) -> int:
    """The number of trials that nobody has begun. Each point that a tpe sweep has not chosen yet has all seeds."""
    waiting = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.WAITING,))
    unchosen = sum(not sweep.vary.keys() <= _parameters(trial).keys() for trial in waiting)
    return len(waiting) + unchosen * (len(sweep.seeds) - 1)


def to_trial(frozen: optuna.trial.FrozenTrial, folder: Path) -> Trial:
    """A trial as Optuna stores it, in our terms."""
    values = _parameters(frozen)
    return Trial(
        number=frozen.number,
        point={name: str(value) for name, value in values.items() if name != "seed"},
        seed=values.get("seed", 0),
        run=run_of(frozen, folder),
        state=frozen.state.name.lower(),
        attributes=frozen.user_attrs,
    )


def run_of(frozen: optuna.trial.FrozenTrial, folder: Path) -> Path:
    """The trial's run folder; a retried trial continues the run of the first attempt. A trial of an earlier version
    that has noted none has the folder trial-NNN.
    """
    return folder / "runs" / Path(frozen.user_attrs.get("run", f"trial-{frozen.number:03d}")).name


def new_run(study: optuna.Study, frozen: optuna.trial.FrozenTrial, folder: Path) -> Path:
    """A run folder for a trial that has its values and no run yet, named after its point and seed."""
    trial, runs = to_trial(frozen, folder), folder / "runs"
    taken = {Path(each.user_attrs["run"]).name for each in study.get_trials(deepcopy=False) if "run" in each.user_attrs}
    taken |= {path.name.removesuffix(".out") for path in runs.iterdir()}
    return runs / run_name(trial.point, trial.seed, taken)


def _parameters(frozen: optuna.trial.FrozenTrial) -> dict[str, Any]:
    return {**frozen.system_attrs.get("fixed_params", {}), **frozen.params}


def _random_points(sweep: Sweep) -> list[dict[str, Any]]:
    """Points drawn with a fixed seed: the same ones every time, and more of them after those."""
    points: list[dict[str, Any]] = []
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(sweep.trials or 0):
        trial = study.ask()
        suggest(trial, sweep)
        points.append(trial.params)
    return points


def _open_storage(storage: str) -> BaseStorage:
    if "://" not in storage:
        return JournalStorage(JournalFileBackend(storage))
    retry = RetryHeartbeatStaleTrialCallback()
    return RDBStorage(
        storage, heartbeat_interval=HEARTBEAT, grace_period=2 * HEARTBEAT, heartbeat_stale_trial_callback=retry
    )


def _pruner(options: dict[str, Any]) -> optuna.pruners.BasePruner:
    kinds = {
        "none": optuna.pruners.NopPruner,
        "median": optuna.pruners.MedianPruner,
        "hyperband": optuna.pruners.HyperbandPruner,
    }
    try:
        return kinds[options["kind"]](**{name: value for name, value in options.items() if name != "kind"})
    except (TypeError, ValueError) as error:
        raise UserError(f"pruner: {error}") from None


def _check_same(study: optuna.Study, sweep: Sweep, folder: Path) -> None:
    """Raise UserError if the study is another sweep's. More seeds or trials, or another pruner, are the same sweep."""
    noted = study.user_attrs.get("sweep") or read_json(folder / OLD_PLAN)
    now = {key: json.loads(json.dumps(asdict(sweep)[key])) for key in ("recipe", "set", "points", "vary", "sampler")}
    if isinstance(noted, dict):
        noted.setdefault("sampler", noted.get("search"))  # its name in OLD_PLAN
        for key in now:
            if noted.get(key, {}) != now[key]:
                raise UserError(f"{folder} holds a sweep with another `{key}`; name another folder with --out")
    elif study.get_trials(deepcopy=False):
        raise UserError(f"{folder / OLD_PLAN} is missing or damaged; name another folder with --out")
    elif any(folder.glob("runs/*")):
        raise UserError(
            f"the runs in {folder} belong to another storage; name that with --storage, or another folder with --out"
        )
    if "sweep" not in study.user_attrs:
        study.set_user_attr("sweep", now)
        study.set_metric_names(["bits per byte"])
