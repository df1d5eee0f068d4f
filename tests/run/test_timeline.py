"""Light checkpoints: what is read is what was written, rounded to bfloat16, and damage is one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from talewright.config import ModelConfig
from talewright.errors import UserError
from talewright.model.gpt import GPT
from talewright.run.checkpoint import TrainState, UnsavedError, save_checkpoint
from talewright.run.retention import apply_retention, find_checkpoint, recover, steps
from talewright.run.timeline import light_fault, load_light, rewind_timeline, save_light, timeline_file, timeline_steps
from tests.run.test_checkpoint import SHAPE, trained


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with light checkpoints 1, 2 and 9, and full ones 4 and 8."""
    model, optimizer = trained(0)
    for step in (1, 2, 9):
        save_light(tmp_path, step, model)
    for step in (2, 4, 8):
        state = TrainState(step=step, best_step=4)
        save_checkpoint(tmp_path, model, optimizer, state)
        apply_retention(tmp_path, state, 1)
    return tmp_path


def test_the_weights_come_back_rounded_to_bfloat16(run: Path) -> None:
    model, other = trained(0)[0], trained(1)[0]
    path = timeline_file(run, 9)
    load_light(path, other)
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert theirs.dtype == torch.float32
        assert torch.equal(mine.to(torch.bfloat16).float(), theirs)
    weights = run / "checkpoints" / "step-8" / "model.safetensors"
    assert path.stat().st_size < 0.6 * weights.stat().st_size + 2000  # the file's header
    assert [path.name for path in path.parent.iterdir() if path.suffix != ".safetensors"] == []


def test_they_are_kept_and_are_no_checkpoints(run: Path) -> None:
    assert timeline_steps(run) == [1, 2, 9]
    assert steps(run) == [4, 8]
    assert find_checkpoint(run, "last").name == "step-8"
    assert find_checkpoint(run, "best").name == "step-4"
    assert recover(run) == run / "checkpoints" / "step-8"
    assert timeline_steps(run) == [1, 2, 9]
    with pytest.raises(UserError, match="no checkpoint 9; it has best, last, 4, 8"):
        find_checkpoint(run, "9")


def test_a_resumed_run_deletes_what_it_will_write_again(run: Path) -> None:
    part = timeline_file(run, 3).with_name("step-3.safetensors.7.part")
    part.touch()
    rewind_timeline(run, 8)
    assert timeline_steps(run) == [1, 2]
    assert not part.exists()
    rewind_timeline(run / "nowhere", 8)


@pytest.mark.parametrize("damage", ["cut", "flipped", "zeros", "empty", "foreign"])
def test_damage_is_one_sentence_that_names_the_file(run: Path, damage: str) -> None:
    from safetensors.torch import save_file

    path, data = timeline_file(run, 2), bytearray(timeline_file(run, 2).read_bytes())
    if damage == "foreign":
        save_file(trained(0)[0].state_dict(), path)
    else:
        data[-1] ^= 1
        damaged = {"cut": data[: len(data) // 2], "flipped": data, "zeros": bytes(len(data)), "empty": b""}
        path.write_bytes(damaged[damage])
    with pytest.raises(UserError, match=r"step-2\.safetensors (cannot be read|is damaged): ") as raised:
        load_light(path, GPT(SHAPE))
    assert "\n" not in str(raised.value)
    assert light_fault(path) == str(raised.value)
    assert light_fault(timeline_file(run, 1)) is None


def test_another_models_weights_are_refused_by_name(run: Path) -> None:
    wider = ModelConfig(n_layers=2, n_heads=2, d_model=16, d_ff=16, vocab_size=11, context_length=6)
    with pytest.raises(UserError, match=r"step-1\.safetensors holds .* the recipe says"):
        load_light(timeline_file(run, 1), GPT(wider))


def test_weights_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    model = trained(0)[0]
    next(model.parameters()).data[0, 0] = float("nan")
    with pytest.raises(UserError, match="hold NaN or infinity"):
        load_light(save_light(tmp_path, 1, model), GPT(SHAPE))


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "timeline").write_text("a file is in the way")
    with pytest.raises(UnsavedError, match=r"cannot save .*step-1\.safetensors"):
        save_light(tmp_path, 1, trained(0)[0])
    with pytest.raises(UnsavedError, match="cannot save"):
        save_light(tmp_path / "missing", 1, trained(0)[0])
    assert [path.name for path in tmp_path.iterdir()] == ["timeline"]
