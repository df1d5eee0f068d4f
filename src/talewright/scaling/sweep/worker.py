"""A worker of a sweep: takes trials from the study's queue and trains each by a `talewright train` of its own.

Any number of workers may share a study. The worker of a trial and its training process hold a lock on the trial's
output file; if a running trial's lock is free, both have died, and the next worker resumes it. A database has Optuna's
heartbeats as well, for workers that do not share the folder.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import TrialState

from talewright.config import load_recipe
from talewright.cpus import usable_cpus
from talewright.errors import UserError
from talewright.locks import lock_file, wait_for_lock
from talewright.run.log import read_log
from talewright.scaling.sweep.names import output_of
from talewright.scaling.sweep.progress import SweepProgress, TrialProgress
from talewright.scaling.sweep.reading import Sweep
from talewright.scaling.sweep.results import Trial, last_line, measure
from talewright.scaling.sweep.study import (
    BASE,
    new_run,
    queue_missing,
    run_of,
    suggest,
    to_trial,
    trials_of,
    waiting_trials,
)

logger = logging.getLogger(__name__)
POLL, REPORT = 0.5, 5
"""Seconds between two looks at the training processes, and between two reports to the study."""
TRAIN = (sys.executable, "-m", "talewright", "train")
SIGNALED = (129, 130, 138, 143, 149)
"""Exit codes of a training that a signal stopped after it had saved: SIGHUP, SIGINT, SIGUSR1, SIGTERM, SIGBREAK."""


@dataclass
class RunningTrial:
    """A trial that this worker trains."""

    trial: optuna.Trial
    facts: Trial
    output: IO[bytes]
    """The training's output; its lock is shared with the training process and ends when both are gone."""
    process: subprocess.Popen[bytes]
    reported: set[int] = field(default_factory=set)
    """Steps whose evaluations the study has."""
    gpu: str | None = None
    """The one GPU that it sees; None: all."""
    pruned: bool = False
    progress: TrialProgress = field(default_factory=TrialProgress)

    @property
    def run(self) -> Path:
        return self.facts.run


class Worker:
    """Trains the trials of a study that no other worker trains, up to `jobs` at a time."""

    def __init__(
        self,
        study: optuna.Study,
        sweep: Sweep,
        folder: Path,
        jobs: int = 1,
        progress: SweepProgress | None = None,
    ) -> None:
        self.study, self.sweep, self.folder, self.jobs = study, sweep, folder, jobs
        self.progress = progress
        self.gpus = (
            _visible_gpus() if jobs > 1 and load_recipe(sweep.recipe, sweep.overrides()).train.devices == 1 else []
        )
        self.storage = study._storage  # Optuna has no public way from a study to it
        self.record_heartbeat = getattr(self.storage, "record_heartbeat", None)  # a journal has none
        self.running: dict[int, RunningTrial] = {}
        self.stopped: set[int] = set()
        """Trials that a signal stopped; they are left to the next call."""

    def run(self) -> None:
        """Work until the queue is empty. On KeyboardInterrupt the running trials save, and are resumed next time."""
        next_report = 0.0
        try:
            while True:
                while len(self.running) < self.jobs and self._start_next():
                    pass
                if not self.running:
                    return
                if due := time.monotonic() >= next_report:
                    self._beat()
                    next_report = time.monotonic() + REPORT
                for job in list(self.running.values()):
                    self._watch(job, due)
                if due:
                    self._show()
                time.sleep(POLL)
        except (StorageInternalError, OSError) as error:  # the database is gone, the disk is full
            raise UserError(f"the sweep's storage failed: {error}; the same command continues") from None
        finally:
            for job in self.running.values():
                if not job.pruned:  # a second signal would end it before it has saved
                    _stop(job.process)
            for job in self.running.values():
                job.process.wait()
                job.output.close()

    def _start_next(self) -> bool:
        """Start the next trial: an interrupted one, else one from the queue. False if there is none."""
        with wait_for_lock(self.folder / "study", on_wait=lambda: None):  # no other worker here is about to start one
            claimed = self._claim_next()
        if claimed is not None:
            self._start(*claimed)
        return claimed is not None

    def _claim_next(self) -> tuple[optuna.Trial, IO[bytes]] | None:
        """The next trial, set to running, with its values and its run; and its output file, locked."""
        trials = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING))
        for frozen in sorted(trials, key=lambda each: each.state == TrialState.WAITING):
            run, output = run_of(frozen, self.folder), None
            elsewhere = self.record_heartbeat and frozen.state == TrialState.RUNNING and not run.is_dir()
            if elsewhere or frozen.number in self.running or frozen.number in self.stopped:
                continue
            run.parent.mkdir(exist_ok=True)
            has_run = "run" in frozen.user_attrs or run.is_dir()
            if has_run and (output := _open_locked(output_of(run))) is None:
                continue
            if not self._take(frozen._trial_id):
                if output is not None:
                    output.close()
                continue
            trial = optuna.Trial(self.study, frozen._trial_id)
            suggest(trial, self.sweep)
            trial.suggest_int("seed", 0, 2**63 - 1)
            if not has_run:
                run = new_run(self.study, self.storage.get_trial(frozen._trial_id), self.folder)
            trial.set_user_attr("run", run.relative_to(self.folder).as_posix())
            output = output or _open_locked(output_of(run))
            run.mkdir(exist_ok=True)
            if output is not None:  # a new file's lock is free
                return trial, output
        return None

    def _take(self, trial_id: int) -> bool:
        """Set a waiting trial to running, unless another worker was faster. With its lock, a running one is ours."""
        try:
            state = self.storage.get_trial(trial_id).state
            taken = state == TrialState.RUNNING or self.storage.set_trial_state_values(trial_id, TrialState.RUNNING)
        except UpdateFinishedTrialError:
            return False
        if taken and self.record_heartbeat:
            self.record_heartbeat(trial_id)
        return taken

    def _start(self, trial: optuna.Trial, output: IO[bytes]) -> None:
        """Train, or resume, in a process of its own, which shares the processor's cores with the other jobs."""
        frozen = self.storage.get_trial(trial._trial_id)
        facts = to_trial(frozen, self.folder)
        run = facts.run
        if self.sweep.sampler == "tpe":
            queue_missing(self.study, self.sweep, self.folder)  # the other seeds of the point
        command = list(TRAIN)
        if (run / "recipe.yaml").exists():
            command += ["--resume", str(run)]
        else:
            command += ["--recipe", str(self.folder / BASE), "--seed", str(facts.seed), "--out", str(run)]
            command += [f"--{name}={value}" for name, value in self.sweep.options(facts.point).items()]
        environment = dict(os.environ)
        if self.jobs > 1:
            environment.setdefault("OMP_NUM_THREADS", str(max(1, usable_cpus() // self.jobs)))
        if gpu := self._least_used_gpu():
            environment["CUDA_VISIBLE_DEVICES"] = gpu
        logger.info("%s: training; its output is %s", facts.label, output_of(run))
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            # Ctrl-C must reach only the worker: two signals end a training before it has saved
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # the same on Windows
        )
        self.running[frozen.number] = RunningTrial(trial, facts, output, process, set(frozen.intermediate_values), gpu)

    def _least_used_gpu(self) -> str | None:
        used = Counter(job.gpu for job in self.running.values())
        return min(self.gpus, key=lambda gpu: used[gpu], default=None)

    def _watch(self, job: RunningTrial, due: bool) -> None:
        """Report a job's new evaluations, prune it if they are hopeless, and store its result once it has ended."""
        code = job.process.poll()
        try:
            if due or code is not None:
                self._report(job)
            if code is not None:
                self._finish(job, code)
        except UpdateFinishedTrialError:  # its heartbeats came too late, and another worker was given the trial
            logger.warning("%s was finished by another worker", job.facts.label)
            _stop(job.process)
            code = job.process.wait()
        if code is not None:
            job.output.close()
            del self.running[job.trial.number]

    def _report(self, job: RunningTrial) -> None:
        for event in read_log(job.run / "log.jsonl"):
            job.progress.add(event)
            step, bits = event.get("step"), event.get("bits_per_byte")
            new = event.get("event") == "evaluation" and step not in {0, *job.reported}  # 0: untrained
            if new and isinstance(step, int) and isinstance(bits, float) and math.isfinite(bits):
                job.reported.add(step)
                job.trial.report(bits, step)
                if not job.pruned and job.trial.should_prune():
                    job.pruned = True
                    _stop(job.process)

    def _finish(self, job: RunningTrial, code: int) -> None:
        name, trial = job.facts.label, job.trial
        if job.pruned and code != 0:
            self.study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
            logger.info("%s was pruned at step %s", name, f"{max(job.reported):,}")
            return
        if code in SIGNALED:
            self.stopped.add(trial.number)
            logger.info("%s was stopped by a signal; the same command resumes it", name)
            return
        try:
            if code != 0:
                raise UserError(last_line(output_of(job.run)) or f"exit code {code}")
            results = measure(job.run)
        except UserError as error:
            trial.set_user_attr("reason", str(error))
            self.study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
            logger.info("%s failed: %s", name, error)
            return
        for key, value in results.items():
            trial.set_user_attr(key, value)
        self.study.tell(trial, results["bits_per_byte"], skip_if_finished=True)
        logger.info("%s: %.4f bits per byte", name, results["bits_per_byte"])

    def _show(self) -> None:
        """Show the trials that have begun, and how long the others will take."""
        if self.progress is not None:
            running = {job.run: job.progress for job in self.running.values()}
            self.progress.update(trials_of(self.study, self.folder), running, waiting_trials(self.study, self.sweep))

    def _beat(self) -> None:
        """Show that this worker lives, and queue again the trials of workers that have stopped showing it."""
        if self.record_heartbeat:
            for job in self.running.values():
                self.record_heartbeat(job.trial._trial_id)
        optuna.storages.fail_stale_trials(self.study)  # does nothing where there are no heartbeats


def _visible_gpus() -> list[str]:
    """The GPUs that the trials may use, each as CUDA_VISIBLE_DEVICES names it."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name not in ("", "-1")]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Have a training save and end."""
    windows = getattr(signal, "CTRL_BREAK_EVENT", None)  # there, terminate() would end it before it has saved
    process.send_signal(signal.SIGTERM if windows is None else windows)


def _open_locked(path: Path) -> IO[bytes] | None:
    """Open a trial's output file and lock it; None if another process holds the lock."""
    output = path.open("ab")
    if lock_file(output):
        return output
    output.close()
    return None
