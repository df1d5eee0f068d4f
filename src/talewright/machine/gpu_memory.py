"""A GPU that is full: one sentence instead of torch's error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch

from talewright.errors import UserError

SIGNS = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "MPS backend out of memory")
"""What torch says of a full GPU where it does not raise OutOfMemoryError: as CUDA or cuBLAS starts, and on Apple's."""


@contextmanager
def gpu_memory_errors(device: torch.device) -> Iterator[None]:
    """Within, a full GPU raises UserError, which says how much of its memory is free and what helps."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and not any(sign in str(error) for sign in SIGNS):
            raise
        raise UserError(
            f"the GPU is out of memory: {_memory(device)}. Close other programs that use it, generate or inspect fewer "
            "or shorter stories at a time, or use --device cpu"
        ) from None


def _memory(device: torch.device) -> str:
    """The device, with its free and total memory where these can be had."""
    with suppress(RuntimeError):  # CUDA itself could not start
        if device.type == "cuda":
            free, total = torch.cuda.mem_get_info(device)
            name = torch.cuda.get_device_name(device)
        else:
            total, name = torch.mps.recommended_max_memory(), "Apple GPU"
            free = max(0, total - torch.mps.driver_allocated_memory())
        return f"{device} ({name}) has {free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
    return f"{device} has no memory free"
