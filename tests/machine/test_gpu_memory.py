"""A full GPU is one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from talewright.cli import main
from talewright.errors import UserError
from talewright.generate.engine import Engine
from talewright.machine.gpu_memory import gpu_memory_errors
from talewright.model.gpt import GPT
from tests.inspect.conftest import run, trained

__all__ = ["run", "trained"]
CUDA = torch.device("cuda", 1)
FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU with 0.25 of 24 GiB free."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**28, 24 * 2**30))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Card")


@pytest.mark.parametrize(
    "error",
    [
        FULL,
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
@pytest.mark.usefixtures("card")
def test_the_sentence_says_what_is_free_and_what_helps(error: RuntimeError) -> None:
    words = (
        r"^the GPU is out of memory: cuda:1 \(Card\) has 0\.2 of 24\.0 GiB free\. Close other .* or use --device cpu$"
    )
    with pytest.raises(UserError, match=words), gpu_memory_errors(CUDA):
        raise error


def test_where_cuda_cannot_even_start_the_sentence_has_no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(device: torch.device) -> tuple[int, int]:
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(torch.cuda, "mem_get_info", fail)
    with pytest.raises(UserError, match=r"cuda:1 has no memory free\."), gpu_memory_errors(CUDA):
        raise FULL


def test_apples_gpu_has_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 12 * 2**30)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 11 * 2**30)
    words = r"mps \(Apple GPU\) has 1\.0 of 12\.0 GiB free"
    with pytest.raises(UserError, match=words), gpu_memory_errors(torch.device("mps")):
        raise RuntimeError("MPS backend out of memory (MPS allocated: 11.00 GiB, max allowed: 12.00 GiB).")


def test_any_other_error_passes() -> None:
    with pytest.raises(RuntimeError, match="shape mismatch"), gpu_memory_errors(CUDA):
        raise RuntimeError("shape mismatch")


def full(*given: object, **named: object) -> Iterator[int]:
    raise FULL


STEPS = {
    "load": (GPT, "to", ["generate"]),
    "generate": (Engine, "generate", ["generate", "--samples", "2"]),
    "stream": (Engine, "stream_tokens", ["generate"]),
    "evaluate": (GPT, "hidden", ["evaluate", "--only", "likelihood"]),
    "inspect": (GPT, "hidden", ["inspect", "--only", "predictions"]),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.usefixtures("card")
def test_a_command_on_a_full_gpu_ends_with_one_sentence(
    run: Path, step: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target, name, (command, *options) = STEPS[step]
    monkeypatch.setattr("talewright.machine.gpu_memory._memory", lambda device: f"{device} is full")
    monkeypatch.setattr(target, name, full)
    with pytest.raises(SystemExit) as exit_:
        main([*command.split(), str(run), *options, "--device", "cpu"])
    assert exit_.value.code == 2
    printed = capsys.readouterr().err
    assert "talewright: the GPU is out of memory: cpu is full. Close" in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize("command", ["generate", "evaluate", "inspect", "studio", "evaluate judge"])
def test_every_command_with_a_model_refuses_a_wrong_device(
    run: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if command == "studio":
        pytest.importorskip("gradio", reason="the studio needs Gradio: the extra `studio`")
    more = ["--url", "http://localhost:1/v1", "--model", "x"] if command == "evaluate judge" else []
    with pytest.raises(SystemExit) as exit_:
        main([*command.split(), str(run), "--device", "gpu", *more])
    assert exit_.value.code == 2
    assert "--device is gpu; it is cpu, cuda, mps" in capsys.readouterr().err
