"""What this machine has, and what Talewright uses of it."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from talewright.machine.compilers import compiler
from talewright.machine.device import default_device, device_name, versions
from talewright.machine.limits import memory_available, total_memory
from talewright.machine.peak import known_peaks
from talewright.machine.precision import choose_precision

EXTRAS = ("datasets", "pyarrow", "zstandard", "tensorboard", "wandb", "trackio", "mlflow", "lightning", "transformers")
"""Optional packages to look for."""


def machine_facts() -> dict[str, Any]:
    """Versions, device, memory, disk, precision, measured peaks, compiler and optional packages, as plain values."""
    device = default_device()
    return {
        **versions(),
        "system": platform.platform(),
        "device": device_name(device),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_bytes": total_memory(),
        "available_memory_bytes": memory_available(),
        "free_disk_bytes": shutil.disk_usage(Path.cwd()).free,
        "precision": choose_precision("auto", device),
        "peaks": known_peaks(),
        "compiler": compiler(),
        "extras": {name: find_spec(name) is not None for name in EXTRAS},
    }
