"""Positions against the papers' formulas and transformers."""

from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

from talewright.model.positions import rotate, rotations, sinusoids
from tests.model.shapes import SEEDS

EVEN = st.integers(1, 24).map(lambda half: 2 * half)


@settings(max_examples=25)
@given(length=st.integers(1, 400), d=EVEN)
def test_sinusoids_follow_the_papers_formula(length: int, d: int) -> None:
    table = sinusoids(length, d)
    assert (table.shape, table.dtype) == ((length, d), torch.float32)
    for position in {0, length // 2, length - 1}:
        for i in range(d):
            angle = position / 10000 ** (2 * (i // 2) / d)
            expected = math.cos(angle) if i % 2 else math.sin(angle)
            assert math.isclose(table[position, i].item(), expected, abs_tol=5e-5)


@settings(max_examples=25)
@given(length=st.integers(1, 300), d=EVEN, base=st.sampled_from([100.0, 10000.0, 500000.0]), seed=SEEDS)
def test_rotations_equal_transformers(length: int, d: int, base: float, seed: int) -> None:
    torch.manual_seed(seed)
    rope = {"rope_type": "default", "rope_theta": base}
    config = LlamaConfig(hidden_size=d, num_attention_heads=1, max_position_embeddings=length, rope_parameters=rope)
    q, k = torch.randn(2, 2, 3, length, d).unbind()
    cos, sin = LlamaRotaryEmbedding(config)(q, torch.arange(length)[None])
    wanted_q, wanted_k = apply_rotary_pos_emb(q, k, cos, sin)
    table = rotations(length, d, base)
    torch.testing.assert_close(rotate(q, table), wanted_q, atol=1e-4, rtol=0)
    torch.testing.assert_close(rotate(k, table), wanted_k, atol=1e-4, rtol=0)


@settings(max_examples=25)
@given(d=EVEN, a=st.integers(0, 50), b=st.integers(0, 50), shift=st.integers(0, 200), seed=SEEDS)
def test_rotated_scores_depend_on_the_distance_alone(d: int, a: int, b: int, shift: int, seed: int) -> None:
    torch.manual_seed(seed)
    table = rotations(300, d)
    q, k = torch.randn(2, 1, 1, 1, d).unbind()

    def score(i: int, j: int) -> torch.Tensor:
        return (rotate(q, table[:, i : i + 1]) * rotate(k, table[:, j : j + 1])).sum()

    torch.testing.assert_close(score(a, b), score(a + shift, b + shift), atol=1e-3, rtol=1e-3)


def test_rotation_keeps_lengths_and_leaves_position_0_alone() -> None:
    x = torch.randn(2, 3, 10, 8)
    turned = rotate(x, rotations(10, 8))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(turned[:, :, 0], x[:, :, 0])


def test_rotation_keeps_the_type_of_what_it_turns() -> None:
    assert rotate(torch.ones(1, 1, 4, 8, dtype=torch.bfloat16), rotations(4, 8)).dtype == torch.bfloat16
