"""The release check: what it says of archives, commands and cells."""

from __future__ import annotations

import sys
from importlib.metadata import version
from types import SimpleNamespace

import pytest

from tools import release
from tools.release import Cell, differences, failure, find_python, names, outcome, report, requirements


def test_an_archive_is_compared_with_the_tracked_files_in_both_directions() -> None:
    members = ["src/a.py", "PKG-INFO", ".gitignore", "src/b.py"]
    assert differences("x.tar.gz", ["src/a.py", "src/b.py"], members) == []
    assert differences("x.tar.gz", ["src/a.py", "CITATION.cff"], members) == [
        "x.tar.gz lacks CITATION.cff",
        "x.tar.gz has src/b.py, which git does not track",
    ]


def test_each_requirement_is_named_and_installed_here() -> None:
    assert "torch" in names(requirements())
    assert all(version(name) for name in names(requirements()))
    assert names(["lightning-fabric>=2.5", "numpy>=1.26"]) == ["lightning-fabric", "numpy"]


@pytest.mark.parametrize(
    ("printed", "story", "missing", "expected"),
    [
        ("talewright 0.2.0\n", "once " * 10, [], "passed"),
        ("talewright 0.2.0.dev0\n", "once " * 10, [], "failed: --version printed 'talewright 0.2.0.dev0', not 0.2.0"),
        ("talewright 0.2.0\n", "Once.\n", [], "failed: the story is 'Once.'"),
        ("talewright 0.2.0\n", "once " * 10, ["run/log.jsonl"], "failed: no run/log.jsonl"),
    ],
)
def test_an_outcome_needs_the_version_a_story_and_the_files(
    printed: str, story: str, missing: list[str], expected: str
) -> None:
    assert outcome([printed, story], "0.2.0", missing) == expected


def test_a_failure_names_the_command_and_the_last_line_that_it_printed() -> None:
    assert failure(["/tmp/bin/talewright", "--version"], "Traceback\nImportError: no X\n\n").endswith(
        "failed: talewright --version: ImportError: no X"
    )
    assert failure(["talewright", "--version"], "").endswith("it printed nothing")


def test_the_report_is_a_table_with_its_problems_above() -> None:
    cells = [Cell("3.11", "highest", "passed", "torch 2.6.0"), Cell("3.12", "highest", "failed: a | b")]
    assert [cell.failed for cell in cells] == [False, True]
    lines = report("talewright.whl: 1 MB.", ["it lacks a file"], cells).splitlines()
    assert lines[2] == "- it lacks a file"
    assert lines[-2:] == ["| 3.11 | highest | passed | torch 2.6.0 |", "| 3.12 | highest | failed: a   b |  |"]


def test_the_wheel_is_tried_without_the_variables_that_would_import_the_sources(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", "src")
    monkeypatch.setenv("UV_CACHE_DIR", "cache")
    found = release.environment()
    assert "PYTHONPATH" not in found
    assert found["UV_CACHE_DIR"] == "cache"


def test_a_python_is_found_by_what_uv_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    printing = "import sys; print(sys.argv[-1]) if sys.argv[-1] == '3.11' else sys.exit(2)"
    monkeypatch.setattr(release, "UV", (sys.executable, "-c", printing))
    assert find_python("3.11") == "3.11"
    assert find_python("3.99") is None


def test_an_extra_that_no_versions_satisfy_is_named_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def compile_(command: list[str], **_: object) -> SimpleNamespace:
        tried.append(command[command.index("--extra") + 1])
        return SimpleNamespace(returncode=int(tried[-1] == "studio"), stderr="error: no\n  wheels\n")

    tried: list[str] = []
    monkeypatch.setattr(release.subprocess, "run", compile_)
    assert release.unresolved("3.13", "highest") == ["[studio] with Python 3.13, highest: error: no wheels"]
    assert {"all", "dev", "fuzz", "studio"} <= set(tried)
