"""The gradient of a micro-batch as a CUDA graph: recorded once, and then started as a whole.

A GPU computes the many kernels of a small model faster than Python starts them one by one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from talewright.config import Recipe
from talewright.model.cost import training_flops

logger = logging.getLogger(__name__)

FLOPS_PER_LAYER = 6e11
"""Of a micro-batch. With more, a GPU that computes 4e14 FLOP/s takes 1.5 ms for a layer, as long as Python does: on an
H200's host, 12 compiled layers took 21 ms, of which the GPU computed for 8.7 (docs/LOG.md)."""
WARM_UP_PASSES = 3
"""Before recording, as torch's documentation has it: libraries allocate, and torch.compile compiles."""

ComputeGradient = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Given inputs (B, T), targets (B, T) and the batch's number of real targets, adds to the gradients of parameters and
returns losses (1,)."""


class GradientGraph:
    """Replays what `compute` does. Gradients are added to tensors that stay: they are zeroed, not dropped."""

    def __init__(
        self, compute: ComputeGradient, shape: tuple[int, int], device: torch.device, parameters: Iterable[Tensor]
    ) -> None:
        """Record `compute` for inputs of that shape, all of whose targets are real. Gradients are 0 afterwards.

        Raises RuntimeError if it cannot be recorded, for example because the host waits for a value.
        """
        self.inputs, self.targets = (torch.zeros(shape, dtype=torch.int64, device=device) for _ in range(2))
        self.count = torch.ones((), device=device)
        side, current = torch.cuda.Stream(device), torch.cuda.current_stream(device)
        side.wait_stream(current)
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_PASSES):
                compute(self.inputs, self.targets, self.count)
        current.wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.losses = compute(self.inputs, self.targets, self.count)
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.zero_()

    def replay(self, inputs: Tensor, targets: Tensor, count: Tensor) -> Tensor:
        """What `compute` would return: a tensor that the next call overwrites."""
        for recorded, new in ((self.inputs, inputs), (self.targets, targets), (self.count, count)):
            recorded.copy_(new)
        self.graph.replay()
        return self.losses


def python_is_the_limit(recipe: Recipe, micro_batch: int) -> bool:
    """Whether a fast GPU would compute a micro-batch sooner than Python starts its kernels."""
    flops = training_flops(recipe.model, recipe.sequence_length) * micro_batch * recipe.sequence_length
    return flops < FLOPS_PER_LAYER * recipe.model.n_layers


def record_gradient(
    compute: ComputeGradient, shape: tuple[int, int], device: torch.device, parameters: Iterable[Tensor]
) -> GradientGraph | None:
    """The gradient's graph, or None, with a warning, if it cannot be recorded: training is then slower, not wrong."""
    parameters = list(parameters)
    try:
        return GradientGraph(compute, shape, device, parameters)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        logger.warning("training without a CUDA graph: %s", str(error).splitlines()[0])
        for parameter in parameters:
            parameter.grad = None
        return None
