"""What a run writes down: `log.jsonl`, `samples.jsonl` and, where wanted, TensorBoard's event files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from talewright.errors import UserError


class RunLog:
    """Appends one JSON object a line to `log.jsonl`, its kind under `event`; samples go to `samples.jsonl`."""

    def __init__(self, run: Path, tensorboard: bool) -> None:
        self.run = run
        self.file = (run / "log.jsonl").open("a", encoding="utf-8")
        self.board = _board(run) if tensorboard else None

    def write(self, event: str, **values: Any) -> None:
        self.file.write(json.dumps({"event": event, **values}) + "\n")
        if event != "step":
            self.file.flush()
        if self.board is not None and "step" in values:
            for name, value in values.items():
                if isinstance(value, (int, float)) and name != "step":
                    self.board.add_scalar(f"{event}/{name}", value, values["step"])

    def sample(self, step: int, prompt: str, text: str) -> None:
        with (self.run / "samples.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "prompt": prompt, "text": text}, ensure_ascii=False) + "\n")
        if self.board is not None:
            self.board.add_text("sample", text, step)

    def close(self) -> None:
        self.file.close()
        if self.board is not None:
            self.board.close()


def read_log(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a `log.jsonl`, in order; a torn last line, of a run that was killed, is passed over."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                yield event


def rewind(run: Path, step: int) -> None:
    """Take back what was written after that step: a resumed run writes it again."""
    for name in ("log.jsonl", "samples.jsonl"):
        path = run / name
        kept = [event for event in read_log(path) if event.get("step", 0) <= step]
        half = path.with_suffix(".partial")
        half.write_text("".join(json.dumps(event, ensure_ascii=False) + "\n" for event in kept), encoding="utf-8")
        half.replace(path)


def _board(run: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError('train.tensorboard needs TensorBoard: pip install "talewright[tensorboard]"') from None
    return SummaryWriter(str(run / "tensorboard"))
