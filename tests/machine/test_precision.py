"""The precision of matrix products."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from talewright.errors import UserError
from talewright.machine import autocast, choose_precision, torch_dtype

CPU, CUDA, MPS = (torch.device(kind) for kind in ("cpu", "cuda", "mps"))


@pytest.mark.parametrize(
    ("device", "capabilities", "expected"),
    [
        (CPU, {"avx512_bf16": True}, "bf16"),
        (CPU, {"bf16": True, "avx2": True}, "bf16"),
        (CPU, {"avx2": True, "avx512_bf16": False}, "fp32"),
        (MPS, {"bf16": True}, "fp32"),
    ],
)
def test_auto_is_bf16_only_where_the_cpu_has_it(
    monkeypatch: pytest.MonkeyPatch, device: torch.device, capabilities: dict[str, Any], expected: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert choose_precision("auto", device) == expected


@pytest.mark.parametrize(
    ("avx512_bf16", "amx", "expected"), [(True, False, "bf16"), (False, True, "bf16"), (False, False, "fp32")]
)
def test_auto_asks_an_older_torch_in_its_own_way(
    monkeypatch: pytest.MonkeyPatch, avx512_bf16: bool, amx: bool, expected: str
) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert choose_precision("auto", CPU) == expected


@pytest.mark.parametrize(("supported", "expected"), [(True, "bf16"), (False, "fp16")])
def test_auto_on_a_gpu_is_bf16_or_else_fp16(monkeypatch: pytest.MonkeyPatch, supported: bool, expected: str) -> None:
    """A T4 or V100 computes bf16 by emulation, which is slow, and says so only if asked."""

    def is_bf16_supported(including_emulation: bool = True) -> bool:
        return supported or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_bf16_supported)
    assert torch.cuda.is_bf16_supported()
    assert choose_precision("auto", CUDA) == expected


def test_a_precision_that_is_named_is_taken_where_torch_trains_in_it() -> None:
    for device in (CPU, CUDA):
        assert [choose_precision(name, device) for name in ("fp32", "bf16", "fp16")] == ["fp32", "bf16", "fp16"]
    with pytest.raises(UserError, match=r"train\.precision is fp16, which an Apple GPU does not train in; use auto"):
        choose_precision("fp16", MPS)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_autocast_sets_the_precision_of_matrix_products(precision: Any) -> None:
    a = torch.ones(4, 4)
    with autocast(precision, CPU):
        assert (a @ a).dtype == torch_dtype(precision)
    assert (a @ a).dtype == torch.float32


def test_autocast_to_fp16_off_a_gpu_is_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {}, raising=False)
    a = torch.ones(4, 4)
    with autocast("fp16", CPU):
        assert (a @ a).dtype == torch.float32
