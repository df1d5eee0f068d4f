"""Whether torch.compile works on this machine, and if not, why."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

import torch

from talewright.errors import UserError
from talewright.files import cache_dir

TIME_LIMIT = 180.0
"""Seconds after which a compiler counts as broken. A first compilation takes 10 to 30 on two busy cores."""
CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
OTHER_CACHE = f"set {CACHE_VARIABLE} to another folder"
REASONS = {
    "Python.h": "the C++ compiler does not find Python's headers (Python.h); install python3-dev",
    "omp.h": "the C++ compiler has no OpenMP; install g++, or OpenMP for yours (libomp-dev)",
    "fopenmp": "the C++ compiler has no OpenMP; install g++, or OpenMP for yours (libomp-dev)",
    "lgomp": "the C++ compiler has no OpenMP; install g++, or OpenMP for yours (libomp-dev)",
    "TritonMissing": "Triton, which compiles for the GPU, is missing or too old; pip install triton",
    "GPUTooOldForTriton": "Triton supports no GPU with a compute capability below 7.0; set train.compile false",
    "find C compiler": "Triton finds no C compiler; install gcc, or set CC to one",
    "No space left": f"there is no space for compiled code; free some, or {OTHER_CACHE}",
}
"""What is wrong and what helps, by a part of the error's name or message."""


def compiler() -> str | None:
    """The C++ compiler that torch.compile would use on a CPU, or None."""
    return os.environ.get("CXX") or next(filter(None, map(shutil.which, ("g++", "clang++", "c++"))), None)


def keep_compiled_code() -> None:
    """Let torch keep what it compiles in our cache folder, so that the next run of a shape finds it there. Its own
    folder is a temporary one. A folder that the user has named stays; one that cannot be written changes nothing.
    """
    if CACHE_VARIABLE not in os.environ:
        with suppress(OSError, UserError):
            folder = cache_dir() / "compiled"
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK):
                os.environ[CACHE_VARIABLE] = str(folder)


@cache
def compile_failure(device_type: str) -> str | None:
    """Why torch.compile does not work on this kind of device and what would help, or None if it does.

    It is found out by compiling a small function, once in a process: seconds, which the compile cache shortens.
    """
    keep_compiled_code()
    if device_type == "cpu" and shutil.which(compiler() or "") is None:
        return f"there is no C++ compiler {compiler() or ''}".rstrip() + "; install g++, or set CXX to a compiler"
    failures: list[Exception] = []

    def attempt() -> None:
        try:
            _compile_small_function(device_type)
        except Exception as error:  # torch raises many kinds, and plain RuntimeError and OSError among them
            failures.append(error)

    with _quiet():
        # A thread, because a compiler that hangs cannot be interrupted. The main thread goes on and handles signals.
        thread = threading.Thread(target=attempt, daemon=True)
        thread.start()
        thread.join(TIME_LIMIT)
    if thread.is_alive():
        return f"compiling a small function took more than {TIME_LIMIT:.0f} seconds; check the compiler"
    return explain_failure(failures[0]) if failures else None


def explain_failure(error: BaseException) -> str:
    """One sentence on a failed compilation: what is wrong and, if it is known, what helps."""
    inner = getattr(error, "inner_exception", error)
    # a C++ compiler's output, without the command that it ran
    text = f"{type(inner).__name__}: {getattr(inner, 'output', inner)}"
    if getattr(inner, "errno", None) == errno.ENOSPC:
        return REASONS["No space left"]
    if isinstance(inner, OSError) and inner.filename:
        return f"{inner.filename} cannot be used to compile ({inner.strerror}); {OTHER_CACHE}"
    for part, reason in REASONS.items():
        if part in text:
            return reason
    if "InvalidCxxCompiler" in text or "list index out of range" in text:
        return f"the C++ compiler {compiler()} does not work; repair it, or set CXX to one that does"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    line = next((line for line in lines if "error:" in line), lines[0])
    return f"the compiler failed: {line[:200]}"


def _compile_small_function(device_type: str) -> None:
    """Compile and run a function and its gradient. Raises RuntimeError if the result is wrong."""
    x = torch.arange(64.0, device=device_type, requires_grad=True)
    total = torch.compile(_sum_of_squares, fullgraph=True)(x)
    (gradient,) = torch.autograd.grad(total, x)
    if not torch.equal(gradient, 2 * x):
        raise RuntimeError("compiled code computes wrong values")


def _sum_of_squares(x: torch.Tensor) -> torch.Tensor:
    return (x * x).sum()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the messages of torch's compiler: what they say is summed up in one sentence."""
    torch_logger = logging.getLogger("torch")
    level = torch_logger.level
    torch_logger.setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            torch_logger.setLevel(level)
