"""The device that models run on, and the software around it."""

from __future__ import annotations

import platform
import sys

import torch

from talewright.version import __version__


def default_device() -> torch.device:
    """The GPU if there is one, otherwise the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


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
