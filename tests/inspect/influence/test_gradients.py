"""Projected gradients against whole ones: autograd one sequence at a time, and torch.func's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from talewright.config import ModelConfig
from talewright.inspect.influence.gradients import GradientProjector, KroneckerProjection, matrices
from talewright.model.gpt import GPT
from talewright.model.loss import IGNORED
from tests.model.shapes import SEEDS, lively_model, model_configs


def batch(model: GPT, lengths: list[int], seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random tokens and targets, padded on the right."""
    generator = torch.Generator().manual_seed(seed)
    vocab, longest = model.config.vocab_size, max(lengths)
    tokens = torch.randint(vocab, (len(lengths), longest), generator=generator)
    targets = torch.randint(vocab, (len(lengths), longest), generator=generator)
    for row, length in enumerate(lengths):
        tokens[row, length:], targets[row, length:] = 0, IGNORED
    return tokens, targets


def whole_gradients(model: GPT, tokens: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """The gradients of each row's summed loss to each matrix, (B, d_out, d_in), one backward pass at a time, each
    without its row's padding.
    """
    weights, rows = matrices(model), []
    for inputs, wanted in zip(tokens, targets, strict=True):
        length = int((wanted != IGNORED).sum())
        logits = model(inputs[None, :length])[0]
        loss = F.cross_entropy(logits, wanted[:length], reduction="sum")
        rows.append(torch.autograd.grad(loss, list(weights.values())))
    return {name: torch.stack(each) for name, each in zip(weights, zip(*rows, strict=True), strict=True)}


def random_sides(model: GPT, side: int, seed: int = 1) -> dict[str, KroneckerProjection]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: KroneckerProjection(
            *(torch.randn(side, size, generator=generator, dtype=weight.dtype) for size in weight.shape)
        )
        for name, weight in matrices(model).items()
    }


def projected(gradients: dict[str, Tensor], sides: dict[str, KroneckerProjection]) -> Tensor:
    """The same projection of whole gradients: (B, matrices * k * k)."""
    return torch.cat([(sides[name].out @ g @ sides[name].into.T).flatten(1) for name, g in gradients.items()], 1)


def layernorm_model(**changes: Any) -> GPT:
    """A model in float64; RMSNorm would compute in float32."""
    values = {"n_layers": 2, "n_heads": 2, "d_model": 16, "d_ff": 24, "vocab_size": 50, "context_length": 12}
    return lively_model(ModelConfig(**{**values, **changes}), 3).double()


@pytest.mark.parametrize(
    "changes", [{}, {"tied": False}, {"value_residual": True}, {"short_convolution": True}, {"bigrams": 30}]
)
def test_inner_products_equal_those_of_projected_whole_gradients(changes: dict[str, Any]) -> None:
    model = layernorm_model(**changes)
    tokens, targets = batch(model, [12, 5, 9, 1])
    sides = random_sides(model, 3)
    ours = GradientProjector(model, sides).gradients(tokens, targets)
    theirs = projected(whole_gradients(model, tokens, targets), sides)
    torch.testing.assert_close(ours @ ours.T, theirs @ theirs.T, atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=1e-10)


def test_the_gradients_equal_those_of_torch_func() -> None:
    model = layernorm_model()
    tokens, targets = batch(model, [12, 12, 12])
    names = list(matrices(model))
    parameters = {name: value.detach() for name, value in model.named_parameters()}

    def loss(weights: dict[str, Tensor], inputs: Tensor, wanted: Tensor) -> Tensor:
        logits = torch.func.functional_call(model, {**parameters, **weights}, (inputs[None],))
        return F.cross_entropy(logits[0], wanted, reduction="sum")

    per_row = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))
    whole = per_row({name: parameters[name] for name in names}, tokens, targets)
    sides = random_sides(model, 4)
    ours = GradientProjector(model, sides).gradients(tokens, targets)
    torch.testing.assert_close(ours, projected(whole, sides), atol=1e-10, rtol=1e-10)


def test_without_a_projection_they_are_the_whole_gradients() -> None:
    """With identity matrices as the sides, the order of stories is that of brute force."""
    model = layernorm_model()
    tokens, targets = batch(model, [12, 7, 9, 4, 11])
    identity = {
        name: KroneckerProjection(*(torch.eye(size, dtype=weight.dtype) for size in weight.shape))
        for name, weight in matrices(model).items()
    }
    ours = GradientProjector(model, identity).gradients(tokens, targets)
    theirs = torch.cat([g.flatten(1) for g in whole_gradients(model, tokens, targets).values()], 1)
    torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=1e-10)
    ours, theirs = F.normalize(ours), F.normalize(theirs)
    assert (ours[1:] @ ours[0]).argsort().tolist() == (theirs[1:] @ theirs[0]).argsort().tolist()


@settings(max_examples=40)
@given(data=st.data(), config=model_configs(), seed=SEEDS)
def test_every_shape_of_model_is_covered(data: st.DataObject, config: ModelConfig, seed: int) -> None:
    """Grouped heads, SwiGLU, RMSNorm, values of the first layer, convolutions ... up to the rounding of RMSNorm."""
    model = lively_model(config, seed).double()
    lengths = data.draw(st.lists(st.integers(1, config.context_length), min_size=1, max_size=4))
    tokens, targets = batch(model, lengths, seed)
    sides = random_sides(model, 2)
    theirs = projected(whole_gradients(model, tokens, targets), sides)
    assume(theirs.abs().max() > 1e-3)
    ours = GradientProjector(model, sides).gradients(tokens, targets)
    torch.testing.assert_close(ours, theirs, atol=2e-4 * float(theirs.abs().max()), rtol=1e-3)


def test_contributions_of_positions_sum_to_the_inner_product() -> None:
    model = layernorm_model(value_residual=True, short_convolution=True)
    tokens, targets = batch(model, [12, 6])
    projector = GradientProjector(model, random_sides(model, 3))
    gradients = projector.gradients(tokens, targets)
    direction = torch.randn(gradients.shape[1], dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    contributions = projector.contributions(tokens, targets, direction)
    torch.testing.assert_close(contributions.sum(1), gradients @ direction, atol=1e-9, rtol=1e-9)
    assert (contributions[1, 6:] == 0).all(), "padding contributes nothing"


def test_the_model_is_left_as_it_was() -> None:
    model = layernorm_model(value_residual=True)
    tokens, targets = batch(model, [12])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    GradientProjector(model, random_sides(model, 2)).gradients(tokens, targets)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())
    assert all(p.grad is None for p in model.parameters())


def test_in_bfloat16_the_order_of_stories_stays_nearly_the_same() -> None:
    model = lively_model(layernorm_model().config, 3)
    tokens, targets = batch(model, [12, 7, 9, 4, 11, 12, 8])
    sides = random_sides(model, 4)
    exact = F.normalize(GradientProjector(model, sides).gradients(tokens, targets))
    rounded = F.normalize(GradientProjector(model, sides, torch.bfloat16).gradients(tokens, targets))
    assert rounded.dtype == torch.float32
    assert (exact * rounded).sum(1).min() > 0.99
