"""Memory as Windows reports it. On another system, the functions here know nothing."""

from __future__ import annotations

import ctypes
from typing import Any, Literal


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX of the Windows API."""

    _fields_ = (
        ("length", ctypes.c_uint32),
        ("load", ctypes.c_uint32),
        ("total", ctypes.c_uint64),
        ("available", ctypes.c_uint64),
        ("rest", ctypes.c_uint64 * 5),
    )


class _ProcessMemory(ctypes.Structure):
    """PROCESS_MEMORY_COUNTERS of the Windows API."""

    _fields_ = (
        ("length", ctypes.c_uint32),
        ("page_faults", ctypes.c_uint32),
        ("peak", ctypes.c_size_t),
        ("rest", ctypes.c_size_t * 7),
    )


def windows_memory(which: Literal["total", "available"]) -> int | None:
    """Bytes of the machine's memory, all or what is available; None on another system."""
    kernel = _kernel()
    status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
    if kernel is None or not kernel.GlobalMemoryStatusEx(ctypes.byref(status)):
        return None
    return getattr(status, which)


def windows_peak_memory() -> int:
    """Most bytes that this process has held in memory; 0 on another system."""
    kernel = _kernel()
    if kernel is None:
        return 0
    counters = _ProcessMemory(length=ctypes.sizeof(_ProcessMemory))
    process = ctypes.c_void_p(-1)  # GetCurrentProcess()
    kernel.K32GetProcessMemoryInfo(process, ctypes.byref(counters), counters.length)
    return counters.peak


def _kernel() -> Any:
    return getattr(getattr(ctypes, "windll", None), "kernel32", None)
