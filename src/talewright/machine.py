"""What the machine has, and what a run will use of it: precision, threads, memory, the rate of its matrix products."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import sys
import time
from typing import TYPE_CHECKING, Literal

from talewright.errors import UserError

if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "bf16", "fp16"]


def keep_heap() -> None:
    """Have glibc keep freed memory instead of handing it back to the system.

    A training step frees and takes back tensors of tens of megabytes; by default each is fresh memory, and faulting
    its pages in costs more than the arithmetic on them. Elsewhere than on glibc this does nothing.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3  # mallopt's names for them, from malloc.h
    libc.mallopt(mmap_threshold, 2**30)
    libc.mallopt(trim_threshold, 2**31 - 1)
    libc.mallopt(top_pad, 2**26)


def choose_precision(wanted: str, device: torch.device) -> Precision:
    """The precision of matrix products on this device: the wanted one, or for `auto` the fastest that trains well.

    Raises UserError where the device cannot do what is wanted.
    """
    import torch

    if wanted == "auto":
        if device.type == "cuda":
            return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
        return "bf16" if device.type == "cpu" and _cpu_has_bf16() else "fp32"
    if wanted == "fp16" and device.type != "cuda":
        raise UserError(f"train.precision is fp16, which needs a GPU; on this {device.type} use auto, fp32 or bf16")
    return "fp32" if wanted == "fp32" else "bf16" if wanted == "bf16" else "fp16"


def default_device() -> torch.device:
    """The GPU where there is one, else the processor."""
    import torch

    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def torch_dtype(precision: Precision) -> torch.dtype:
    """torch's name of a precision."""
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def matmul_peak(device: torch.device, dtype: torch.dtype, seconds: float = 0.3) -> float:
    """Floating-point operations a second of large matrix products, the best of several, measured now."""
    import torch

    n = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    best, end = float("inf"), time.perf_counter() + seconds
    torch.mm(a, b)
    while best == float("inf") or time.perf_counter() < end:  # once at least, however busy the machine
        _wait(device)
        start = time.perf_counter()
        torch.mm(a, b)
        _wait(device)
        best = min(best, time.perf_counter() - start)
    return 2 * n**3 / best


def device_words(device: torch.device, processes: int = 1) -> str:
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

    import talewright

    return {
        "talewright": talewright.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": f"{sys.platform}-{platform.machine()}",
    }


def _cpu_has_bf16() -> bool:
    import torch

    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16") or found.get("bf16"))


def _wait(device: torch.device) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
