from __future__ import annotations

from typing import Literal

import pytest
import torch

from talewright.config import ModelConfig, OptimizerConfig
from talewright.errors import UserError
from talewright.model.gpt import GPT
from talewright.run.checkpoint import TrainState, check, load_training, load_weights, save_checkpoint
from talewright.train.objective import Objective
from talewright.train.optimizer import make_optimizer

SHAPE = ModelConfig(n_layers=2, n_heads=2, d_model=8, d_ff=16, vocab_size=11, context_length=6)


def trained(seed: int, kind: Literal["adamw", "muon"] = "adamw"):
    torch.manual_seed(seed)
    model = GPT(SHAPE)
    optimizer = make_optimizer(model, OptimizerConfig(kind=kind), 1e-2)
    for _ in range(3):
        Objective(model)(torch.randint(11, (2, 6)), torch.randint(11, (2, 6))).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, optimizer


def test_property_3_checkpoint_round_trip(tmp_path):
    model, optimizer = trained(0)
    state = TrainState(step=3, tokens=36, seconds=1.5, best_loss=2.0, best_step=3, waited=1)
    folder = save_checkpoint(tmp_path, model, optimizer, state)
    other, other_optimizer = trained(1)
    assert load_training(folder, other, other_optimizer) == state
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, theirs)
        ours, found = optimizer.state[mine], other_optimizer.state[theirs]
        assert all(torch.equal(ours[key], found[key]) for key in ("step", "exp_avg", "exp_avg_sq"))


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_training_from_a_checkpoint_equals_training_without_a_stop(tmp_path, kind):
    model, optimizer = trained(0, kind)
    folder = save_checkpoint(tmp_path, model, optimizer, TrainState(step=3))
    other, other_optimizer = trained(1, kind)
    load_training(folder, other, other_optimizer)
    tokens = torch.randint(11, (2, 6))
    for each, steps_it in ((model, optimizer), (other, other_optimizer)):
        Objective(each)(tokens, tokens).backward()
        steps_it.step()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_tied_weights_are_saved_once_and_nothing_else_than_weights(tmp_path):
    from safetensors.torch import load_file

    model, optimizer = trained(0)
    names = load_file(save_checkpoint(tmp_path, model, optimizer, TrainState(step=1)) / "model.safetensors").keys()
    assert set(names) == {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["cut", "flip", "delete"])
def test_damage_is_seen(tmp_path, name, damage):
    folder = save_checkpoint(tmp_path, *trained(0), TrainState(step=1))
    assert check(folder) is None
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    if damage == "delete":
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(data if damage == "flip" else data[:-1])
    assert check(folder)


def test_the_state_of_another_optimizer_is_refused_by_name(tmp_path):
    folder = save_checkpoint(tmp_path, *trained(0, "muon"), TrainState(step=1))
    with pytest.raises(UserError, match=r"optimizer\.safetensors holds exp_avg\.blocks\.0\.\S+ as nothing"):
        load_training(folder, *trained(0))


def test_weights_of_another_shape_are_refused_by_name(tmp_path):
    folder = save_checkpoint(tmp_path, *trained(0), TrainState(step=1))
    with pytest.raises(UserError, match=r"blocks\.2\.\S+ as nothing, the recipe says"):
        load_weights(folder, GPT(ModelConfig(**{**SHAPE.__dict__, "n_layers": 3})))
