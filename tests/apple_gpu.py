"""A stand-in for Apple's GPU: tensors that say they are on `mps`, refuse what it refuses, and compute on the CPU.

Within `apple_gpu()`, tensors that are made on `mps` or moved there are `GpuTensor`s. As on a real one, there is no
float64, operations that mix it with tensors of the CPU fail, and so does `numpy()`. The fused attention kernels fail
too, because the real ones give wrong values.
"""

# pyright: reportIncompatibleMethodOverride=false, reportAssignmentType=false
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

MPS = torch.device("mps", 0)
NO_FLOAT64 = (
    "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64. Please use float32 "
    "instead."
)


MIXED = "Expected all tensors to be on the same device, but found at least two devices, mps:0 and cpu!"


class GpuTensor(torch.Tensor):
    """A tensor on the stand-in; `inner` holds its values."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> GpuTensor:
        if inner.dtype == torch.float64:
            raise TypeError(NO_FLOAT64)
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=MPS,
        )
        made.inner = inner
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func} outside of apple_gpu()")

    # torch's own of these, and of those in HOST, look for the real device first
    def __invert__(self) -> GpuTensor:
        return GpuTensor(~self.inner)

    def nonzero(self) -> GpuTensor:
        return GpuTensor(self.inner.nonzero())

    def contiguous(self) -> GpuTensor:
        return self if self.inner.is_contiguous() else GpuTensor(self.inner.contiguous())

    def __getitem__(self, index: Any) -> GpuTensor:
        return GpuTensor(self.inner[_inner(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(value, torch.Tensor) and value.dim() and not isinstance(value, GpuTensor):
            raise RuntimeError(MIXED)
        self.inner[_inner(index)] = _inner(value)

    def __deepcopy__(self, memo: dict[int, Any]) -> GpuTensor:
        if id(self) not in memo:
            copy = GpuTensor(self.inner.clone())
            memo[id(self)] = torch.nn.Parameter(copy) if isinstance(self, torch.nn.Parameter) else copy
        return memo[id(self)]

    def copy_(self, source: torch.Tensor) -> GpuTensor:
        self.inner.copy_(_inner(source))
        return self


HOST = ("__int__", "__float__", "__bool__", "__index__", "item", "tolist")
"""Methods that bring values to the host."""
for _name in HOST:
    setattr(GpuTensor, _name, lambda self, name=_name: getattr(self.inner, name)())


class _Dispatch(TorchDispatchMode):
    """Sends to the stand-in what is made on `mps` or moved there."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if "scaled_dot_product" in str(func) and isinstance(args[0], GpuTensor):
            raise AssertionError(f"{func} on Apple's GPU")
        return _compute(func, args, kwargs or {})


def _inner(values: Any) -> Any:
    return tree_map_only(GpuTensor, lambda tensor: tensor.inner, values)


def _moved(source: torch.Tensor, wanted: list[Any]) -> torch.Tensor:
    """`Tensor.to`, given a device, a dtype, both, or another tensor."""
    device, dtype = source.device, source.dtype
    for each in wanted:
        device = each if isinstance(each, torch.device) else getattr(each, "device", device)
        dtype = each if isinstance(each, torch.dtype) else getattr(each, "dtype", dtype)
    if (device.type, dtype) == (source.device.type, source.dtype):
        return source
    values = _inner(source).clone()
    return GpuTensor(values.to(dtype)) if device.type == "mps" else values.to(dtype)


def _compute(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if func is torch.ops.aten._has_compatible_shallow_copy_type.default:  # `Module.to` then makes new parameters
        return False
    if func.overloadpacket is torch.ops.aten.to:
        return _moved(args[0], [*args[1:], *kwargs.values()])
    leaves = tree_leaves((args, kwargs))
    held = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    on_gpu = any(isinstance(leaf, GpuTensor) for leaf in held)
    wanted = kwargs.get("device")
    moving = func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
    if on_gpu and not moving and any(not isinstance(leaf, GpuTensor) and leaf.dim() for leaf in held):
        raise RuntimeError(f"{MIXED} ({func})")
    target = MPS if (on_gpu if wanted is None else torch.device(wanted).type == "mps") else torch.device("cpu")
    if func is torch.ops.aten.copy_.default:
        target = held[0].device
    if target.type == "mps" and kwargs.get("dtype") == torch.float64:
        raise TypeError(NO_FLOAT64)
    if wanted is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    given, keywords = _inner((args, kwargs))
    found = func(*given, **keywords)
    if target.type == "cpu":
        return found
    known = {id(leaf.inner): leaf for leaf in held if isinstance(leaf, GpuTensor)}  # in place: the same tensor
    return tree_map_only(torch.Tensor, lambda made: known[id(made)] if id(made) in known else GpuTensor(made), found)


@contextmanager
def apple_gpu() -> Iterator[None]:
    """Within, this machine has the stand-in, for this thread and without gradients."""
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode(), _Dispatch():
        patch.setattr(torch.cuda, "is_available", lambda: False)
        patch.setattr(torch.backends.mps, "is_available", lambda: True)
        yield
