"""What a run writes down: `log.jsonl`, `samples.jsonl` and, where wanted, TensorBoard's event files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from talewright.errors import UserError
from talewright.files import write_text_atomic


class Lines:
    """A file of lines that is only ever added to, none lost: what the disk does not take is kept, and tried again."""

    def __init__(self, path: Path) -> None:
        """Open or begin the file. Raises OSError where it cannot be."""
        self.path, self.waiting = path, bytearray()
        self.handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
        self.size = os.lseek(self.handle, 0, os.SEEK_END)

    def add(self, value: dict[str, Any], **options: Any) -> None:
        self.waiting += (json.dumps(value, **options) + "\n").encode()

    def flush(self) -> None:
        """Hand what waits to the system. Raises OSError where it takes not all; then it took nothing."""
        if not self.waiting:
            return
        try:
            written = os.pwrite(self.handle, self.waiting, self.size)
            if written < len(self.waiting):  # a disk that is full takes a part, and says so at the next byte
                written += os.pwrite(self.handle, self.waiting[written:], self.size + written)
        except OSError:
            os.ftruncate(self.handle, self.size)  # no torn line
            raise
        del self.waiting[:written]
        self.size += written

    def sync(self) -> None:
        """Wait until all is on the disk. Raises OSError where it cannot be."""
        self.flush()
        os.fsync(self.handle)

    def close(self) -> None:
        os.close(self.handle)


class RunLog:
    """Writes one JSON object a line to `log.jsonl`, its kind under `event`; samples go to `samples.jsonl`.

    A disk that takes no more, or a TensorBoard that fails, is said once by `say`, and stops nothing.
    """

    def __init__(self, run: Path, tensorboard: bool, say: Callable[[str], None], after: int = 0) -> None:
        """`after` is the step that a resumed run goes on from. Raises UserError where the folder cannot be written."""
        self.say, self.faulty = say, False
        try:
            self.events, self.samples = Lines(run / "log.jsonl"), Lines(run / "samples.jsonl")
        except OSError as error:
            raise UserError(f"cannot write the log in {run}: {error.strerror}") from None
        self.board = _board(run, after) if tensorboard else None

    def write(self, event: str, **values: Any) -> None:
        self.events.add({"event": event, **values})
        self._try(Lines.flush)
        if self.board is not None and "step" in values:
            numbers = {n: v for n, v in values.items() if isinstance(v, (int, float)) and n != "step"}
            for name, value in numbers.items():
                self._board_try("add_scalar", f"{event}/{name}", value, values["step"])

    def sample(self, step: int, prompt: str, text: str) -> None:
        self.samples.add({"step": step, "prompt": prompt, "text": text}, ensure_ascii=False)
        self._try(Lines.flush)
        self._board_try("add_text", "sample", text, step)

    def sync(self) -> None:
        """Have everything on the disk, before a checkpoint that goes on from here."""
        self._try(Lines.sync)

    def close(self) -> None:
        self._try(Lines.sync)
        for lines in (self.events, self.samples):
            if lines.waiting:
                self.say(f"the last {lines.waiting.count(10):,} lines of {lines.path} could not be written")
            lines.close()
        self._board_try("close")

    def _try(self, action: Callable[[Lines], None]) -> None:
        try:
            for lines in (self.events, self.samples):
                action(lines)
        except OSError as error:
            if not self.faulty:
                self.say(f"the log cannot be written: {error.strerror}. Training goes on; its lines wait for the disk")
            self.faulty = True
        else:
            self.faulty = False

    def _board_try(self, action: str, *values: Any) -> None:
        if self.board is None:
            return
        try:
            getattr(self.board, action)(*values)
        except Exception as error:  # a tracker is not worth a run, whatever it stumbles over
            self.board = None
            self.say(f"TensorBoard gets no more figures: {error}. Training goes on")


def read_log(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a `log.jsonl`, in order; a torn last line, of a run that was killed, is passed over."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(event, dict):
                yield event


def rewind(run: Path, step: int, skipped: int = 0) -> None:
    """Take back what was written after that step and so many skipped batches: a resumed run writes it again.

    Raises UserError where it cannot.
    """
    for name in ("log.jsonl", "samples.jsonl"):
        path = run / name
        kept = [event for event in read_log(path) if _is_before(event, step, skipped)]
        try:
            write_text_atomic(path, "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in kept))
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}; it is as it was") from None


def _is_before(event: dict[str, Any], step: int, skipped: int) -> bool:
    number, most = ("skipped", skipped) if event.get("event") == "skipped" else ("step", step)
    value = event.get(number, 0)
    return not isinstance(value, (int, float)) or value <= most


def _board(run: Path, after: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError('train.tensorboard needs TensorBoard: pip install "talewright[tensorboard]"') from None
    return SummaryWriter(str(run / "tensorboard"), purge_step=after + 1 if after else None)
