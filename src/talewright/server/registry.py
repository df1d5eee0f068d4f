"""The runs that a studio offers: their names, their checkpoints, and the models in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from talewright.errors import UserError
from talewright.machine import choose_device
from talewright.model.cost import count_parameters
from talewright.model.gpt import GPT
from talewright.run import RunFolder
from talewright.run.draft import NgramDraft
from talewright.run.history import HistoryFollower
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
        self._logs: dict[str, HistoryFollower] = {}
        self._reading = threading.Lock()

    @property
    def names(self) -> list[str]:
        return list(self._runs)

    def choices(self) -> list[str]:
        """What can be chosen now: each run (its best checkpoint), then its other checkpoints, newest first."""
        return [choice for name in self._runs for choice in (name, *self._other_checkpoints(name))]

    def options(self) -> list[tuple[str, str]]:
        """The choices, each after its `summary`."""
        return [(self.summary(choice), choice) for choice in self.choices()]

    def summary(self, choice: str) -> str:
        """A model in a line, as far as it is known: "mine · 0.87M · 2.07 bits per byte". The step is left out if it is
        that of the run's best checkpoint.
        """
        name, _, which = choice.partition(STEP)
        step, best = self._step(name, which or "best"), self._step(name, "best")
        parts = [name, *([f"step {step:,}"] if step != best else [])]
        parts.append(f"{count_parameters(self._runs[name].recipe.model).total / 1e6:.2f}M")
        bits = self._bits_per_byte(name).get(step)
        return " · ".join([*parts, *([f"{bits:.2f} bits per byte"] if bits is not None else [])])

    def default_pair(self) -> tuple[str, str]:
        """Two choices to compare: the first two runs; or of one run its best and its newest other checkpoint."""
        first, *others = self.names
        others = others or self._other_checkpoints(first)
        return first, (others or [first])[0]

    def check(self, choice: str) -> None:
        """Raise UserError if the choice names no run that is offered here, or a step that the run does not have."""
        name, _, step = choice.partition(STEP)
        if name not in self._runs:
            raise UserError(f"no run {name[:80]!r} is offered here; there are " + ", ".join(self._runs))
        steps = ["best", "last", *map(str, self._runs[name].steps)]
        if step and step not in steps:
            self._check_present(name)
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
        self._check_present(name)
        return self._runs[name]

    def _check_present(self, name: str) -> None:
        if not RunFolder.is_run(self._runs[name].path):
            raise UserError(f"the run {name} is gone: its folder was moved or deleted")

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

    def _step(self, name: str, which: str) -> int | None:
        """The step of a checkpoint: best, last, or a number. None if the run has no checkpoint of any step."""
        if which.isdecimal():
            return int(which)
        with suppress(UserError):  # it has no checkpoint yet, or is gone
            return int(self._runs[name].find_checkpoint(which).name.removeprefix("step-"))
        return None

    def _other_checkpoints(self, name: str) -> list[str]:
        best = self._step(name, "best")
        return [f"{name}{STEP}{step}" for step in reversed(self._runs[name].steps) if step != best]

    def _bits_per_byte(self, name: str) -> dict[int | None, float]:
        """By step, those of the run's evaluations."""
        with self._reading:
            if name not in self._logs:
                self._logs[name] = HistoryFollower(self._runs[name].path)
            evaluations = self._logs[name].read().evaluations
            pairs = zip(evaluations["step"], evaluations["bits_per_byte"], strict=True)
            return {step: bits for step, bits in pairs if bits is not None}
