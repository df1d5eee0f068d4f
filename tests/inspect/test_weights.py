"""Statistics of matrices, against torch.linalg and the state dict."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from talewright.config import ModelConfig
from talewright.inspect.weights import matrices, measure_matrices, relative_change, singular_values
from talewright.model.gpt import GPT
from tests.model.shapes import SEEDS, lively_model, model_configs


@settings(max_examples=60)
@given(rows=st.integers(1, 40), columns=st.integers(1, 40), scale=st.sampled_from([1e-3, 1.0, 50.0]), seed=SEEDS)
def test_singular_values_are_those_of_torchs_decomposition(rows: int, columns: int, scale: float, seed: int) -> None:
    matrix = scale * torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    found = singular_values(matrix)
    expected = torch.linalg.svdvals(matrix.double()).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6 * expected[0])
    assert found[0] == pytest.approx(float(torch.linalg.matrix_norm(matrix.double(), 2)), rel=1e-9)


def test_effective_rank_is_the_number_of_equal_directions() -> None:
    model = GPT(ModelConfig(n_layers=1, n_heads=2, d_model=8, d_ff=8, vocab_size=12, context_length=4))
    with torch.no_grad():
        turn = torch.linalg.qr(torch.randn(8, 8)).Q
        model.get_parameter("blocks.0.attention.out.weight").copy_(3 * turn)
        model.get_parameter("blocks.0.mlp.up.weight").copy_(turn[:, :1] @ torch.ones(1, 8))
    found = {matrix.name: matrix for matrix in measure_matrices(model)}
    assert found["layer 0 output"].effective_rank == pytest.approx(8, rel=1e-5)
    assert found["layer 0 output"].spectral_norm == pytest.approx(3, rel=1e-5)
    assert found["layer 0 up"].effective_rank == pytest.approx(1, abs=1e-3)
    assert found["layer 0 up"].spectral_norm == pytest.approx(math.sqrt(8), rel=1e-5)


@settings(max_examples=40)
@given(config=model_configs(), seed=SEEDS)
def test_every_weight_of_every_matrix_is_measured_once(config: ModelConfig, seed: int) -> None:
    model = lively_model(config, seed)
    found = measure_matrices(model)
    others = ("convolution", "bigrams")
    whole = [p for name, p in model.named_parameters() if p.dim() == 2 and not any(other in name for other in others)]
    assert sum(m.shape[0] * m.shape[1] for m in found) == sum(parameter.numel() for parameter in whole)
    squares = sum(float((m.singular_values**2).sum()) for m in found)  # the squared Frobenius norm
    assert squares == pytest.approx(sum(float(p.double().square().sum()) for p in whole), rel=1e-6)
    for matrix, (_, _, _, values) in zip(found, matrices(model), strict=True):
        assert matrix.counts.sum() == values.numel()
        expected, _ = np.histogram(values.numpy(), matrix.edges)
        assert np.abs(np.cumsum(matrix.counts - expected)).max() <= 0.1 * values.numel() + 1  # edges round differently
        assert matrix.mean == pytest.approx(float(values.mean()), abs=1e-6)
        assert matrix.std == pytest.approx(float(np.std(values.numpy())), rel=1e-4, abs=1e-7)


def test_the_change_is_relative_to_the_initial_norm() -> None:
    config = ModelConfig(n_layers=2, vocab_size=20, context_length=6, activation="swiglu")
    start, model = lively_model(config, 0), lively_model(config, 0)
    assert set(relative_change(model, start).values()) == {0.0}
    with torch.no_grad():
        model.get_parameter("blocks.1.mlp.up.weight")[config.d_ff :] *= 1.5
        model.embedding.weight.neg_()
    found = {name: share for name, share in relative_change(model, start).items() if share}
    assert found == pytest.approx({"layer 1 up": 0.5, "embedding": 2.0}, rel=1e-5)
