"""The device that models run on, and the software around it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from typing import TYPE_CHECKING, Any

from talewright.version import __version__

if TYPE_CHECKING:
    import torch


def default_device() -> torch.device:
    """The GPU where there is one, else the processor."""
    import torch

    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def device_name(device: torch.device, processes: int = 1) -> str:
    """The device in words: "2 CPU cores", "NVIDIA H100", "4 x NVIDIA H100"."""
    import torch

    if device.type == "cpu":
        cores = torch.get_num_threads()
        name = f"{cores} CPU core{'s' if cores != 1 else ''}"
    else:
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else "Apple GPU"
    return name if processes == 1 else f"{processes} x {name}"


def compiler() -> str | None:
    """The C++ compiler that torch.compile would use on a CPU, or None."""
    return os.environ.get("CXX") or next(filter(None, map(shutil.which, ("g++", "clang++", "c++"))), None)


def versions() -> dict[str, str]:
    """Versions of what decides a run's figures."""
    import torch

    return {
        "talewright": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": f"{sys.platform}-{platform.machine()}",
    }


def machine_facts() -> dict[str, Any]:
    """What this machine has, and what Talewright uses of it."""
    from importlib.util import find_spec
    from pathlib import Path

    import torch

    from talewright.machine.peak import machine_peaks
    from talewright.machine.precision import choose_precision

    device = default_device()
    extras = ("datasets", "pyarrow", "zstandard", "tensorboard", "lightning", "transformers")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else None
    return {
        **versions(),
        "system": platform.platform(),
        "device": device_name(device),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_bytes": memory,
        "free_disk_bytes": shutil.disk_usage(Path.cwd()).free,
        "precision": choose_precision("auto", device),
        "peaks": machine_peaks(),
        "compiler": compiler(),
        "extras": {name: find_spec(name) is not None for name in extras},
    }


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
