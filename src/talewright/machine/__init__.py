"""What the machine has, and what a run uses of it."""

from talewright.machine.allocator import keep_heap
from talewright.machine.compilers import compile_failure, compiler
from talewright.machine.device import default_device, device_name, versions
from talewright.machine.precision import Precision, autocast, choose_precision, torch_dtype

__all__ = [
    "Precision",
    "autocast",
    "choose_precision",
    "compile_failure",
    "compiler",
    "default_device",
    "device_name",
    "keep_heap",
    "torch_dtype",
    "versions",
]
