"""The device that models run on, and its name."""

from __future__ import annotations

import platform

import pytest
import torch

from talewright.machine import default_device, device_name, versions
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
