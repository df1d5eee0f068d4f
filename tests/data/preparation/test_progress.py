from __future__ import annotations

import io

import pytest

from talewright.data.preparation.progress import StageProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(shown: bool, monkeypatch: pytest.MonkeyPatch, screen: io.StringIO) -> str:
    monkeypatch.setattr("sys.stderr", screen)
    with StageProgress("reading", "stories", 30, shown) as progress:
        for _ in range(3):
            progress.advance(10)
    return screen.getvalue()


def test_without_a_terminal_a_stage_is_a_line(monkeypatch: pytest.MonkeyPatch):
    assert run(True, monkeypatch, io.StringIO()).startswith("reading: 30 stories in 0.")


def test_a_long_stage_shows_its_progress(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("talewright.data.preparation.progress.LINE_SECONDS", -1.0)
    assert run(True, monkeypatch, io.StringIO()).splitlines()[0] == "reading: 10 stories (33%)"


def test_on_a_terminal_it_is_a_bar(monkeypatch: pytest.MonkeyPatch):
    assert "  30 stories" in run(True, monkeypatch, Terminal())


def test_nothing_is_shown_if_it_is_turned_off(monkeypatch: pytest.MonkeyPatch):
    assert run(False, monkeypatch, Terminal()) == ""
