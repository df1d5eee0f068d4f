"""The device that models run on, and its name."""

from __future__ import annotations

import platform
import re

import pytest
import torch

from talewright.errors import UserError
from talewright.machine import choose_device, default_device, device_name, versions
from talewright.machine import device as module
from talewright.version import __version__


def test_the_default_device_can_compute() -> None:
    ones = torch.ones(3, device=default_device())
    assert ones.sum().item() == 3
    assert (default_device().type == "cuda") == torch.cuda.is_available()


@pytest.mark.parametrize(
    ("cores", "processes", "name"),
    [(1, 1, "1 CPU core"), (2, 1, "2 CPU cores"), (4, 2, "2 x 4 CPU cores")],
)
def test_the_name_counts_cores_and_processes(
    monkeypatch: pytest.MonkeyPatch, cores: int, processes: int, name: str
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: cores)
    assert device_name(torch.device("cpu"), processes) == name


def test_the_gpus_have_their_own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100")
    assert device_name(torch.device("cuda"), 4) == "4 x NVIDIA H100"
    assert device_name(torch.device("mps")) == "Apple GPU"


def test_versions_are_those_that_run() -> None:
    found = versions()
    assert (found["talewright"], found["torch"]) == (__version__, torch.__version__)
    assert found["python"] == platform.python_version()
    assert platform.machine() in found["platform"]


def nvidia(patch: pytest.MonkeyPatch, *capabilities: tuple[int, int], built: str = "sm_75 sm_90 compute_90") -> None:
    """Let torch find GPUs of these capabilities, and be built for others."""
    patch.setattr(torch.backends.cuda, "is_built", lambda: True)
    patch.setattr(torch.cuda, "is_available", lambda: bool(capabilities))
    patch.setattr(torch.cuda, "device_count", lambda: len(capabilities))
    patch.setattr(torch.cuda, "get_arch_list", lambda: built.split())
    patch.setattr(torch.cuda, "get_device_capability", lambda device: capabilities[device])
    patch.setattr(torch.cuda, "get_device_name", lambda device: f"Card {device}")


def test_a_device_is_chosen_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia(monkeypatch, (9, 0), (7, 5))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    for name in ("cpu", "cuda", "cuda:1", "mps"):
        assert choose_device(name) == torch.device(name)
    assert choose_device() == default_device() == torch.device("cuda")
    assert choose_device(torch.device("cuda:1")) == torch.device("cuda:1")


@pytest.mark.parametrize(
    "name", ["gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1:2", "CPU", "cpu:1", "meta", "", "cuda:²"]
)
def test_an_unknown_device_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    nvidia(monkeypatch, (9, 0))
    with pytest.raises(UserError, match=f"--device is {re.escape(name)}; it is cpu, cuda, mps"):
        choose_device(name)


def test_a_device_that_is_not_here_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia(monkeypatch, (9, 0))
    with pytest.raises(UserError, match=r"^--device cuda:3: this machine has 1 GPU: cuda:0 \(Card 0\)$"):
        choose_device("cuda:3")
    nvidia(monkeypatch, (9, 0), (9, 0))
    with pytest.raises(UserError, match=r"this machine has 2 GPUs: cuda:0 \(Card 0\), cuda:1 \(Card 1\)"):
        choose_device("cuda:2")
    nvidia(monkeypatch)
    with pytest.raises(UserError, match="--device cuda: torch finds no GPU"):
        choose_device("cuda")
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: False)
    with pytest.raises(UserError, match="--device cuda:0: this torch has no CUDA: " + re.escape(torch.__version__)):
        choose_device("cuda:0")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UserError, match="--device mps: there is no Apple GPU"):
        choose_device("mps")


@pytest.mark.parametrize(
    ("capability", "built", "supported"),
    [
        ((7, 5), "sm_75 sm_90", True),
        ((8, 9), "sm_75 sm_80 sm_90", True),  # machine code of an earlier minor version
        ((7, 0), "sm_75 sm_80", False),  # a later minor version
        ((6, 1), "sm_75 sm_80 compute_80", False),
        ((12, 0), "sm_75 sm_90", False),
        ((12, 0), "sm_75 compute_90", True),  # compiled for later GPUs
        ((9, 0), "sm_80 sm_90a", True),
        ((12, 1), "sm_120a", False),  # for that one only
        ((12, 1), "sm_120f", True),
        ((10, 3), "sm_100", True),
    ],
)
def test_a_gpu_that_torch_was_not_built_for_is_refused(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], built: str, supported: bool
) -> None:
    nvidia(monkeypatch, capability, built=built)
    if supported:
        assert choose_device("cuda:0") == torch.device("cuda:0")
        return
    words = rf"cuda:0 \(Card 0\) cannot be used: it has CUDA capability {capability[0]}\.{capability[1]}"
    with pytest.raises(UserError, match=words):
        choose_device("cuda:0")


def test_the_default_is_the_first_gpu_that_torch_can_use(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An old card does not make every command fail; it is named once."""
    module._warn_once.cache_clear()
    nvidia(monkeypatch, (6, 1), (9, 0))
    assert [default_device(), default_device()] == [torch.device("cuda:1")] * 2
    nvidia(monkeypatch, (6, 1))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert default_device() == torch.device("cpu")
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("cuda:0 (Card 0) is not used: it has CUDA capability 6.1")


def test_an_amd_gpu_has_no_cuda_capability(monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia(monkeypatch, (9, 4), built="gfx90a gfx942")
    monkeypatch.setattr(torch.version, "hip", "6.2")
    assert choose_device("cuda") == torch.device("cuda")
