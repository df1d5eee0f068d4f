"""What came of a step, read from the device without letting it wait."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from talewright.run.checkpoint import TrainState


@dataclass(frozen=True)
class StepResult:
    """What came of one batch."""

    updated: bool
    """Whether the weights changed: not if the loss or the gradient was not finite."""
    overflowed: bool
    """Whether only the scaled gradient of fp16 was not finite: the scale was too large, and the batch is not at fault."""
    figures: dict[str, float]
    """loss, gradient_norm, learning_rate, tokens_per_second; with a teacher plain_loss."""
    first_sample: int
    """The number of the batch's first sample in the endless order."""
    signal: int | None
    """A stop signal that one of the processes received."""
    state: TrainState
    """That of the run after this batch."""


class Launched(NamedTuple):
    """A step that was launched on the device."""

    figures: dict[str, float]
    """Those that the host knows."""
    names: list[str]
    """Of the values."""
    values: Tensor
    shared: Tensor
    """The highest signal and training time of all processes, (2,)."""
    first_sample: int
    tokens: int
    copied: torch.cuda.Event | None
    """When the values are on the host; None if they are."""


class StepQueue:
    """The steps launched and not yet read.

    On a CUDA device a step is read while the device computes the next one, so that it never waits for the host.
    """

    def __init__(self, device: torch.device) -> None:
        self.kept = 1 if device.type == "cuda" else 0
        self.steps: deque[Launched] = deque()

    def __len__(self) -> int:
        return len(self.steps)

    def append(self, step: Launched) -> None:
        """Start to copy the step's values to the host."""
        values, shared = (tensor.to("cpu", non_blocking=self.kept > 0) for tensor in (step.values, step.shared))
        copied = None
        if self.kept:  # what is copied is complete only after this event
            copied = torch.cuda.Event()
            copied.record()
        self.steps.append(step._replace(values=values, shared=shared, copied=copied))

    def read(self, everything: bool = False) -> list[Launched]:
        """Wait for the steps that are due: all but the newest, or all."""
        ready = []
        while len(self.steps) > (0 if everything else self.kept):
            step = self.steps.popleft()
            if step.copied is not None:
                step.copied.synchronize()
            ready.append(step)
        return ready
