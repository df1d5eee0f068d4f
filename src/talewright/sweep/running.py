"""The trials of a sweep, one after another or several at once: each a `talewright train` of its own, which may fail.

Optuna draws the points and keeps the books, in `journal.log` of the sweep's folder; what was tried is not tried again.
Several commands may share the folder, on machines that share the disk: each claims the trials that it runs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from talewright.config import load_recipe, recipe_to_yaml
from talewright.errors import UserError
from talewright.files import LockedError as HeldError
from talewright.files import read_json, write_json, write_text_atomic
from talewright.run.lock import lock_run as owned
from talewright.run.log import read_log
from talewright.sweep.reading import POINT, Range, Sweep, as_plain

BASE, PLAN, JOURNAL, CLAIMS = "base.yaml", "sweep.json", "journal.log", "claims"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One run of a sweep."""

    number: int
    point: dict[str, str]
    """The settings that vary, without the seed."""
    seed: int
    run: Path
    state: str
    """waiting, running (or interrupted), done, failed."""
    reason: str = ""
    """Why it failed."""


class _Running(NamedTuple):
    """A trial that this process has begun."""

    process: subprocess.Popen[bytes]
    claim: ExitStack


def open_study(sweep: Sweep, folder: Path) -> Any:
    """The sweep's study in its folder, begun or gone on with, every trial of it waiting or tried.

    Raises UserError where Optuna is not installed, or where the folder holds another sweep.
    """
    optuna = _optuna()
    _check_folder(sweep, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / BASE).exists():
            write_text_atomic(folder / BASE, recipe_to_yaml(load_recipe(sweep.recipe, sweep.set)))
        write_json(folder / PLAN, as_plain(sweep))
    except OSError as error:
        raise UserError(f"cannot write the sweep's folder {folder}: {error.strerror}") from None
    journal = optuna.storages.journal
    storage = optuna.storages.JournalStorage(journal.JournalFileBackend(str(folder / JOURNAL)))
    study = optuna.create_study(storage=storage, study_name="sweep", load_if_exists=True)
    for point in _points(sweep):
        for seed in sweep.seeds:
            study.enqueue_trial({**point, "seed": seed}, skip_if_exists=True)
    return study


def run_sweep(study: Any, sweep: Sweep, folder: Path, jobs: int, say: Callable[[str], None]) -> None:
    """Run every trial that was not tried yet and that no other command is at, `jobs` at a time. What a signal
    interrupts is gone on with next time.
    """
    space = {**_space(sweep), "seed": _optuna().distributions.IntDistribution(0, 2**63 - 1)}
    running: dict[int, _Running] = {}
    waiting = [trial.number for trial in study.get_trials(deepcopy=False, states=[_states().RUNNING])]
    total = len(study.trials)
    try:
        while True:
            while len(running) < jobs and (number := _next(study, waiting, space)) is not None:
                trial = trial_of(study.trials[number], folder)
                if (claim := _claim(study, trial, folder)) is None:
                    say(f"trial {number + 1} of {total} is another command's")
                    continue
                say(f"trial {number + 1} of {total}: {shown({**trial.point, 'seed': str(trial.seed)})}")
                running[number] = _Running(_begin(trial, sweep.settings(trial.point), folder, jobs), claim)
            if not running:
                return
            time.sleep(0.1)
            for number in [number for number, each in running.items() if each.process.poll() is not None]:
                process, claim = running.pop(number)
                _end(study, trial_of(study.trials[number], folder), process.returncode, say)
                claim.close()
    finally:
        for process, _ in running.values():
            process.terminate()  # each saves its run, and is gone on with next time
        for process, claim in running.values():
            process.wait()
            claim.close()


def _claim(study: Any, trial: Trial, folder: Path) -> ExitStack | None:
    """Keep a trial for this process, until it is closed or the process ends. None where another command has it or has
    ended it meanwhile, or its training has outlived the command that began it.
    """
    with ExitStack() as claim:
        try:
            claim.enter_context(owned(folder / CLAIMS / trial.run.name))
            with owned(trial.run):
                pass
        except HeldError:
            return None
        ended = trial_of(study.trials[trial.number], folder).state != "running"
        return None if ended else claim.pop_all()


def trials_of(study: Any, folder: Path) -> list[Trial]:
    """All trials of a study, in their order."""
    return [trial_of(frozen, folder) for frozen in study.trials]


def trial_of(frozen: Any, folder: Path) -> Trial:
    """What Optuna knows of a trial."""
    values = {**frozen.system_attrs.get("fixed_params", {}), **frozen.params}
    names = {"WAITING": "waiting", "RUNNING": "running", "COMPLETE": "done"}
    run, state = folder / "runs" / f"trial-{frozen.number:03d}", names.get(frozen.state.name, "failed")
    return Trial(
        number=frozen.number,
        point={name: str(value) for name, value in values.items() if name != "seed"},
        seed=values["seed"],
        run=run,
        state=state,
        reason=_last_words(run.with_suffix(".out")) if state == "failed" else "",
    )


def shown(values: dict[str, str]) -> str:
    """Settings in a line, without their sections; of a point that has a name, that."""
    words = (value if name == POINT else f"{name.rpartition('.')[2]} {value}" for name, value in values.items())
    return ", ".join(words) or "as it is"


def _next(study: Any, waiting: list[int], space: dict[str, Any]) -> int | None:
    """The number of the trial to run now: an interrupted one, else one that waits."""
    if waiting:
        return waiting.pop(0)
    if not study.get_trials(deepcopy=False, states=[_states().WAITING]):
        return None
    return study.ask(space).number


def _begin(trial: Trial, settings: dict[str, str], folder: Path, jobs: int) -> subprocess.Popen[bytes]:
    """Train, or train on, in a process of its own, which shares the processor with the others."""
    command = [sys.executable, "-m", "talewright", "train"]
    if (trial.run / "recipe.yaml").exists():
        command += ["--resume", str(trial.run)]
    else:
        command += ["--recipe", str(folder / BASE), "--seed", str(trial.seed), "--out", str(trial.run)]
        command += [f"--{name}={value}" for name, value in settings.items()]
    environment = dict(os.environ)
    if jobs > 1:
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // jobs)))
    trial.run.parent.mkdir(exist_ok=True)
    with trial.run.with_suffix(".out").open("ab") as out:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=environment,
            start_new_session=True,  # Ctrl-C comes to us alone: a second signal would end a trial before it has saved
        )


def _end(study: Any, trial: Trial, code: int, say: Callable[[str], None]) -> None:
    """Write down what came of a trial. One that a signal stopped stays as it is, and is gone on with next time."""
    score = last_score(trial.run)
    if code in (129, 130, 138, 143):
        say(f"trial {trial.number + 1} was stopped by a signal; the same command goes on with it")
    elif code == 0 and score is not None:
        study.tell(trial.number, score)
        say(f"trial {trial.number + 1}: {score:.4f} bits/byte")
    else:
        study.tell(trial.number, state=_states().FAIL)
        say(f"trial {trial.number + 1} failed: {_last_words(trial.run.with_suffix('.out')) or f'exit code {code}'}")


def last_score(run: Path) -> float | None:
    """Bits per byte of the run's last evaluation, the one at the end of its schedule."""
    scores = [event["bits_per_byte"] for event in read_log(run / "log.jsonl") if event.get("event") == "evaluation"]
    return scores[-1] if scores else None


def _last_words(path: Path) -> str:
    """The last line that a trial wrote, which says what went wrong."""
    if not path.is_file():
        return ""
    lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _points(sweep: Sweep) -> list[dict[str, Any]]:
    """The points, drawn by Optuna's samplers with a seed of their own: the same ones each time."""
    optuna, space = _optuna(), _space(sweep)
    if not space:
        return [{}]
    choices = {name: value for name, value in sweep.vary.items() if not isinstance(value, Range)}
    if sweep.search == "grid":
        sampler, count = optuna.samplers.GridSampler(choices, seed=0), _size(choices)
    else:
        sampler, count = optuna.samplers.RandomSampler(seed=0), sweep.trials or 0
    points: list[dict[str, Any]] = []

    def draw(trial: Any) -> float:
        points.append({name: _draw(trial, name, value) for name, value in sweep.vary.items()})
        return 0.0

    optuna.create_study(sampler=sampler).optimize(draw, n_trials=count)
    if sweep.search == "grid":  # in the order in which the file names them
        points.sort(key=lambda point: [choices[name].index(point[name]) for name in space])
    return points


def _draw(trial: Any, name: str, value: tuple[str, ...] | Range) -> Any:
    if not isinstance(value, Range):
        return trial.suggest_categorical(name, value)
    if value.whole:
        return trial.suggest_int(name, int(value.low), int(value.high), log=value.log)
    return trial.suggest_float(name, value.low, value.high, log=value.log)


def _space(sweep: Sweep) -> dict[str, Any]:
    """The varied settings as Optuna's distributions."""
    kinds = _optuna().distributions
    found = {}
    for name, value in sweep.vary.items():
        if not isinstance(value, Range):
            found[name] = kinds.CategoricalDistribution(value)
        elif value.whole:
            found[name] = kinds.IntDistribution(int(value.low), int(value.high), log=value.log)
        else:
            found[name] = kinds.FloatDistribution(value.low, value.high, log=value.log)
    return found


def _size(choices: dict[str, tuple[str, ...]]) -> int:
    size = 1
    for values in choices.values():
        size *= len(values)
    return size


def _check_folder(sweep: Sweep, folder: Path) -> None:
    """Raise UserError where the folder holds another sweep: more seeds and trials make no other one."""
    if not (folder / PLAN).exists():
        if folder.exists() and any(folder.iterdir()):
            raise UserError(f"{folder} holds something else; name another folder by --out")
        return
    noted, now = read_json(folder / PLAN), json.loads(json.dumps(as_plain(sweep)))
    if not isinstance(noted, dict):
        raise UserError(f"{folder / PLAN} is damaged; name another folder by --out")
    for name in ("recipe", "set", "points", "vary", "search"):
        if noted.get(name, {}) != now[name]:
            raise UserError(f"{folder} holds a sweep with another `{name}`; name another folder by --out")


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise UserError('talewright sweep needs Optuna: pip install "talewright[sweep]"') from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _states() -> Any:
    return _optuna().trial.TrialState
