"""The precision of matrix products."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, cast

import torch

from talewright.errors import UserError

Precision = Literal["fp32", "bf16", "fp16"]


def choose_precision(wanted: str, device: torch.device) -> Precision:
    """The precision of matrix products on this device: the wanted one, or for `auto` the fastest that trains well.

    Raises UserError if the device does not support what is wanted.
    """
    if wanted == "auto":
        if device.type == "cuda":
            return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
        return "bf16" if device.type == "cpu" and _cpu_has_bf16() else "fp32"
    if wanted == "fp16" and device.type == "mps":
        raise UserError("train.precision is fp16, which an Apple GPU does not train in; use auto, fp32 or bf16")
    return cast(Precision, wanted)


def torch_dtype(precision: Precision) -> torch.dtype:
    """The torch dtype of a precision."""
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """A context in which matrix products on that device run at that precision (fp16 only on CUDA)."""
    chosen = choose_precision(precision if precision != "fp16" or device.type == "cuda" else "auto", device)
    return nullcontext() if chosen == "fp32" else torch.autocast(device.type, torch_dtype(chosen))


def _cpu_has_bf16() -> bool:
    if not hasattr(torch.cpu, "get_capabilities"):  # torch 2.6; later versions have it
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
