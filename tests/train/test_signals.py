"""Signals, sent to real processes in each phase of their work: saved within seconds, the exit code, the way on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from talewright.machine import compiler
from talewright.train.signals import Stopped, StopSignal

ROOT = Path(__file__).parents[2]
ONCE = [
    ("gradient", "SIGTERM", 143),
    ("gradient", "SIGUSR1", 128 + signal.SIGUSR1),
    ("evaluation", "SIGINT", 130),
    ("evaluation", "SIGHUP", 129),
    ("sample", "SIGTERM", 143),
    ("last evaluation", "SIGTERM", 143),
    ("save", "SIGINT", 130),
    ("save", "SIGTERM", 143),
    ("preparation", "SIGTERM", 143),
    ("preparation", "SIGINT", 130),
]
TWICE = [("save", "SIGTERM", -signal.SIGTERM), ("save", "SIGINT", -signal.SIGINT)]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str, int], dict[str, Any]]:
    """What tests.train.stopping reports, by phase, signal and how many times it was sent."""
    keys = [(phase, name, 1) for phase, name, _ in ONCE] + [(phase, name, 2) for phase, name, _ in TWICE]
    cases = [{"phase": phase, "signals": [name] * times} for phase, name, times in keys]
    command = [sys.executable, "-m", "tests.train.stopping", str(tmp_path_factory.mktemp("stopped"))]
    done = subprocess.run(command, cwd=ROOT, input=json.dumps(cases), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(zip(keys, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize(("phase", "name", "code"), ONCE)
def test_a_signal_ends_in_a_saved_run_and_says_how_to_go_on(stopped: Any, phase: str, name: str, code: int) -> None:
    found = stopped[phase, name, 1]
    assert found["code"] == code, found["said"]
    assert found["seconds"] < 5
    assert "Traceback" not in found["said"]
    if phase == "preparation":
        assert "give the same command again" in found["said"]
        return
    step = {"gradient": 6, "evaluation": 10, "sample": 10, "last evaluation": 20, "save": 5}[phase]
    assert found["steps"][-1] == step
    assert f"stopped at step {step}, and saved. To continue: talewright train --resume run-" in found["said"]
    assert found["differs"] == []


@pytest.mark.parametrize(("phase", "name", "code"), TWICE)
def test_a_second_signal_leaves_at_once_and_loses_only_what_was_not_saved(
    stopped: Any, phase: str, name: str, code: int
) -> None:
    found = stopped[phase, name, 2]
    assert found["code"] == code, found["said"]
    assert found["seconds"] < 0.5  # the save would have taken a second
    assert f"{name}: stopping at the next safe point; a second signal stops at once" in found["said"]
    assert found["steps"] == [4]
    assert found["differs"] == []


def test_a_signal_is_noted_but_within_interruptible_raises() -> None:
    with StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.number == signal.SIGTERM
        with pytest.raises(Stopped), stop.interruptible():
            raise AssertionError("the signal came before")
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    with StopSignal() as stop:
        with pytest.raises(Stopped, match="SIGUSR1") as raised, stop.interruptible():
            os.kill(os.getpid(), signal.SIGUSR1)
        assert raised.value.number == signal.SIGUSR1


def test_a_signal_that_was_ignored_stays_so() -> None:
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignal() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.number is None
    finally:
        signal.signal(signal.SIGHUP, former)


def test_in_a_library_a_second_ctrl_c_raises_as_python_has_it() -> None:
    with StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.number == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_in_another_thread_no_handler_is_asked_for() -> None:
    found: list[int | None] = []

    def work() -> None:
        with StopSignal() as stop:
            found.append(stop.number)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [None]


@pytest.mark.slow
@pytest.mark.skipif(compiler() is None, reason="no C++ compiler here to compile a model with")
def test_a_signal_during_compilation_is_obeyed_within_seconds(tmp_path: Path) -> None:
    options = ["train", "--recipe", "quickstart", "--out", str(tmp_path / "run"), "--train.compile", "true"]
    environment = {
        **os.environ,
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache"),
        "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",
    }
    command = [sys.executable, "-m", "talewright", *options]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = next(line for line in process.stderr if "compiled" in line)
    time.sleep(3)
    assert process.poll() is None, line
    process.send_signal(signal.SIGTERM)
    begun = time.perf_counter()
    said = process.stderr.read()
    assert process.wait() == 143, said
    assert time.perf_counter() - begun < 15
    assert "To continue: talewright train --resume" in said
