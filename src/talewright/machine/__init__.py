"""What the machine has, and what a run uses of it."""

from talewright.machine.allocator import keep_heap
from talewright.machine.device import compiler, default_device, device_name, versions
from talewright.machine.precision import Precision, autocast, choose_precision, torch_dtype

__all__ = [
    "Precision",
    "autocast",
    "choose_precision",
    "compiler",
    "default_device",
    "device_name",
    "keep_heap",
    "torch_dtype",
    "versions",
]
