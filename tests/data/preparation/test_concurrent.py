"""Two preparations of one folder at once, in real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from talewright.config import DataConfig
from talewright.data import Corpus, prepare
from tests.data.cases import BPE, files_of, tales, write_txt

HOLD = """
import sys, time
from pathlib import Path
from talewright.locks import wait_for_lock
with wait_for_lock(Path(sys.argv[1]), lambda: None):
    print("held", flush=True)
    time.sleep(300)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that is preparing the folder `made`, and does not come to an end."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "made")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_second_reports_that_it_waits_and_continues_when_the_first_is_killed(
    tmp_path: Path, holder: subprocess.Popen[str]
):
    source = write_txt(tmp_path / "a.txt", tales(60))
    command = ["data", "prepare", "--data", str(source), "--out", str(tmp_path / "made"), "--model.vocab-size", "300"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    second = subprocess.Popen([sys.executable, "-m", "talewright", *command], **pipes)  # type: ignore[call-overload]
    assert second.stderr is not None
    assert second.stderr.readline() == f"waiting for another preparation of {tmp_path / 'made'}\n"
    assert second.poll() is None
    assert not (tmp_path / "made").exists()
    os.kill(holder.pid, signal.SIGKILL)
    _, output = second.communicate(timeout=100)
    assert second.returncode == 0, output
    expected = prepare(DataConfig(source=str(source)), BPE, 300, tmp_path / "alone", progress=False)
    assert Corpus.open(tmp_path / "made").fingerprint == expected.fingerprint
    assert [path.name for path in tmp_path.iterdir() if "made" in path.name] == ["made"]


@pytest.mark.slow
def test_six_at_once_make_one(tmp_path: Path):
    source = write_txt(tmp_path / "a.txt", tales(3000))
    command = [sys.executable, "-m", "talewright", "data", "prepare"]
    command += ["--data", str(source), "--out", str(tmp_path / "made")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    all_of_them = [subprocess.Popen([*command, "--model.vocab-size", "300"], **pipes) for _ in range(6)]  # type: ignore[call-overload]
    answers = {process.communicate(timeout=200)[0] for process in all_of_them}
    assert {process.returncode for process in all_of_them} == {0}
    assert len(answers) == 1
    prepare(DataConfig(source=str(source)), BPE, 300, tmp_path / "alone", progress=False)
    assert files_of(tmp_path / "made").keys() == files_of(tmp_path / "alone").keys()
    Corpus.open(tmp_path / "made").verify()
