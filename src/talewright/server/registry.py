"""The runs that a studio offers: their names, their checkpoints, and the models in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from talewright.errors import UserError
from talewright.machine import choose_device
from talewright.model.cost import count_parameters
from talewright.model.gpt import GPT
from talewright.run import RunFolder
from talewright.run.draft import NgramDraft
from talewright.tokenizer import Tokenizer

MAX_LOADED = 3
"""Models that stay in memory."""
STEP = " · step "
"""Between a run's name and a step, in a choice that names one."""


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model in memory, and the checkpoint it comes from."""

    name: str
    """The run's, as the page shows it."""
    step: int
    model: GPT
    tokenizer: Tokenizer
    draft: NgramDraft | None = None

    @property
    def choice(self) -> str:
        return f"{self.name}{STEP}{self.step}"

    @property
    def label(self) -> str:
        return f"{self.name}, step {self.step:,}"


class ModelRegistry:
    """Runs by name. A choice is "NAME" (its best checkpoint) or "NAME · step N"; the page never passes a path."""

    def __init__(self, folders: Sequence[Path], device: str | None = None) -> None:
        """`device` is where the models compute, as `machine.choose_device` reads it. Raises UserError if a folder is
        not a run, or the device cannot be used.
        """
        self._runs: dict[str, RunFolder] = {}
        for run in map(RunFolder, folders):
            name, number = run.name, 2
            while name in self._runs:  # another folder of that name
                name, number = f"{run.name} ({number})", number + 1
            self._runs[name] = run
        self.device = choose_device(device)
        self._loaded: OrderedDict[tuple[str, str, int], LoadedModel] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        return list(self._runs)

    def choices(self) -> list[str]:
        """What can be chosen now: each run (its best checkpoint), then each of its checkpoints, newest first."""
        return [choice for name in self._runs for choice in (name, *self._checkpoints(name))]

    def default_pair(self) -> tuple[str, str]:
        """Two choices to compare: the first two runs; or of one run its best and its newest other checkpoint."""
        first, *others = self.names
        if not others:
            run = self._runs[first]
            best = run.find_checkpoint("best").name.removeprefix("step-") if run.steps else ""
            others = [choice for choice in self._checkpoints(first) if choice != f"{first}{STEP}{best}"]
        return first, (others or [first])[0]

    def check(self, choice: str) -> None:
        """Raise UserError if the choice names no run that is offered here, or a step that the run does not have."""
        name, _, step = choice.partition(STEP)
        if name not in self._runs:
            raise UserError(f"no run {name[:80]!r} is offered here; there are " + ", ".join(self._runs))
        steps = ["best", "last", *map(str, self._runs[name].steps)]
        if step and step not in steps:
            raise UserError(f"{name} has no checkpoint {step[:80]!r}; it has " + ", ".join(steps))

    def tokenizer(self, choice: str) -> Tokenizer:
        """The tokenizer of a choice. Raises UserError if its run or checkpoint is not there; nothing is loaded."""
        name, named, step = choice.partition(STEP)
        run = self.run(name)
        with self._names_for_paths(name, run.path):
            run.find_checkpoint(step if named else "best")
            return run.tokenizer

    def run(self, name: str) -> RunFolder:
        """The run of that name. Raises UserError if it is not offered, or is gone."""
        self.check(name)
        run = self._runs[name]
        if not RunFolder.is_run(run.path):
            raise UserError(f"the run {name} is gone: its folder was moved or deleted")
        return run

    def load(self, choice: str) -> LoadedModel:
        """The model of a choice, read from disk if it is not in memory. Raises UserError if it is gone, damaged, or has
        no checkpoint yet; the message shows the run's name instead of its path, which is not for users to know.
        """
        name, _, step = choice.partition(STEP)
        path = self.run(name).path
        with self._lock, self._names_for_paths(name, path):
            return self._load(name, path, step or "best")

    @staticmethod
    @contextmanager
    def _names_for_paths(name: str, path: Path) -> Iterator[None]:
        try:
            yield
        except UserError as error:
            raise UserError(str(error).replace(str(path.resolve()), name).replace(str(path), name)) from None

    def _load(self, name: str, path: Path, which: str) -> LoadedModel:
        checkpoint = self._runs[name].find_checkpoint(which)
        try:
            written = (checkpoint / "manifest.json").stat().st_mtime_ns
        except OSError:  # damaged or just deleted: loading reports it
            written = 0
        key = (checkpoint.name, name, written)
        if key not in self._loaded:
            run = RunFolder(path)  # as it is now
            model, checkpoint = run.load_model(which, self.device)
            step = int(checkpoint.name.removeprefix("step-"))
            self._loaded[key] = LoadedModel(
                name=name, step=step, model=model, tokenizer=run.tokenizer, draft=run.draft()
            )
        self._loaded.move_to_end(key)
        while len(self._loaded) > MAX_LOADED:
            self._loaded.popitem(last=False)
        return self._loaded[key]

    def describe(self, name: str) -> str:
        """The run's name and size."""
        return f"{name}: {count_parameters(self._runs[name].recipe.model).total / 1e6:.2f} million parameters"

    def _checkpoints(self, name: str) -> list[str]:
        return [f"{name}{STEP}{step}" for step in reversed(self._runs[name].steps)]
