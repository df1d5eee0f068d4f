"""Atomic files: whole whatever happens to their writers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from talewright.files import read_json, write_text_atomic

WRITER = """
import sys
from pathlib import Path
from talewright.files import write_json
for number in range(150):
    write_json(Path(sys.argv[1]), [sys.argv[2]] * 500)
"""


def test_processes_that_write_one_file_at_once_leave_one_of_their_versions(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in ("a", "b", "c")]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0, 0]
    assert read_json(path) in ([name] * 500 for name in ("a", "b", "c"))
    assert [each.name for each in tmp_path.iterdir()] == ["results.json"]


def test_a_failed_write_leaves_the_earlier_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_text_atomic(path, json.dumps("earlier"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space left"):
            write_text_atomic(path, json.dumps("later"))
    assert read_json(path) == "earlier"
    assert [each.name for each in tmp_path.iterdir()] == ["state.json"]
