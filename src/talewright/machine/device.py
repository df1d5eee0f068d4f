"""The device that models run on, and the software around it."""

from __future__ import annotations

import logging
import platform
import re
import sys
import warnings
from functools import cache

import torch

from talewright.errors import UserError
from talewright.version import __version__

logger = logging.getLogger(__name__)


def default_device() -> torch.device:
    """The first GPU that this torch can compute on, otherwise the CPU. Warns once of a GPU that it cannot use."""
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        reason = _unsupported_reason(index)
        if reason is None:
            return torch.device("cuda", index) if index else torch.device("cuda")
        _warn_once(f"{_gpu(index)} is not used: {reason}")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def choose_device(name: str | torch.device | None = None) -> torch.device:
    """The device of that name: cpu, cuda, cuda:N or mps; `default_device()` if it is None.

    Raises UserError if there is no such device here, or this torch cannot compute on it.
    """
    if name is None:
        return default_device()
    if not re.fullmatch(r"cuda(:\d+)?|(cpu|mps)(:0)?", str(name), re.ASCII):
        raise UserError(f"--device is {name}; it is cpu, cuda, mps, or one of several GPUs, as in cuda:1")
    kind, _, index = str(name).partition(":")
    problem = None
    if kind == "cuda":
        problem = _cuda_problem(int(index or 0))
    elif kind == "mps" and not torch.backends.mps.is_available():
        problem = "there is no Apple GPU that this torch can use; use --device cpu"
    if problem is not None:
        raise UserError(f"--device {name}: {problem}")
    return torch.device(name)


def _cuda_problem(index: int) -> str | None:
    """Why that NVIDIA GPU cannot be used; None if it can."""
    if not torch.backends.cuda.is_built():
        return f"this torch has no CUDA: {torch.__version__}. Install one that has (pytorch.org), or use --device cpu"
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        return "torch finds no GPU; check the driver (nvidia-smi) and CUDA_VISIBLE_DEVICES, or use --device cpu"
    if index >= count:
        return f"this machine has {count} GPU{'s' if count > 1 else ''}: {', '.join(map(_gpu, range(count)))}"
    reason = _unsupported_reason(index)
    return reason and f"{_gpu(index)} cannot be used: {reason}, or use --device cpu"


def _unsupported_reason(index: int) -> str | None:
    """Why this torch cannot compute on that NVIDIA GPU; None if it can.

    Machine code (sm_XY) runs on GPUs of capability X.Y and later ones of the same X; intermediate code (compute_XY) is
    compiled for any later GPU. Code with an `a` at its end is for one capability only.
    """
    built = torch.cuda.get_arch_list()
    if torch.version.hip is not None or not built:  # AMD's have other names
        return None
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", r"(?s).*(cuda|compute) capability", UserWarning
        )  # torch's own words on the same
        major, minor = torch.cuda.get_device_capability(index)
    for kind, x, y, only in re.findall(r"(sm|compute)_(\d+)(\d)(a?)", " ".join(built)):
        code, here = (int(x), int(y)), (major, minor)
        if code == here or (code < here and not only and (kind == "compute" or int(x) == major)):
            return None
    return (
        f"it has CUDA capability {major}.{minor}, and torch {torch.__version__} was built for {', '.join(built)}. "
        "Install a torch that supports it (pytorch.org)"
    )


def _gpu(index: int) -> str:
    return f"cuda:{index} ({torch.cuda.get_device_name(index)})"


@cache
def _warn_once(message: str) -> None:
    logger.warning("%s", message)


def device_name(device: torch.device, processes: int = 1) -> str:
    """The device's name for people: "2 CPU cores", "NVIDIA H100", "4 x NVIDIA H100"."""
    if device.type == "cpu":
        cores = torch.get_num_threads()
        name = f"{cores} CPU core{'s' if cores != 1 else ''}"
    else:
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else "Apple GPU"
    return name if processes == 1 else f"{processes} x {name}"


def versions() -> dict[str, str]:
    """Versions of the software and kind of the machine that a run's numbers depend on."""
    return {
        "talewright": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": f"{sys.platform}-{platform.machine()}",
    }


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
