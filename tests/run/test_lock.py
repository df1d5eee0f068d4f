"""Two processes in one run folder: the second one gets an error that names the first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from talewright.errors import UserError
from talewright.run.lock import lock_run

HOLD = """
import sys, time
from pathlib import Path
from talewright.run.lock import lock_run
with lock_run(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    run = tmp_path / "new" / "run"
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(run)], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with (
        pytest.raises(UserError, match=rf"process {other.pid} on \S+ is training in {run}; wait for it"),
        lock_run(run),
    ):
        raise AssertionError("it is held")
    other.send_signal(signal.SIGKILL)
    other.wait()
    with lock_run(run):
        assert str(os.getpid()) in (run / ".lock").read_text()
    with lock_run(run):
        pass


def test_in_one_process_too(tmp_path: Path) -> None:
    with lock_run(tmp_path), pytest.raises(UserError, match=f"process {os.getpid()} on"), lock_run(tmp_path):
        raise AssertionError("it is held")


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    message = r"cannot write the run folder .*; name another by --out"
    with pytest.raises(UserError, match=message), lock_run(tmp_path / "file" / "run"):
        raise AssertionError("it cannot be made")
    (tmp_path / "recipe.yaml").write_text("")
    (tmp_path / ".lock").mkdir()
    with pytest.raises(UserError, match="make it writable, or resume a copy of it"), lock_run(tmp_path):
        raise AssertionError("it cannot be held")
