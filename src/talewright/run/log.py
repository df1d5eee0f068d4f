"""The log of a run: `log.jsonl`, `samples.jsonl` and, if wanted, experiment trackers (trackers.py)."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from talewright.errors import UserError
from talewright.files import error_reason, json_text, write_text_atomic
from talewright.run.trackers import Trackers

logger = logging.getLogger(__name__)

TAIL = 256
"""Bytes at the end of what was read of a log, by which it is known again."""


class LineFile:
    """A file that lines are appended to. Lines that a full disk does not take are kept and written later."""

    def __init__(self, path: Path) -> None:
        """Open or create the file. Raises OSError if that fails."""
        self.path, self.pending = path, bytearray()
        self.file = path.open("ab", buffering=0)
        self.size = self.file.tell()

    def append(self, value: dict[str, Any], **options: Any) -> None:
        self.pending += (json_text(value, **options) + "\n").encode()

    def flush(self) -> None:
        """Write the pending lines. Raises OSError if the disk does not take them all; then none is written."""
        if not self.pending:
            return
        try:
            written = self.file.write(self.pending)
            if written < len(self.pending):  # a full disk takes a part, and raises at the next byte
                written += self.file.write(self.pending[written:])
        except OSError:
            self.file.truncate(self.size)  # no torn line
            raise
        del self.pending[:written]
        self.size += written

    def sync(self) -> None:
        """Wait until all lines are on the disk. Raises OSError if that fails."""
        self.flush()
        os.fsync(self.file.fileno())

    def close(self) -> None:
        self.file.close()


class RunLog:
    """Writes events to `log.jsonl`, one JSON object per line with its kind under `event`; samples to `samples.jsonl`.

    The trackers get the numbers of each event and the samples. A full disk is logged once as a warning, and stops
    nothing.
    """

    def __init__(self, run: Path, trackers: Trackers | None = None) -> None:
        """Raises UserError if the folder cannot be written."""
        self.failing = False
        try:
            self.events, self.samples = LineFile(run / "log.jsonl"), LineFile(run / "samples.jsonl")
        except OSError as error:
            raise UserError(f"cannot write the log in {run}: {error.strerror}") from None
        self.trackers = trackers or Trackers()

    def write(self, event: str, **values: Any) -> None:
        """Log an event. A number that is not finite becomes null and is named in `not_finite`."""
        self.events.append({"event": event, **values})
        self._each_file(LineFile.flush)
        if "step" in values:
            numbers = {name: float(value) for name, value in values.items() if isinstance(value, (int, float))}
            del numbers["step"]
            self.trackers.log_metrics({f"{event}/{name}": value for name, value in numbers.items()}, values["step"])

    def sample(self, step: int, prompt: str, text: str) -> None:
        self.samples.append({"step": step, "prompt": prompt, "text": text}, ensure_ascii=False)
        self._each_file(LineFile.flush)
        self.trackers.log_text(text, step)

    def sync(self) -> None:
        """Bring everything to the disk, before a checkpoint that a resumed run continues from."""
        self._each_file(LineFile.sync)
        self.trackers.flush()

    def close(self) -> None:
        self.sync()
        for file in (self.events, self.samples):
            if file.pending:
                logger.warning(f"the last {file.pending.count(10):,} lines of {file.path} could not be written")
            file.close()
        self.trackers.close()

    def _each_file(self, action: Callable[[LineFile], None]) -> None:
        try:
            for file in (self.events, self.samples):
                action(file)
        except OSError as error:
            if not self.failing:
                logger.warning(f"cannot write the log: {error.strerror}. Training continues; its lines are kept")
            self.failing = True
        else:
            self.failing = False


def read_log(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a `log.jsonl`, in order. A torn line, left by a run that was killed, is skipped."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        yield from _events(file)


def _events(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict):
            yield event


class LogFollower:
    """Reads a log again and again while it grows, and each time only what is new."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file, self._end, self._last = -1, 0, b""

    def new_events(self) -> tuple[list[dict[str, Any]], bool]:
        """The events of the whole lines since the last call, and whether the log was rewritten: then they are all of
        its events, and those before no longer hold. A resumed run rewrites its log.
        """
        try:
            with self.path.open("rb") as file:
                rewritten = not self._continues(file)
                start = 0 if rewritten else self._end
                file.seek(start)
                data = file.read()
                self._file, self._end = os.fstat(file.fileno()).st_ino, start + data.rfind(b"\n") + 1
                file.seek(max(0, self._end - TAIL))
                self._last = file.read(min(TAIL, self._end))
        except OSError:
            rewritten, data = self._file != -1, b""
            self._file, self._end, self._last = -1, 0, b""
        return list(_events(data[: data.rfind(b"\n") + 1].decode(errors="replace").split("\n"))), rewritten

    def _continues(self, file: IO[bytes]) -> bool:
        """Whether the file is that of the last call, with nothing but more lines."""
        file.seek(max(0, self._end - TAIL))
        return os.fstat(file.fileno()).st_ino == self._file and file.read(len(self._last)) == self._last


def rewind(run: Path, step: int, skipped: int = 0) -> None:
    """Delete what was logged after that step and that number of skipped batches; a resumed run logs it again.

    Raises UserError if the files cannot be written.
    """
    for name in ("log.jsonl", "samples.jsonl"):
        path = run / name
        kept = [event for event in read_log(path) if _is_before(event, step, skipped)]
        try:
            write_text_atomic(path, "".join(json_text(event, ensure_ascii=False) + "\n" for event in kept))
        except OSError as error:
            raise UserError(f"cannot write {path}: {error_reason(error)}; it is unchanged") from None


def _is_before(event: dict[str, Any], step: int, skipped: int) -> bool:
    key, limit = ("skipped", skipped) if event.get("event") in ("skipped", "overflow") else ("step", step)
    value = event.get(key, 0)
    return not isinstance(value, (int, float)) or value <= limit
