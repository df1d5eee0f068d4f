"""Workers, in processes of their own where there are several; a stand-in trains, and in the slow tests the real one."""

from __future__ import annotations

import csv
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna", reason="the extra `sweep` is not installed")

from talewright.cli import main
from talewright.config import read_yaml
from talewright.run.log import read_log
from talewright.scaling.sweep import worker as worker_module
from talewright.scaling.sweep.names import run_name
from talewright.scaling.sweep.reading import read_sweep
from talewright.scaling.sweep.study import open_study
from talewright.scaling.sweep.worker import Worker
from tests.scaling.conftest import RECIPE
from tests.train.conftest import write_stories

FIRST = "learning_rate-1e-2-seed-0"
"""The run of the first trial."""


def sweep(*words: str) -> None:
    main(["sweep", "sweep.yaml", "--out", "out", *words])


def rows(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict]:
    capsys.readouterr()
    sweep("--json", *words)
    return json.loads(capsys.readouterr().out)


def events(run: str, name: str) -> list[dict]:
    return [event for event in read_log(Path("out/runs", run, "log.jsonl")) if event["event"] == name]


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


def start(command: list[str], *words: str, **environment: str) -> subprocess.Popen[str]:
    command = [*command, "sweep.yaml", "--out", "out", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env={**os.environ, **environment})


def edit(old: str, new: str) -> None:
    text = Path("sweep.yaml").read_text()
    assert old in text
    Path("sweep.yaml").write_text(text.replace(old, new))


def test_a_sweep_trains_everything_once_and_records_what_fails(stub, capsys):
    found = rows(capsys, "--jobs", "2")
    assert [(row["point"]["train.learning_rate"], row["n"], row["failed"]) for row in found] == [
        ("1e-2", 2, 0),
        ("1e-4", 2, 0),
        ("5", 0, 2),
    ]
    assert found[0]["mean"] == pytest.approx(5 - 6 + 0.005)
    assert found[0]["deviation"] == pytest.approx(statistics.stdev([0, 0.01]))
    assert (found[0]["tokens"], found[0]["minutes"]) == (768, 0.1)
    with Path("out/results.csv").open() as file:
        assert [(row["train.learning_rate"], row["n"]) for row in csv.DictReader(file)][1:] == [
            ("1e-4", "2"),
            ("5", "0"),
        ]
    stamps = [run.stat().st_mtime_ns for run in sorted(Path("out/runs").iterdir())]
    sweep()
    assert "learning_rate 5, seed 0 failed: the learning rate is above 1" in capsys.readouterr().err
    assert [run.stat().st_mtime_ns for run in sorted(Path("out/runs").iterdir())] == stamps
    edit("[0, 1]", "[0, 1, 2]")
    assert [row["n"] for row in rows(capsys)] == [3, 3, 0]
    assert len(list(Path("out/runs").glob("*.out"))) == 9


def test_trials_that_train_at_once_have_a_gpu_each(stub, monkeypatch):
    seen, popen = [], subprocess.Popen

    def spy(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        seen.append(options["env"]["CUDA_VISIBLE_DEVICES"])
        return popen(command, **options)

    monkeypatch.setattr(subprocess, "Popen", spy)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    sweep("--jobs", "2")
    assert seen[:2] == ["4", "7"]
    assert sorted({*seen}) == ["4", "7"]
    seen.clear()
    edit("[0, 1]", "[0, 1, 2]")
    sweep()
    assert {*seen} == {"4,7"}


def test_a_launcher_cannot_start_a_sweep(stub, monkeypatch, capsys):
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as exit_:
        sweep()
    assert exit_.value.code == 2
    assert "2 processes on 2 nodes, started by Kubeflow: a sweep starts its own" in capsys.readouterr().err


def test_workers_that_start_together_share_the_trials(stub, capsys):
    workers = [start(stub, PACE="0.05") for _ in range(3)]
    said = [each.communicate(timeout=120)[1] for each in workers]
    assert [each.returncode for each in workers] == [0, 0, 0], said
    begun = Counter(line.split(":")[0] for text in said for line in text.splitlines() if ": training; " in line)
    assert begun == {f"learning_rate {rate}, seed {seed}": 1 for rate in ("1e-2", "1e-4", "5") for seed in (0, 1)}
    assert [(row["n"], row["failed"]) for row in rows(capsys)] == [(2, 0), (2, 0), (0, 2)]


def test_a_trial_that_another_worker_finished_meanwhile_is_left_alone(stub, capsys):
    """Two interrupted trials, two workers: the one with the long trial comes back to a trial that is complete."""
    edit("[1e-2, 1e-4, 5]", "[0.5, 1e-4]")
    edit("[0, 1]", "[0]")
    interrupted = start(stub, "--jobs", "2", PACE="0.2")
    wait_for(lambda: len(list(Path("out").glob("runs/*/log.jsonl"))) == 2)
    interrupted.send_signal(signal.SIGTERM)
    assert interrupted.wait(60) == 143
    workers = [start(stub, PACE="0.02") for _ in range(2)]
    said = [each.communicate(timeout=120)[1] for each in workers]
    assert [each.returncode for each in workers] == [0, 0], said
    assert [row["n"] for row in rows(capsys)] == [1, 1]
    for run in ("learning_rate-0.5-seed-0", "learning_rate-1e-4-seed-0"):
        assert len(events(run, "start")) == 2
        assert [event["step"] for event in events(run, "step")] == [1, 2, 3, 4, 5, 6]


@pytest.mark.filterwarnings("ignore:Heartbeat of storage")
@pytest.mark.parametrize("storage", [None, "sqlite:///study.db"])
def test_what_another_worker_finished_since_the_last_look_is_left_alone(stub, monkeypatch, storage):
    sweep = read_sweep(Path("sweep.yaml"))
    ours, theirs = (open_study(sweep, Path("out"), storage) for _ in range(2))
    theirs.ask()
    stale = ours.trials
    theirs.tell(0, 1.0)
    for _ in range(5):
        theirs.tell(theirs.ask(), 2.0)
    monkeypatch.setattr(ours, "get_trials", lambda **_: stale)
    Worker(ours, sweep, Path("out")).run()
    assert not list(Path("out").glob("runs/*/"))
    assert [trial.value for trial in theirs.trials] == [1.0] + [2.0] * 5


@pytest.mark.parametrize("storage", [None, "sqlite:///study.db"])
def test_a_trial_that_another_worker_finishes_while_it_trains_here_is_left_to_it(stub, monkeypatch, storage):
    monkeypatch.setenv("PACE", "0.1")
    edit("[1e-2, 1e-4, 5]", "[1e-2]")
    sweep = read_sweep(Path("sweep.yaml"))
    ours, theirs = (open_study(sweep, Path("out"), storage) for _ in range(2))
    worker = Worker(ours, sweep, Path("out"))
    assert worker._start_next()
    theirs.tell(0, 1.0)
    worker.run()
    assert [trial.value for trial in theirs.trials] == [1.0, pytest.approx(-0.99)]


def test_a_trial_of_a_dead_worker_is_resumed_once_its_training_is_dead_too(stub, capsys):
    edit("[0, 1]", "[0]")
    edit(", 5]", "]")
    dead = start(stub, PACE="1")
    wait_for(lambda: Path("out/runs", FIRST, "log.jsonl").exists() and events(FIRST, "start"))
    dead.kill()
    dead.wait()
    assert [row["n"] for row in rows(capsys)] == [1, 0]  # the training lives: another worker takes the other trial
    os.kill(events(FIRST, "start")[0]["process"], signal.SIGKILL)
    wait_for(lambda: [row["n"] for row in rows(capsys)] == [1, 1])
    assert len(events(FIRST, "start")) == 2
    assert [event["step"] for event in events(FIRST, "step")] == [1, 2, 3, 4, 5, 6]


def test_a_trial_is_not_taken_while_its_training_starts(stub, capsys):
    """Importing PyTorch takes seconds, in which the run folder is not locked yet."""
    edit("[0, 1]", "[0]")
    edit("[1e-2, 1e-4, 5]", "[1e-2]")
    edit("seeds: [0]", "seeds: [0, 1]")
    first = start(stub, STARTUP="3")
    wait_for(lambda: Path("out/runs", FIRST).exists())
    sweep()
    assert "seed 0: training" not in capsys.readouterr().err
    assert first.wait(60) == 0
    assert len(events(FIRST, "start")) == 1


def test_hopeless_trials_are_pruned_and_keep_their_run(stub, capsys, monkeypatch):
    monkeypatch.setenv("PACE", "0.2")
    edit("[1e-2, 1e-4, 5]", "[1e-2, 1e-4]")
    Path("sweep.yaml").write_text(Path("sweep.yaml").read_text() + "pruner: {kind: median, n_startup_trials: 2}\n")
    found = rows(capsys)
    assert [(row["n"], row["pruned"]) for row in found] == [(2, 0), (0, 2)]
    assert len(events("learning_rate-1e-4-seed-0", "stop")) == 1
    assert events("learning_rate-1e-4-seed-0", "step")[-1]["step"] < 6
    trial = open_study(read_sweep(Path("sweep.yaml")), Path("out")).trials[2]
    assert (trial.state.name, set(trial.intermediate_values)) == ("PRUNED", {2})
    assert [row["pruned"] for row in rows(capsys)] == [0, 2]
    assert len(events("learning_rate-1e-4-seed-0", "start")) == 1  # not tried again


@pytest.mark.parametrize(
    "storage",
    [
        None,
        pytest.param("sqlite:///study.db", marks=pytest.mark.slow),
        pytest.param("elsewhere.log", marks=pytest.mark.slow),
    ],
)
def test_a_tpe_sweep_in_any_storage_is_an_optuna_study(stub, capsys, storage):
    text = "recipe: small.yaml\nseeds: [0, 1]\nsampler: tpe\ntrials: 3\n"
    learning_rate = "train.learning_rate: {from: 1e-4, to: 1e-2, log: true}"
    Path("sweep.yaml").write_text(text + f"vary: {{{learning_rate}, model.n_layers: {{from: 1, to: 3}}}}\n")
    words = ["--storage", storage] if storage else []
    workers = [start(stub, "--jobs", "2", *words) for _ in range(2)]
    said = [each.communicate(timeout=120)[1] for each in workers]
    assert [each.returncode for each in workers] == [0, 0], said
    assert [row["n"] for row in rows(capsys, *words)] == [2] * 3
    opened = {
        None: "JournalStorage(JournalFileBackend('out/journal.log')), study_name='sweep'",
        "sqlite:///study.db": "'sqlite:///study.db', study_name='out'",
        "elsewhere.log": "JournalStorage(JournalFileBackend('elsewhere.log')), study_name='out'",
    }[storage]
    script = f"""
import json, optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
study = optuna.load_study(storage={opened})
print(json.dumps([[t.state.name, t.value, t.params, t.user_attrs, t.intermediate_values] for t in study.trials]))
"""
    read = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    trials = json.loads(read.stdout)
    assert [state for state, *_ in trials] == ["COMPLETE"] * 6
    for _, value, params, attributes, reported in trials:
        point = {name: str(value) for name, value in params.items() if name != "seed"}
        assert value == pytest.approx(5 - 600 * params["train.learning_rate"] + params["seed"] / 100)
        assert (attributes["run"], attributes["bits_per_byte"]) == (f"runs/{run_name(point, params['seed'])}", value)
        assert list(reported) == ["2", "4", "6"]
    rates = [params["train.learning_rate"] for _, _, params, *_ in trials]
    assert Counter(rates) == dict.fromkeys(rates, 2)


def test_a_database_gives_the_trial_of_a_lost_machine_to_another(stub, capsys, monkeypatch):
    """The other machine's folder is not here: nothing but its heartbeats, which have stopped, shows that it is gone."""
    edit("[0, 1]", "[0]")
    edit(", 5]", "]")
    from talewright.scaling.sweep import study as study_module

    monkeypatch.setattr(study_module, "HEARTBEAT", 4)
    study = open_study(read_sweep(Path("sweep.yaml")), Path("elsewhere/out"), "sqlite:///study.db")
    lost = Worker(study, read_sweep(Path("sweep.yaml")), Path("elsewhere/out"))
    monkeypatch.setattr(worker_module, "TRAIN", (sys.executable, "-c", "import time; time.sleep(60)"))
    assert lost._start_next()
    lost.running[0].process.kill()
    monkeypatch.setattr(worker_module, "TRAIN", (sys.executable, "train.py"))
    monkeypatch.setenv("PACE", "0.1")
    assert [row["n"] for row in rows(capsys, "--storage", "sqlite:///study.db")] == [1, 0]  # it could still be alive
    time.sleep(9)
    monkeypatch.setenv("PACE", "1")
    edit("[0]", "[0, 1]")
    assert [row["n"] for row in rows(capsys, "--storage", "sqlite:///study.db", "--jobs", "2")] == [2, 2]
    main(["sweep", "sweep.yaml", "--out", "elsewhere/out", "--storage", "sqlite:///study.db", "--json"])
    assert [row["n"] for row in json.loads(capsys.readouterr().out)] == [2, 2]  # without a run here
    states = [trial.state.name for trial in study.trials]
    assert sorted(states) == ["COMPLETE"] * 4 + ["FAIL"]
    lost._watch(lost.running[0], due=True)  # the machine comes back: its trial is another's, which is no error
    assert [trial.state.name for trial in study.trials] == states


def test_jobs_share_the_cores(stub, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(worker_module, "usable_cpus", lambda: 8)
    code = "import os; raise SystemExit(os.environ['OMP_NUM_THREADS'] + ' threads')"
    monkeypatch.setattr(worker_module, "TRAIN", (sys.executable, "-c", code))
    sweep("--jobs", "4")
    assert all(path.read_text() == "2 threads\n" for path in Path("out/runs").glob("*.out"))


def test_minutes_of_trials_that_share_the_cores_are_warned_about_once(stub, capsys):
    edit("[1e-2, 1e-4, 5]", "[5]")
    sweep("--jobs", "2")
    assert "budget is in minutes" not in capsys.readouterr().err
    edit("data.source: stories.txt", "data.source: stories.txt, train.max_minutes: 1, train.max_steps: null")
    main(["sweep", "sweep.yaml", "--out", "minutes"])
    assert "budget is in minutes" not in capsys.readouterr().err
    main(["sweep", "sweep.yaml", "--out", "minutes", "--jobs", "2"])
    assert capsys.readouterr().err.count("set train.max_tokens or train.max_steps") == 1


@pytest.fixture
def real(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    Path("small.yaml").write_text(RECIPE)
    Path("sweep.yaml").write_text(
        "recipe: small.yaml\nset: {data.source: stories.txt}\n"
        "vary: {train.learning_rate: [1e-2, 1e-4], train.init_from: [null, nowhere]}\n"
    )
    write_stories(tmp_path / "stories.txt", 60)


@pytest.mark.slow
def test_real_trials_have_a_table_and_pictures(real, capsys):
    found = rows(capsys, "--jobs", "2")
    assert [(row["n"], row["failed"]) for row in found] == [(1, 0), (1, 0), (0, 1), (0, 1)]
    assert found[0]["point"]["train.learning_rate"] == "1e-2"  # it learns faster
    good = [run.name for run in Path("out/runs").glob("*/") if events(run.name, "evaluation")]
    ends = [events(run, "evaluation")[-1]["bits_per_byte"] for run in good]
    assert sorted(ends) == pytest.approx([row["mean"] for row in found[:2]])
    assert (found[0]["tokens"], found[0]["deviation"]) == (6 * 4 * 32, None)
    assert found[0]["flops"] > 0
    assert all(Path(f"out/{name}.png").stat().st_size > 10_000 for name in ("frontier", "points"))
    sweep()
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.slow
def test_a_sweep_that_is_stopped_resumes_the_run_that_it_was_at(real):
    edit("[null, nowhere]", "[null]")
    edit("set: {", "set: {train.max_steps: 200, ")
    first = "learning_rate-1e-2-init_from-null-seed-0"
    stopped = start([sys.executable, "-m", "talewright", "sweep"])
    wait_for(lambda: len(events(first, "step")) >= 3, 120)
    stopped.send_signal(signal.SIGTERM)
    assert stopped.wait(60) == 128 + signal.SIGTERM
    before = Path("out/runs", first, "recipe.yaml").stat().st_mtime_ns
    assert start([sys.executable, "-m", "talewright", "sweep"]).wait(240) == 0
    assert len(events(first, "resume")) == 1
    assert len(events(first, "step")) == 200
    assert Path("out/runs", first, "recipe.yaml").stat().st_mtime_ns == before
    assert len(list(Path("out/runs").glob("*.out"))) == 2


@pytest.mark.slow
def test_each_listed_point_changes_its_own_settings(real, capsys):
    points = "points: {base: {}, wide: {model.d_model: 32}, slow: {train.learning_rate: 1e-5, model.n_layers: 2}}\n"
    Path("sweep.yaml").write_text("recipe: small.yaml\nset: {data.source: stories.txt}\n" + points)
    sweep()
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in shown[:4]] == ["point", "wide", "base", "slow"]
    assert "Best: wide, " in "\n".join(shown)
    models = [read_yaml(Path(f"out/runs/{name}-seed-0/recipe.yaml"))["model"] for name in ("base", "wide", "slow")]
    assert [(model["d_model"], model["n_layers"]) for model in models] == [(16, 1), (32, 1), (16, 2)]
