from __future__ import annotations

import numpy as np
import pytest
import torch

from talewright.config import ModelConfig, OptimizerConfig
from talewright.model.gpt import GPT
from talewright.train.muon import Muon
from talewright.train.optimizer import CombinedOptimizer, make_optimizer
from tests.train.test_muon import orthogonal

SHAPE = ModelConfig(
    n_layers=1,
    n_heads=2,
    n_kv_heads=1,
    d_model=8,
    d_ff=16,
    activation="swiglu",
    vocab_size=11,
    context_length=4,
    tied=False,
)
SPLIT_SIZES = {"qkv": [8, 4, 4], "out": [8], "up": [16, 16], "down": [8]}


def gradients(model: GPT, seed: int) -> dict[str, torch.Tensor]:
    """Drawn ones, put into the model."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_only_matrices_decay(kind):
    model = GPT(SHAPE)
    for parameter in model.parameters():
        parameter.data.fill_(1.0)
        parameter.grad = torch.zeros_like(parameter)
    make_optimizer(model, OptimizerConfig(kind=kind, weight_decay=0.5), 0.1).step()
    for name, parameter in model.named_parameters():
        expected = 0.95 if parameter.dim() == 2 else 1.0
        assert torch.allclose(parameter, torch.full_like(parameter, expected)), name


def test_muon_moves_the_blocks_matrices_by_its_formula_and_adamw_the_rest():
    model, other = GPT(SHAPE), GPT(SHAPE)
    other.load_state_dict(model.state_dict())
    config = OptimizerConfig(kind="muon", weight_decay=0.1, matrix_learning_rate=0.02, momentum=0.9)
    optimizer, reference = make_optimizer(model, config, 0.01), make_optimizer(other, OptimizerConfig(), 0.01)
    inner = {n for n, p in model.named_parameters() if n.startswith("blocks.") and p.dim() == 2}
    assert len(inner) == 4
    wanted = {name: model.get_parameter(name).detach().double().numpy() for name in inner}
    means = {name: np.zeros(wanted[name].shape) for name in inner}
    for seed in range(3):
        drawn = gradients(model, seed)
        gradients(other, seed)
        optimizer.step()
        reference.step()
        for name in inner:
            gradient = drawn[name].double().numpy()
            means[name] = 0.9 * means[name] + 0.1 * gradient
            ahead = np.split(0.1 * gradient + 0.9 * means[name], np.cumsum(SPLIT_SIZES[name.split(".")[-2]])[:-1])
            moved = np.concatenate([0.2 * max(part.shape) ** 0.5 * orthogonal(part) for part in ahead])
            wanted[name] = wanted[name] * (1 - 0.02 * 0.1) - 0.02 * moved
    for name, parameter in model.named_parameters():
        if name in inner:
            moved = 0.02 * 0.2 * max(parameter.shape) ** 0.5
            np.testing.assert_allclose(parameter.detach().numpy(), wanted[name], atol=0.1 * moved)  # it counts in bf16
        else:
            assert torch.equal(parameter, other.get_parameter(name)), name


def test_muons_matrices_have_a_learning_rate_of_their_own_or_the_same():
    for own, expected in ((None, {0.01}), (0.02, {0.01, 0.02})):
        config = OptimizerConfig(kind="muon", matrix_learning_rate=own)
        assert {group["initial_lr"] for group in make_optimizer(GPT(SHAPE), config, 0.01).param_groups} == expected


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float32)]
)
def test_muons_products_have_the_precision_of_the_models(precision, dtype):
    made = make_optimizer(GPT(SHAPE), OptimizerConfig(kind="muon"), 0.01, precision)
    assert isinstance(made, CombinedOptimizer)
    muon = next(part for part in made.optimizers if isinstance(part, Muon))
    assert muon.dtype == dtype
