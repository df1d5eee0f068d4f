"""The cache of measured speeds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from talewright.machine import speeds
from talewright.machine.speeds import Speed, optional_cache_file, read_speed, record_speed


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "speeds.json"


def test_the_fastest_is_kept():
    for rate in (100.0, 300.0, 200.0):
        record_speed("here", 4, Speed(rate, 2.0))
    assert read_speed("here", 4) == Speed(300.0, 2.0)
    assert read_speed("elsewhere", 4) is None


def test_the_nearest_micro_batch_answers():
    record_speed("here", 1, Speed(100.0))
    record_speed("here", 16, Speed(1600.0))
    assert [read_speed("here", size) for size in (2, 8, 64)] == [Speed(100.0), Speed(1600.0), Speed(1600.0)]


def test_what_was_measured_on_a_busy_machine_is_soon_forgotten_and_never_replaces_another(monkeypatch):
    record_speed("here", 4, Speed(900.0), busy=True)
    assert read_speed("here", 4) == Speed(900.0)
    record_speed("here", 4, Speed(500.0))
    assert read_speed("here", 4) == Speed(500.0)
    record_speed("here", 4, Speed(100.0), busy=True)
    assert read_speed("here", 4) == Speed(500.0)
    record_speed("busy", 4, Speed(100.0), busy=True)
    now = time.time()
    monkeypatch.setattr(speeds.time, "time", lambda: now + 2 * speeds.MAX_AGE_BUSY)
    assert (read_speed("here", 4), read_speed("busy", 4)) == (Speed(500.0), None)


def test_an_old_measurement_is_forgotten(monkeypatch):
    record_speed("here", 4, Speed(900.0))
    now = time.time()
    monkeypatch.setattr(speeds.time, "time", lambda: now + speeds.MAX_AGE + 1)
    assert read_speed("here", 4) is None
    record_speed("here", 4, Speed(500.0))
    assert read_speed("here", 4) == Speed(500.0)


@pytest.mark.parametrize("text", ["", "[]", '{"here": 3}', '{"here": {"4": {"tokens_per_second": "x"}, "a": 1}}'])
def test_a_damaged_cache_is_as_good_as_none(cache, text):
    cache.parent.mkdir()
    cache.write_text(text)
    assert read_speed("here", 4) is None
    record_speed("here", 4, Speed(1.0))
    assert read_speed("here", 4) == Speed(1.0)


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(tmp_path / "file"))
    record_speed("here", 4, Speed(1.0))
    assert read_speed("here", 4) is None


def test_several_processes_lose_no_measurement(cache):
    code = "from talewright.machine.speeds import *; [record_speed(f'{%d}-{i}', 1, Speed(1.0)) for i in range(10)]"
    running = [subprocess.Popen([sys.executable, "-c", code % number]) for number in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert len(json.loads(cache.read_text())) == 30


def test_without_a_home_folder_nothing_is_remembered_and_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TALEWRIGHT_CACHE", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # what it does without a home folder
    record_speed("setup", 8, Speed(100.0))
    assert read_speed("setup", 8) is None
    assert optional_cache_file("a.json").parent == Path(os.devnull)
