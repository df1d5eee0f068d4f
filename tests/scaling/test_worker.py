"""Whole sweeps of tiny runs, each in a process of its own as always."""

from __future__ import annotations

import csv
import json
import math
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="the extra `sweep` is not installed")

from talewright.cli import main
from talewright.config import read_yaml
from talewright.sweep.pictures import frontier
from talewright.sweep.running import Trial, _claim
from talewright.train.lock import owned
from talewright.train.log import read_log
from tests.train.conftest import write_stories

SMALL = """
model: {n_layers: 1, n_heads: 2, d_model: 16, d_ff: 32, vocab_size: 300, context_length: 32}
train: {learning_rate: 1e-2, micro_batch: 4, max_steps: 6, evaluate_every: 3, checkpoint_every: 3, precision: fp32}
"""
SWEEP = """
recipe: small.yaml
set: {data.source: stories.txt}
vary: {train.learning_rate: [1e-2, 1e-4], train.init_from: [null, nowhere]}
seeds: [0, 1]
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "small.yaml").write_text(SMALL)
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    write_stories(tmp_path / "stories.txt", 60)
    return tmp_path


def last(run: Path) -> float:
    return [event["bits_per_byte"] for event in read_log(run / "log.jsonl") if event["event"] == "evaluation"][-1]


@pytest.mark.slow
def test_a_sweep_runs_all_and_writes_down_what_fails_and_does_nothing_twice(capsys):
    main(["sweep", "sweep.yaml", "--out", "out", "--jobs", "2", "--json"])
    told, said = capsys.readouterr()
    rows = json.loads(told)
    assert [(row["n"], row["failed"]) for row in rows] == [(2, 0), (2, 0), (0, 2), (0, 2)]
    assert "nowhere" in said
    assert rows[0]["point"]["train.learning_rate"] == "1e-2"  # it learns faster
    good = sorted(run for run in Path("out/runs").iterdir() if (run / "log.jsonl").exists())
    assert len(good) == 4
    seeds = {json.loads((run / "log.jsonl").read_text().splitlines()[0])["recipe"]["seed"] for run in good}
    assert seeds == {0, 1}
    ends = sorted(last(run) for run in good)[:2]
    assert rows[0]["mean"] == pytest.approx(statistics.fmean(ends))
    assert rows[0]["deviation"] == pytest.approx(statistics.stdev(ends))
    assert rows[0]["tokens"] == 6 * 4 * 32
    assert rows[0]["flops"] > 0
    with Path("out/results.csv").open() as file:
        assert [row["n"] for row in csv.DictReader(file)] == ["2", "2", "0", "0"]
    assert all(Path(f"out/{name}.png").stat().st_size > 10_000 for name in ("frontier", "points"))
    stamps = [run.stat().st_mtime_ns for run in good]
    main(["sweep", "sweep.yaml", "--out", "out"])
    assert [run.stat().st_mtime_ns for run in good] == stamps
    assert "bits/byte" in capsys.readouterr().out
    Path("sweep.yaml").write_text(SWEEP.replace("[0, 1]", "[0, 1, 2]").replace("stories.txt", "other.txt"))
    with pytest.raises(SystemExit) as left:
        main(["sweep", "sweep.yaml", "--out", "out"])
    assert left.value.code == 2
    assert "another `set`" in capsys.readouterr().err


@pytest.mark.slow
def test_a_sweep_that_is_stopped_goes_on_with_the_run_that_it_was_at():
    text = SWEEP.replace("[null, nowhere]", "[null]").replace("set: {", "set: {train.max_steps: 200, ")
    text = text.replace("[0, 1]", "[0]")
    Path("sweep.yaml").write_text(text)
    command = [sys.executable, "-m", "talewright", "sweep", "sweep.yaml", "--out", "out"]
    begun = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log = Path("out/runs/trial-000/log.jsonl")
    limit = time.monotonic() + 120
    while sum(event["event"] == "step" for event in read_log(log)) < 3 and time.monotonic() < limit:
        time.sleep(0.05)
    begun.send_signal(signal.SIGTERM)
    assert begun.wait(60) == 128 + signal.SIGTERM
    before = Path("out/runs/trial-000/recipe.yaml").stat().st_mtime_ns
    Path("sweep.yaml").write_text(text)
    subprocess.run(command, check=True, capture_output=True)
    events = [event["event"] for event in read_log(log)]
    assert "resume" in events
    assert events.count("step") == 200
    assert Path("out/runs/trial-000/recipe.yaml").stat().st_mtime_ns == before
    assert len(list(Path("out/runs").glob("*.out"))) == 2


@pytest.mark.slow
def test_two_commands_share_a_sweep(capsys):
    """As on two machines that share a disk."""
    Path("sweep.yaml").write_text(SWEEP.replace("[null, nowhere]", "[null]"))
    command = [sys.executable, "-m", "talewright", "sweep", "sweep.yaml", "--out", "out"]
    sweeps = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)]
    while not Path("out/claims/trial-000/.lock").exists() and sweeps[0].poll() is None:
        time.sleep(0.05)
    sweeps.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    said = [each.communicate(timeout=240)[1] for each in sweeps]
    assert [each.returncode for each in sweeps] == [0, 0], said
    begun = [line.split(": ")[0] for text in said for line in text.splitlines() if ": learning_rate" in line]
    assert sorted(begun) == [f"trial {number} of 4" for number in range(1, 5)], said
    assert "trial 1 of 4 is another command's" in said[1]
    main(["sweep", "sweep.yaml", "--out", "out", "--json"])
    assert [row["n"] for row in json.loads(capsys.readouterr().out)] == [2, 2]


def test_a_trial_is_claimed_once_and_left_to_a_training_that_outlived_its_command(tmp_path):
    trial = Trial(number=0, point={}, seed=0, run=tmp_path / "runs" / "trial-000", state="running")
    claim = _claim(trial, tmp_path)
    assert claim is not None
    assert _claim(trial, tmp_path) is None
    claim.close()
    with owned(trial.run):
        assert _claim(trial, tmp_path) is None
    again = _claim(trial, tmp_path)
    assert again is not None
    again.close()


@pytest.mark.slow
def test_each_listed_point_changes_its_own_settings(capsys):
    points = "points: {base: {}, wide: {model.d_model: 32}, slow: {train.learning_rate: 1e-5, model.n_layers: 2}}\n"
    Path("sweep.yaml").write_text("recipe: small.yaml\nset: {data.source: stories.txt}\n" + points)
    main(["sweep", "sweep.yaml", "--out", "out"])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["point", "wide", "base", "slow"]
    models = [read_yaml(Path(f"out/runs/trial-{number:03d}/recipe.yaml"))["model"] for number in range(3)]
    assert [(model["d_model"], model["n_layers"]) for model in models] == [(16, 1), (32, 1), (16, 2)]


def test_the_frontier_is_what_nothing_beats():
    xs, ys = [1.0, 2.0, 2.0, 3.0, 4.0, 0.0], [3.0, 2.0, 2.5, 2.2, 1.0, 0.1]
    assert frontier(xs, ys) == [(1.0, 3.0), (2.0, 2.0), (4.0, 1.0)]  # what costs nothing has learned nothing
    assert math.inf not in [y for _, y in frontier(xs, ys)]
