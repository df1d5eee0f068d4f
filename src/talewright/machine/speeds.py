"""Training speeds measured on this machine, kept in the cache folder: `speeds.json`.

The file maps the name of a setup (machine, model shape) to the best speed for each micro-batch.
"""

from __future__ import annotations

import logging
import os
import platform
import time
from pathlib import Path
from typing import Any, NamedTuple

from talewright.errors import UserError
from talewright.files import cache_dir, read_json, write_json
from talewright.locks import wait_for_lock

logger = logging.getLogger(__name__)

MAX_AGE = 30 * 86_400.0
"""Seconds until a measurement is repeated."""
MAX_AGE_BUSY = 600.0
"""The same for a measurement while other programs had the processor."""


class Speed(NamedTuple):
    """How fast a machine trains."""

    tokens_per_second: float
    compile_seconds: float = 0.0
    """Seconds before the first step."""


def optional_cache_file(name: str) -> Path:
    """A file in the cache folder for what may be forgotten; where there is no such folder, a place with no files."""
    try:
        return cache_dir() / name
    except UserError:
        return Path(os.devnull) / name


def processor_name() -> str:
    """The processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def read_speed(setup: str, micro_batch: int) -> Speed | None:
    """The measured speed with the nearest micro-batch; None if there is none, or all are too old."""
    entries = _valid(_read().get(setup))
    if not entries:
        return None
    entry = entries[min(entries, key=lambda size: abs(int(size).bit_length() - micro_batch.bit_length()))]
    return Speed(entry["tokens_per_second"], entry["compile_seconds"])


def record_speed(setup: str, micro_batch: int, speed: Speed, busy: bool = False) -> None:
    """Keep a measurement, unless a faster one is there that is not too old. `busy`: other programs had the processor.

    A cache that cannot be written is not an error.
    """
    path = _path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with wait_for_lock(path, lambda: None):
            speeds = _read()
            entries = _valid(speeds.get(setup))
            before = entries.get(str(micro_batch))
            if before is None or before["busy"] > busy or before["tokens_per_second"] <= speed.tokens_per_second:
                entries[str(micro_batch)] = {**speed._asdict(), "busy": busy, "time": time.time()}
            write_json(path, {**speeds, setup: entries})
    except OSError as error:
        logger.debug("cannot keep the measured speed: %s", error)


def _path() -> Path:
    return optional_cache_file("speeds.json")


def _read() -> dict[str, Any]:
    speeds = read_json(_path())
    return speeds if isinstance(speeds, dict) else {}


def _valid(entries: Any) -> dict[str, dict[str, Any]]:
    """The complete entries that are not too old, by micro-batch."""
    if not isinstance(entries, dict):
        return {}
    return {size: entry for size, entry in entries.items() if size.isdigit() and _is_valid(entry)}


def _is_valid(entry: Any) -> bool:
    numbers = ("tokens_per_second", "compile_seconds", "time")
    if not isinstance(entry, dict) or not all(isinstance(entry.get(name), int | float) for name in numbers):
        return False
    busy = entry.get("busy") is True
    age = time.time() - entry["time"]
    return entry["tokens_per_second"] > 0 and -MAX_AGE < age < (MAX_AGE_BUSY if busy else MAX_AGE)
