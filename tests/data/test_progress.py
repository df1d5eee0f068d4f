from __future__ import annotations

import io

import pytest

from talewright.data.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(shown: bool, monkeypatch: pytest.MonkeyPatch, screen: io.StringIO) -> str:
    monkeypatch.setattr("sys.stderr", screen)
    with Progress(shown).phase("reading", "stories", 30) as phase:
        for _ in range(3):
            phase.advance(10)
    return screen.getvalue()


def test_without_a_terminal_a_phase_is_a_line(monkeypatch: pytest.MonkeyPatch):
    assert run(True, monkeypatch, io.StringIO()).startswith("reading: 30 stories in 0.")


def test_a_long_phase_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("talewright.data.progress.EVERY", -1.0)
    assert run(True, monkeypatch, io.StringIO()).splitlines()[0] == "reading: 10 stories (33%)"


def test_on_a_terminal_it_is_a_bar(monkeypatch: pytest.MonkeyPatch):
    assert "30/30 stories" in run(True, monkeypatch, Terminal())


def test_what_is_not_wanted_is_not_shown(monkeypatch: pytest.MonkeyPatch):
    assert run(False, monkeypatch, Terminal()) == ""
