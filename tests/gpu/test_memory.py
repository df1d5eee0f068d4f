"""A GPU's memory: what training is estimated to need, and what is said where there is too little."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from talewright.cli import main
from talewright.config import load_recipe, recipe_to_yaml
from talewright.train.benchmark import RandomBatches
from talewright.train.memory import MemoryNeed
from talewright.train.trainer import Trainer
from tests.gpu.test_training import Record, Small
from tests.gpu.training import make_trainer, train

pytestmark = pytest.mark.gpu


@pytest.fixture
def little_memory(cuda: torch.device) -> Iterator[None]:
    """A GPU on which torch may take no more than 96 MiB beyond what it holds."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(cuda).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 96 * 2**20) / total)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()


@pytest.mark.parametrize("name", ["gpt2-124m", "neo-41m", "story-15m"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_estimate_is_close_to_what_training_takes(
    cuda: torch.device, name: str, precision: str, record_property: Record
) -> None:
    settings = {"micro-batch": "16", "accumulation": "2", "precision": precision, "accelerator": "cuda"}
    recipe = load_recipe(name, {f"train.{key}": value for key, value in settings.items()} | {"train.compile": "false"})
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_reserved()
    trainer = make_trainer(recipe, RandomBatches(recipe))
    train(trainer, 2)
    taken = torch.cuda.max_memory_reserved() - before  # a CUDA graph's memory is reserved, and not free for others
    estimate = MemoryNeed(recipe, trainer.precision, cuda).needed()
    record_property("estimate in GiB", estimate / 2**30)
    record_property("taken in GiB", taken / 2**30)
    assert 0.9 < estimate / taken < 1.6


def test_a_training_that_does_not_fit_is_refused_with_a_smaller_micro_batch(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(MemoryNeed, "available", lambda self: 256 * 2**20)
    message = _refused(small, tmp_path, capsys)
    assert "--train.micro-batch" in message
    assert "--force" in message
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("little_memory")
def test_running_out_of_memory_is_one_sentence(
    small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = _refused(small, tmp_path, capsys, "--force")
    assert "ran out of the GPU's memory" in message
    assert "--train.micro-batch" in message


def test_running_out_of_memory_on_a_stand_in_is_one_sentence(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def update(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(Trainer, "update", update)
    message = _refused(small, tmp_path, capsys, "--force")
    assert "--train.micro-batch 2048" in message


def _refused(small: Small, folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What `talewright train` says of a batch of some gigabytes, which it refuses or cannot compute."""
    recipe = small(train={"micro_batch": 4096, "accumulation": 1})
    (folder / "large.yaml").write_text(recipe_to_yaml(recipe), encoding="utf-8")
    with pytest.raises(SystemExit) as exit_:
        main(["train", "--recipe", str(folder / "large.yaml"), "--out", str(folder / "run"), *words])
    assert exit_.value.code == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message
    return message
