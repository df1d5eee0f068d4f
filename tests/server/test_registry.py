"""The registry: which models it offers, how it loads them, and which it keeps."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from talewright.errors import UserError
from talewright.run import folder as run_folder
from talewright.server.registry import ModelRegistry


def test_a_partial_checkpoint_is_not_offered(registry: ModelRegistry, run):
    before = registry.choices()
    (run / "checkpoints" / ".step-30.partial").mkdir()
    (run / "checkpoints" / ".step-30.partial" / "model.safetensors").write_bytes(b"half")
    assert registry.choices() == before == ["tales", "tales · step 20"]  # the best is step 10
    assert registry.load("tales").step == 10
    (run / "checkpoints" / "step-20" / "model.safetensors").write_bytes(b"half")
    with pytest.raises(UserError, match="damaged") as caught:
        registry.load("tales · step 20")
    assert str(run.parent) not in str(caught.value)


def test_a_checkpoint_that_is_deleted_while_it_is_read_is_looked_up_again(registry: ModelRegistry, run, monkeypatch):
    read = run_folder.load_weights

    def deleted_once(checkpoint, model):
        monkeypatch.setattr(run_folder, "load_weights", read)
        shutil.rmtree(run / "checkpoints" / "step-10")
        (run / "checkpoints" / "best").write_text("step-20\n")
        return read(checkpoint, model)

    monkeypatch.setattr(run_folder, "load_weights", deleted_once)
    loaded = registry.load("tales")
    assert loaded.step == 20


def test_few_models_stay_in_memory(registry: ModelRegistry, monkeypatch):
    monkeypatch.setattr("talewright.server.registry.MAX_LOADED", 1)
    first = registry.load("tales · step 10")
    assert registry.load("tales") is first  # the best one is step 10
    registry.load("tales · step 20")
    assert registry.load("tales") is not first


def test_the_default_pair_differs_if_it_can(run, tmp_path):
    assert ModelRegistry([run]).default_pair() == ("tales", "tales · step 20")  # the best is step 10
    other = Path(shutil.copytree(run, tmp_path / "other"))
    assert ModelRegistry([run, other]).default_pair() == ("tales", "other")
    shutil.rmtree(other / "checkpoints")
    assert ModelRegistry([other]).default_pair() == ("other", "other")


def test_each_model_is_offered_once_with_what_says_how_good_it_is(registry: ModelRegistry, run):
    size = f"{sum(tensor.numel() for tensor in registry.load('tales').model.parameters()) / 1e6:.2f}M"
    assert registry.options() == [
        (f"tales · {size}", "tales"),  # the log has no evaluation of step 10
        (f"tales · step 20 · {size} · 1.10 bits per byte", "tales · step 20"),
    ]
    (run / "checkpoints" / "best").write_text("step-20\n")
    assert registry.options() == [
        (f"tales · {size} · 1.10 bits per byte", "tales"),
        (f"tales · step 10 · {size}", "tales · step 10"),
    ]
    assert registry.summary("tales · step last") == f"tales · {size} · 1.10 bits per byte"
    shutil.rmtree(run / "checkpoints")
    (run / "log.jsonl").unlink()
    assert registry.options() == [(f"tales · {size}", "tales")]


def test_a_checkpoint_of_a_run_that_is_gone_is_not_merely_missing(registry: ModelRegistry, run):
    with pytest.raises(UserError, match="has no checkpoint '30'; it has best, last, 10, 20"):
        registry.check("tales · step 30")
    shutil.rmtree(run)
    with pytest.raises(UserError, match="the run tales is gone"):
        registry.check("tales · step 20")
