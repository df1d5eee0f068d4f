"""Output that cannot be written: one sentence and an exit code, whatever the command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from talewright import cli

COMMANDS = [["--help"], ["--version"], ["runs", "--json"], ["data", "prepare", "--data", "bundled:40"]]
FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


def run(words: list[str], redirection: str, folder: Path, buffered: bool) -> subprocess.CompletedProcess[str]:
    command = f'"{sys.executable}" -m talewright {" ".join(words)} {redirection}'
    environment = {**os.environ, "TALEWRIGHT_CACHE": str(folder / "cache"), "PYTHONUNBUFFERED": "" if buffered else "1"}
    return subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, cwd=folder, env=environment, check=False, timeout=100
    )


@needs_full
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("buffered", [True, False])
def test_a_full_disk_is_one_sentence(words: list[str], buffered: bool, tmp_path: Path) -> None:
    done = run(words, "> /dev/full", tmp_path, buffered)
    assert done.returncode == 2
    assert "talewright: the output cannot be written (No space left on device)" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


@needs_full
@pytest.mark.parametrize(
    ("redirection", "code"),
    [("2> /dev/full", 2), ("2>&-", 0), (">&-", 0), (">&- 2>&-", 0)],  # progress needs room, and what is closed does not
)
def test_messages_that_cannot_be_written_change_no_other_exit_code(redirection: str, code: int, tmp_path: Path) -> None:
    assert run(["data", "prepare", "--data", "bundled:40"], redirection, tmp_path, True).returncode == code
    assert run(["nonsense"], redirection, tmp_path, True).returncode == 2


@pytest.mark.parametrize("closed", [">&-", "<&- >&-", "<&- >&- 2>&-"])
def test_what_libraries_print_comes_into_no_file_where_streams_are_closed(closed: str, tmp_path: Path) -> None:
    """A file that is opened would have the number of a closed stream."""
    opens = "import os; from talewright.cli.words import flushed_output\nwith flushed_output():"
    opens += " os.open('log', os.O_WRONLY | os.O_CREAT); os.write(1, b'noise'); os.write(2, b'noise')"
    command = f'"{sys.executable}" -c "{opens}" {closed}'
    assert subprocess.run(["sh", "-c", command], cwd=tmp_path, check=False, timeout=100).returncode == 0
    assert (tmp_path / "log").read_text() == ""


def test_a_reader_that_left_is_no_error(tmp_path: Path) -> None:
    done = run(["runs", "--json"], "| true", tmp_path, True)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_a_working_folder_that_was_deleted_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(SystemExit) as left:
        cli.main(["evaluate", "harness", "questions"])
    assert left.value.code == 2
    assert capsys.readouterr().err == (
        "talewright: the folder that this command runs in was deleted; change into another\n"
    )
