"""Training steps on a GPU: precisions, overflow, dropout, resuming, no waiting for the device, memory."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

import talewright
from talewright.config import Recipe, load_recipe, recipe_from_dict, recipe_names, recipe_to_dict
from talewright.run.checkpoint import save_checkpoint
from talewright.run.log import read_log
from talewright.train.benchmark import RandomBatches
from tests.gpu.training import SameBatch, losses, make_fp16_trainer, make_trainer, train

pytestmark = pytest.mark.gpu

Small = Callable[..., Recipe]
Record = Callable[[str, object], None]
OVERFLOWING = {"scale": 2.0**32, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 2000}
"""The state of a gradient scaler whose scale is far too large for fp16."""


def weights_of(model: torch.nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_the_loss_falls(small: Small, precision: str, optimizer: str, record_property: Record) -> None:
    recipe = small(optimizer={"kind": optimizer}, train={"precision": precision})
    trainer = make_fp16_trainer(recipe)[0] if precision == "fp16" else make_trainer(recipe)
    found = losses(train(trainer, 20))
    record_property("first loss", found[0])
    record_property("last loss", found[-1])
    assert found[0] == pytest.approx(math.log(512), rel=0.03)
    assert found[-1] < found[0] - 0.7
    assert trainer.precision == precision
    assert trainer.state.step == len(found) >= 15  # in fp16 the first steps may overflow


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_losses_are_close_to_those_of_fp32(
    small: Small, precision: str, record_property: Record
) -> None:
    exact, rounded = (losses(train(make_trainer(small(train={"precision": p})), 10)) for p in ("fp32", precision))
    difference = max(abs(a - b) for a, b in zip(exact, rounded, strict=True))
    record_property("largest difference", difference)
    assert 0 < difference < 0.05


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_an_overflow_in_fp16_changes_no_weight_and_halves_the_scale(small: Small, optimizer: str) -> None:
    trainer, scaler = make_fp16_trainer(small(optimizer={"kind": optimizer}, train={"precision": "fp16"}))
    scaler.load_state_dict({**OVERFLOWING, "_growth_tracker": 0})
    before = weights_of(trainer.model)
    results = train(trainer, 1)
    assert not results[0].updated
    assert trainer.state.step == 0
    assert scaler.get_scale() == 2.0**31
    assert all(torch.equal(a, b) for a, b in zip(before, weights_of(trainer.model), strict=True))
    later = losses(train(trainer, 25))
    assert later
    assert trainer.state.step == len(later)
    assert later[-1] < later[0]


def test_the_loss_scale_is_saved_and_resumed(small: Small, tmp_path: Path) -> None:
    recipe = small(train={"precision": "fp16"})
    trainer, scaler = make_fp16_trainer(recipe)
    scaler.load_state_dict({**OVERFLOWING, "scale": 2.0**10, "_growth_tracker": 7})
    train(trainer, 2)
    trainer.note_loss_scale()
    folder = save_checkpoint(tmp_path, trainer.model, trainer.optimizer, trainer.state)
    _, resumed = make_fp16_trainer(recipe, checkpoint=folder)
    assert resumed.get_scale() == 2.0**10
    assert resumed.state_dict()["_growth_tracker"] == 9


def test_dropout_differs_by_step_and_is_the_same_for_the_same_seed(small: Small) -> None:
    found = []
    for seed in (1, 1, 2):
        recipe = small(seed=seed, model={"dropout": 0.5}, train={"learning_rate": 1e-30, "precision": "fp32"})
        found.append(losses(train(make_trainer(recipe, SameBatch(recipe)), 3)))
    first, second, third = found[0]  # of the same weights and the same tokens: only the masks differ
    assert min(abs(first - second), abs(second - third), abs(first - third)) > 1e-5
    assert found[0] == pytest.approx(found[1], abs=1e-5)
    assert found[0] != pytest.approx(found[2], abs=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_resumed_run_continues_as_if_never_stopped(
    small: Small, precision: str, tmp_path: Path, record_property: Record
) -> None:
    settings = {"precision": precision, "checkpoint_every": 6}
    recipe, first = (small(model={"dropout": 0.1}, train={**settings, "max_steps": steps}) for steps in (12, 6))
    whole = _step_losses(talewright.fit(recipe, tmp_path / "whole").path)
    talewright.fit(first, tmp_path / "parts")
    parts = _step_losses(talewright.resume(tmp_path / "parts", {"train.max_steps": "12"}).path)
    difference = max(abs(a - b) for a, b in zip(whole, parts, strict=True))
    record_property("largest difference", difference)
    assert len(whole) == 12
    assert difference < 2e-3  # some kernels on a GPU add in no fixed order


def _step_losses(run: Path) -> list[float]:
    return [event["loss"] for event in read_log(run / "log.jsonl") if event["event"] == "step"]


@pytest.mark.slow
@pytest.mark.parametrize("name", recipe_names())
def test_a_step_of_every_recipe(name: str, device: torch.device, record_property: Record) -> None:
    recipe = _small_batch(name, device)
    trainer = make_trainer(recipe, RandomBatches(recipe))
    found = train(trainer, 2)
    record_property("loss", found[0].figures["loss"])
    assert found[0].figures["loss"] == pytest.approx(math.log(recipe.model.vocab_size), rel=0.03)
    assert trainer.state.step == 2
    assert all(math.isfinite(result.figures["gradient_norm"]) for result in found)


def _small_batch(name: str, device: torch.device) -> Recipe:
    """The recipe with a batch that fits any GPU, and a CPU's patience."""
    values = recipe_to_dict(load_recipe(name))
    values["train"] |= {"micro_batch": 2, "accumulation": 1, "compile": False, "accelerator": device.type}
    if device.type == "cpu":
        values["data"] |= {"sequence_length": 64, "stride": None}
    return recipe_from_dict(values)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_no_step_waits_for_the_device(small: Small, cuda: torch.device, precision: str, optimizer: str) -> None:
    trainer = make_trainer(small(model={"dropout": 0.1}, optimizer={"kind": optimizer}, train={"precision": precision}))
    train(trainer, 3)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            trainer.update()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    trainer.finish()
    assert trainer.state.step == 6


ATTENTIONS: dict[str, dict[str, Any]] = {
    "causal": {},
    "with dropout": {"dropout": 0.1},
    "grouped queries": {"n_kv_heads": 2},
    "windows": {"attention": ["global", "local"], "window": 16},
}


@pytest.mark.parametrize("kind", ATTENTIONS)
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_attention_runs_in_a_fused_kernel(small: Small, cuda: torch.device, kind: str, precision: str) -> None:
    if precision == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        pytest.skip("this GPU has no bf16")
    if kind == "grouped queries" and torch.cuda.get_device_capability(cuda) < (8, 0):
        pytest.skip("this GPU has no flash attention, the only fused kernel with grouped queries")
    trainer = make_trainer(small(model=ATTENTIONS[kind], train={"precision": precision}))
    with sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]):  # raises where neither can run
        assert losses(train(trainer, 2))


RECORDED: dict[str, dict[str, Any]] = {
    "with dropout": {"dropout": 0.1},
    "as story": {"norm": "rmsnorm", "positions": "rotary", "activation": "swiglu", "qk_norm": True},
    "as storyx": {"value_residual": True, "short_convolution": True, "bigrams": 1024},
}


@pytest.mark.parametrize("kind", RECORDED)
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_recorded_gradient_equals_an_eager_one(
    small: Small, cuda: torch.device, kind: str, precision: str, record_property: Record
) -> None:
    """Also where the last window of an epoch, with padding, is computed without the graph."""
    found = []
    for recorded in (False, True):
        recipe = small(
            data={"source": "bundled:20", "layout": "aligned"},
            model=RECORDED[kind],
            optimizer={"kind": "muon"},
            train={"precision": precision},
        )
        trainer = make_trainer(recipe)
        trainer._may_record &= recorded
        found.append(losses(train(trainer, 12)))
        assert (trainer._graph is not None) == recorded
    difference = max(abs(a - b) for a, b in zip(*found, strict=True))
    record_property("largest difference", difference)
    assert difference < (1e-3 if precision == "fp32" else 0.02)


@pytest.mark.slow
@pytest.mark.parametrize("model", [{}, {"norm": "rmsnorm", "positions": "rotary", "activation": "swiglu"}])
def test_compiled_steps_equal_eager_ones(
    small: Small, device: torch.device, model: dict[str, Any], record_property: Record
) -> None:
    found = {}
    torch._dynamo.reset()
    for compiled in (False, True):
        trainer = make_trainer(small(model=model, train={"precision": "fp32", "compile": compiled}))
        if compiled and not trainer.compiled:
            assert device.type != "cuda"
            pytest.skip("torch.compile does not work here")
        torch._dynamo.utils.counters.clear()  # of the small function that shows whether compiling works
        found[compiled] = losses(train(trainer, 6))
    difference = max(abs(a - b) for a, b in zip(found[False], found[True], strict=True))
    record_property("largest difference", difference)
    assert difference < 1e-3
    assert not torch._dynamo.utils.counters["graph_break"]
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1  # nothing was compiled again for a later step


def test_the_log_of_a_run_names_the_device(run: Path, device: torch.device) -> None:
    first = json.loads((run / "log.jsonl").read_text().splitlines()[0])
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else first["device"]
    assert first["device"] == name
    assert first["peak_flops"] > 0
