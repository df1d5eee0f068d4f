"""How far a preparation is, noted on disk beside what it made, so that it can go on."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from talewright.data.shards import Written
from talewright.data.spool import Counts, State
from talewright.files import read_json, write_json

_Made = TypeVar("_Made", State, Counts, Written)


class Notes:
    """How far a preparation is, kept on disk beside what it made."""

    def __init__(self, path: Path, request: dict[str, Any]) -> None:
        self.path, self.request = path, request
        self.clear()
        found = read_json(path)
        if isinstance(found, dict) and found.get("request") == request:
            with contextlib.suppress(KeyError, TypeError, AttributeError):  # of another version: begin again
                self._take(found)

    def clear(self) -> None:
        """Nothing is done."""
        self.versions: list[str] | None = None
        self.roles: dict[str, State] = {}
        self.read = self.tokenizer = False
        self.splits: dict[str, Written] = {}

    def _take(self, found: dict[str, Any]) -> None:
        counts = {name: _counted(Counts, state.pop("counts")) for name, state in found["roles"].items()}
        roles = {name: _counted(State, state, counts=counts[name]) for name, state in found["roles"].items()}
        splits = {name: _counted(Written, written) for name, written in found["splits"].items()}
        self.versions, self.read, self.tokenizer = found["versions"], found["read"] is True, found["tokenizer"] is True
        self.roles, self.splits = roles, splits

    def write(self) -> None:
        write_json(
            self.path,
            {
                "request": self.request,
                "versions": self.versions,
                "read": self.read,
                "tokenizer": self.tokenizer,
                "roles": {name: asdict(state) for name, state in self.roles.items()},
                "splits": {name: asdict(written) for name, written in self.splits.items()},
            },
        )


def _counted(kind: type[_Made], values: dict[str, Any], **more: Any) -> _Made:
    """Of plain values, all of them counts, or true and false. Raises TypeError where one is something else."""
    kinds = {name: type(value) for name, value in vars(kind()).items()}
    if any(type(value) is not kinds.get(name) or value < 0 for name, value in values.items()):
        raise TypeError("what was noted is not what is counted")
    return kind(**values, **more)
