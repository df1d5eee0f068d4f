"""Training in fp16, with a gradient scaler, on a CPU: what a T4 or V100 does."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision.amp import MixedPrecision

from talewright.errors import UserError
from talewright.run.checkpoint import TrainState, read_state, save_checkpoint
from talewright.run.log import RunLog, read_log
from talewright.train.distributed import DistributedContext
from talewright.train.metrics import MetricsLogger
from talewright.train.trainer import Trainer
from tests.train.conftest import train_small

KINDS = ["adamw", "muon"]
HUGE = 2.0**60
"""A scale at which every gradient overflows: some forty halvings away from one that does not."""


@pytest.fixture
def fp16(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the scale that training in fp16 begins with."""

    def start(scale: float) -> None:
        monkeypatch.setattr(torch.amp.GradScaler, "__init__", with_scale(torch.amp.GradScaler.__init__, scale))

    return start


def with_scale(init: Any, scale: float) -> Any:
    return lambda self, device="cpu", **options: init(self, device, **{**options, "init_scale": scale})


def recipe_of(small: Any, kind: str, **train: Any) -> Any:
    return small(
        model={"dropout": 0.0}, optimizer={"kind": kind}, train={"precision": "fp16", "max_steps": 20, **train}
    )


def events(run: Path, kind: str) -> list[dict[str, Any]]:
    return [event for event in read_log(run / "log.jsonl") if event["event"] == kind]


def losses(run: Path) -> list[float]:
    return [event["loss"] for event in events(run, "step")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("average", [None, 0.9])
def test_fp16_follows_fp32(small, small_corpus, tmp_path, kind, average):
    for precision in ("fp32", "fp16"):
        recipe = recipe_of(small, kind, precision=precision, average=average)
        train_small(recipe, small_corpus, tmp_path / precision)
    assert losses(tmp_path / "fp16") == pytest.approx(losses(tmp_path / "fp32"), rel=0.02)
    assert losses(tmp_path / "fp16") != losses(tmp_path / "fp32")
    norms = [[event["gradient_norm"] for event in events(tmp_path / name, "step")] for name in ("fp16", "fp32")]
    assert norms[0] == pytest.approx(norms[1], rel=0.1)  # that of the gradient itself, not of the scaled one


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_that_overflows_changes_nothing_and_does_not_count(small, small_corpus, tmp_path, fp16, kind, caplog):
    fp16(HUGE)
    recipe = recipe_of(small, kind, max_steps=12)
    with caplog.at_level("INFO", "talewright"):
        ended = train_small(recipe, small_corpus, tmp_path / "run")
    overflows = events(tmp_path / "run", "overflow")
    assert len(overflows) == ended.state.skipped > 20
    assert [event["skipped"] for event in overflows] == list(range(1, len(overflows) + 1))
    assert ended.state.step == len(losses(tmp_path / "run")) == 12
    assert losses(tmp_path / "run")[-1] < 0.95 * losses(tmp_path / "run")[0]
    assert 1 <= sum("too large for fp16" in record.message for record in caplog.records) <= 1 + len(overflows) // 10
    text = (tmp_path / "run" / "log.jsonl").read_text()
    assert "Infinity" not in text
    assert "NaN" not in text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [None, HUGE])
def test_a_stopped_run_resumes_with_its_scale(small, small_corpus, tmp_path, fp16, kind, scale):
    """Also from a checkpoint that was made while steps still overflow."""
    if scale is not None:
        fp16(scale)
    whole = train_small(recipe_of(small, kind), small_corpus, tmp_path / "whole")
    train_small(recipe_of(small, kind, max_steps=1), small_corpus, tmp_path / "parts")
    first = read_state(tmp_path / "parts" / "checkpoints" / "step-1")
    assert first.loss_scale == (65536.0 if scale is None else scale / 2.0**first.skipped)
    parts = train_small(recipe_of(small, kind), small_corpus, tmp_path / "parts", resume=True)
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    for name in ("step", "skipped", "loss_scale", "loss_scale_steps"):
        assert getattr(parts.state, name) == getattr(whole.state, name)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_is_stopped_before_its_first_update_begins_anew(
    small, small_corpus, tmp_path, monkeypatch, fp16, kind
):
    """There is no checkpoint yet: the batches that overflowed are read again, with the scale of the beginning."""
    fp16(HUGE)
    whole = train_small(recipe_of(small, kind), small_corpus, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(MetricsLogger, "log_overflow", lambda *given: os.kill(os.getpid(), signal.SIGUSR1))
        stopped = train_small(recipe_of(small, kind), small_corpus, tmp_path / "parts")
    assert (stopped.signal, stopped.state.step, stopped.state.skipped) == (signal.SIGUSR1, 0, 1)
    parts = train_small(recipe_of(small, kind), small_corpus, tmp_path / "parts", resume=True)
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    assert parts.state.loss_scale == whole.state.loss_scale


def test_a_run_goes_on_in_another_precision(small, small_corpus, tmp_path):
    for first, second in (("fp16", "fp32"), ("fp32", "fp16")):
        run = tmp_path / first
        train_small(recipe_of(small, "muon", precision=first, max_steps=6), small_corpus, run)
        train_small(recipe_of(small, "muon", precision=second, max_steps=9), small_corpus, run, resume=True)
        assert len(losses(run)) == 9


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("skip", [False, True])
def test_a_bad_batch_is_no_overflow(small, small_corpus, tmp_path, monkeypatch, kind, skip):
    compute_gradient = Trainer.compute_gradient

    def broken(self, first, tokens):
        return compute_gradient(self, first, tokens) * (math.nan if first == 16 else 1.0)

    monkeypatch.setattr(Trainer, "compute_gradient", broken)
    recipe = recipe_of(small, kind, skip_bad_batches=skip)
    if not skip:
        with pytest.raises(UserError, match="the loss is nan"):
            train_small(recipe, small_corpus, tmp_path)
        return
    ended = train_small(recipe, small_corpus, tmp_path)
    (event,) = events(tmp_path, "skipped")
    assert (ended.state.step, ended.state.skipped, event["step"]) == (20, 1, 3)
    assert (event["loss"], event["not_finite"]) == (None, ["loss"])


def test_a_gradient_that_overflows_unscaled_is_the_weights_fault(small, small_corpus, tmp_path, monkeypatch):
    """Halving the scale cannot help then, and a run must not go on forever."""
    compute_gradient = Trainer.compute_gradient

    def broken(self, first, tokens):
        loss = compute_gradient(self, first, tokens)
        next(self.model.parameters()).grad.fill_(math.inf)
        return loss

    monkeypatch.setattr(Trainer, "compute_gradient", broken)
    with pytest.raises(UserError, match="the gradient norm inf at step 1"):
        train_small(recipe_of(small, "adamw"), small_corpus, tmp_path)
    assert len(events(tmp_path, "overflow")) == 16  # from 65,536 down to 1


def test_a_scaler_of_fabric_is_the_one_that_is_used(small, small_corpus, tmp_path):
    """As a person has who configures Fabric himself."""
    recipe = recipe_of(small, "adamw", max_steps=3)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    fabric = Fabric(accelerator="cpu", devices=1, plugins=MixedPrecision("16-mixed", device="cpu", scaler=scaler))
    from talewright.train.trainer import training_batches

    trainer = Trainer(recipe, DistributedContext(fabric, "fp16"), training_batches(recipe, small_corpus.split("train")))
    results = [result for _ in range(3) for result in trainer.update()]
    assert all(result.updated for result in results)
    trainer.note_loss_scale()
    assert (trainer.state.loss_scale, trainer.state.loss_scale_steps) == (8.0, 3)
    save_checkpoint(tmp_path, trainer.model, trainer.optimizer, trainer.state)
    assert read_state(tmp_path / "checkpoints" / "step-3") == trainer.state


def test_older_checkpoints_have_no_scale(tmp_path):
    values = {name: value for name, value in dataclasses.asdict(TrainState()).items() if "scale" not in name}
    (tmp_path / "state.json").write_text(json.dumps(values))
    assert read_state(tmp_path) == TrainState()


def test_numbers_that_json_lacks_are_null_in_the_log(tmp_path):
    log = RunLog(tmp_path)
    log.write("step", step=1, loss=math.nan, gradient_norm=math.inf, tokens=3)
    log.close()
    (line,) = (tmp_path / "log.jsonl").read_text().splitlines()

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads(line, parse_constant=refuse) == {
        "event": "step",
        "step": 1,
        "loss": None,
        "gradient_norm": None,
        "tokens": 3,
        "not_finite": ["loss", "gradient_norm"],
    }
