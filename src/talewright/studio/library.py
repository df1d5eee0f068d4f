"""The runs that a studio offers: their names, their checkpoints, and the models that are open."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from talewright.errors import UserError
from talewright.model.cost import count_parameters
from talewright.model.gpt import GPT
from talewright.run import RunFolder
from talewright.run.retention import find_checkpoint, steps
from talewright.tokenizer import Tokenizer

KEPT = 3
"""Models that stay open when nobody tells with them."""
BEST = "best"
STEP = " · step "
"""Between a run's name and a step, where a choice names one."""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A model that can tell, and where it comes from."""

    name: str
    """The run's, as the page shows it."""
    step: int
    model: GPT
    tokenizer: Tokenizer

    @property
    def choice(self) -> str:
        return f"{self.name}{STEP}{self.step}"

    @property
    def about(self) -> str:
        return f"{self.name}, step {self.step:,}"


class Library:
    """Runs by their names. A choice is "NAME" (its best checkpoint) or "NAME · step N"; no path comes from outside."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """Raises UserError where a folder is no run."""
        for folder in folders:
            RunFolder(folder)
        self.folders = _named(folders)
        self._open: OrderedDict[tuple[str, int, int], Opened] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        return list(self.folders)

    def choices(self) -> list[str]:
        """What can tell now: each run at its best, then at each of its checkpoints, the newest first."""
        found = []
        for name, folder in self.folders.items():
            found += [name, *(f"{name}{STEP}{step}" for step in reversed(steps(folder)))]
        return found

    def pair(self) -> tuple[str, str]:
        """Two to compare: the first two runs; of one run its best checkpoint and the newest other one, if there is."""
        first, *others = self.names
        if others:
            return first, others[0]
        folder = self.folders[first]
        best = find_checkpoint(folder, BEST).name if steps(folder) else ""
        found = [f"{first}{STEP}{step}" for step in reversed(steps(folder)) if f"step-{step}" != best]
        return first, (found or [first])[0]

    def folder(self, name: str) -> Path:
        """Raises UserError where no run of that name is offered."""
        if name not in self.folders:
            raise UserError(f"no run {name[:80]!r} is offered here; there are " + ", ".join(self.folders))
        return self.folders[name]

    def open(self, choice: str) -> Opened:
        """The model of a choice, read from the disk where it is not open. Raises UserError, with the run's name for its
        folder, where it is gone, has no checkpoint yet, or is damaged.
        """
        name, _, step = choice.partition(STEP)
        folder = self.folder(name)
        with self._lock:
            try:
                return self._opened(name, folder, step or BEST)
            except UserError as error:
                raise UserError(public_words(error, name, folder)) from None

    def size(self, name: str) -> str:
        """The run in a few words. Raises UserError where it is gone."""
        folder = self.folder(name)
        try:
            recipe = RunFolder(folder).recipe
        except UserError as error:
            raise UserError(public_words(error, name, folder)) from None
        return f"{name}: {count_parameters(recipe.model).total / 1e6:.2f} million parameters"

    def _opened(self, name: str, folder: Path, which: str) -> Opened:
        if not RunFolder.is_run(folder):
            raise UserError(f"the run {name} is gone: its folder was moved or deleted while the page was open")
        checkpoint = find_checkpoint(folder, which)
        step = int(checkpoint.name.removeprefix("step-"))
        try:
            written = (checkpoint / "manifest.json").stat().st_mtime_ns
        except OSError:  # damaged, or cleared away just now: let it be said below
            written = 0
        key = (name, step, written)
        if key not in self._open:
            self._open[key] = self._load(name, folder, which)
        self._open.move_to_end(key)
        while len(self._open) > KEPT:
            self._open.popitem(last=False)
        return self._open[key]

    def _load(self, name: str, folder: Path, which: str) -> Opened:
        run = RunFolder(folder)
        model, checkpoint = run.load_model(which)
        return Opened(name=name, step=int(checkpoint.name.removeprefix("step-")), model=model, tokenizer=run.tokenizer)


def public_words(error: Exception, name: str, folder: Path) -> str:
    """An error's words for visitors: where the run lies on this machine is not theirs to know."""
    return str(error).replace(str(folder.resolve()), name).replace(str(folder), name)


def _named(folders: Sequence[Path]) -> dict[str, Path]:
    """Each folder under its own name, numbered where two have the same."""
    found: dict[str, Path] = {}
    for folder in folders:
        name, number = folder.resolve().name, 2
        while name in found:
            name, number = f"{folder.resolve().name} ({number})", number + 1
        found[name] = folder
    return found
