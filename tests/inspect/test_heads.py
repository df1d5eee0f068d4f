"""Measures of heads, against a plain count, and against transformers' model without the head."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from talewright.config import ModelConfig
from talewright.inspect.activations import observe
from talewright.inspect.heads import (
    ROLES,
    find_names,
    losses_without,
    measure_heads,
    repeat_scores,
    repeated_tokens,
)
from tests.inspect.cases import small_tokenizer
from tests.model import theirs
from tests.model.shapes import SEEDS, lively_model, model_configs

GPT2: dict[str, Any] = {
    "n_kv_heads": None,
    "norm": "layernorm",
    "norm_placement": "pre",
    "positions": "learned",
    "activation": "gelu_tanh",
    "qk_norm": False,
    "embedding_scaled": False,
    "attention": ("global",),
}


def random_sequences(config: ModelConfig, seed: int, number: int = 3) -> list[np.ndarray]:
    draw = np.random.default_rng(seed)
    lengths = draw.integers(min(2, config.context_length), config.context_length + 1, number) + 1
    return [draw.integers(0, config.vocab_size, length) for length in lengths]


def plain_roles(
    weights: Any, sequences: list[np.ndarray], names: list[set[int]]
) -> tuple[dict[str, float], dict[str, int]]:
    """The definitions, counted weight by weight; `weights` are (T, T) of one head, for each make_sequence."""
    sums = dict.fromkeys(["previous token", "first token", "distance", "name mover"], 0.0)
    counts = dict.fromkeys(sums, 0)
    for w, tokens, known in zip(weights, sequences, names, strict=True):
        for t in range(len(tokens) - 1):
            if t >= 2:
                sums["previous token"] += float(w[t, t - 1])
                sums["first token"] += float(w[t, 0])
                sums["distance"] += sum(float(w[t, s]) * (t - s) for s in range(t + 1))
                for role in ("previous token", "first token", "distance"):
                    counts[role] += 1
            before = [s for s in range(t + 1) if tokens[s] == tokens[t + 1]]
            if tokens[t + 1] in known and before:
                sums["name mover"] += sum(float(w[t, s]) for s in before)
                counts["name mover"] += 1
    return sums, counts


@settings(max_examples=25)
@given(config=st.integers(5, 14).flatmap(lambda T: model_configs(**GPT2, context_length=T)), seed=SEEDS)
def test_roles_and_reach_are_a_plain_count_over_transformers_weights(config: ModelConfig, seed: int) -> None:
    model, sequences = lively_model(config, seed), random_sequences(config, seed)
    names = [set(tokens[::2].tolist()) for tokens in sequences]
    other = theirs.gpt2(model)
    read = [torch.from_numpy(tokens[None, :-1]) for tokens in sequences]
    with torch.no_grad():
        shown = [other(input_ids=t, output_attentions=True, use_cache=False).attentions for t in read]
    repeated, n = repeated_tokens(config, 5)
    with torch.no_grad():
        twice = other(input_ids=repeated, output_attentions=True, use_cache=False).attentions
    heads, chance = measure_heads(model, sequences, names, seed=5)
    assert len(heads) == config.n_layers * config.n_heads
    for head in heads:
        weights = [layers[head.layer][0, head.head] for layers in shown]
        sums, counts = plain_roles(weights, sequences, names)
        w = twice[head.layer][:, head.head]
        second = [(row, 1 + n + k, k) for row in w for k in range(n)]
        expected = {role: sums[role] / counts[role] for role in sums if counts[role]}
        expected["duplicate token"] = sum(float(row[t, 1 + k]) for row, t, k in second) / len(second)
        expected["induction"] = sum(float(row[t, 2 + k]) for row, t, k in second) / len(second)
        assert head.distance == pytest.approx(expected.pop("distance", float("nan")), abs=1e-4, nan_ok=True)
        assert head.roles == pytest.approx(expected, abs=1e-4)
    even = [torch.ones(len(p) - 1, len(p) - 1).tril() for p in sequences]
    sums, counts = plain_roles([w / w.sum(1, keepdim=True) for w in even], sequences, names)
    for role in ("previous token", "first token", "name mover"):
        assert (role in chance) == bool(counts[role])
        assert chance.get(role, 0) == pytest.approx(sums[role] / max(1, counts[role]), abs=1e-5)


def test_a_head_made_for_a_role_scores_1_in_it_and_0_in_the_other() -> None:
    n = 6
    T = 1 + 2 * n
    made = torch.zeros(1, 1, 2, T, T)
    for t in range(1 + n, T):
        made[0, 0, 0, t, t - n] = 1  # duplicate token
        made[0, 0, 1, t, t - n + 1] = 1  # induction
    scores = repeat_scores(made, n)
    assert scores["duplicate token"].tolist() == [[1.0, 0.0]]
    assert scores["induction"].tolist() == [[0.0, 1.0]]


def test_random_tokens_come_twice_and_fit_the_context() -> None:
    for context in (5, 9, 64, 300):
        config = ModelConfig(vocab_size=1000, context_length=context)
        tokens, n = repeated_tokens(config, 0)
        assert tokens.shape[1] == 1 + 2 * n <= context
        assert torch.equal(tokens[:, 1 : 1 + n], tokens[:, 1 + n :])
        assert len(tokens[:, 1 : 1 + n].unique()) > n  # rows differ


@settings(max_examples=15)
@given(config=st.integers(2, 10).flatmap(lambda T: model_configs(context_length=T)), seed=SEEDS)
def test_the_loss_without_a_head_is_that_of_a_model_whose_projection_has_0_there(
    config: ModelConfig, seed: int
) -> None:
    model, sequences = lively_model(config, seed).double(), random_sequences(config, seed)
    found = losses_without(model, sequences)

    def total() -> float:
        losses: list[Tensor] = []
        for tokens in sequences:
            inputs, coming = torch.from_numpy(tokens[None, :-1]), torch.from_numpy(tokens[1:])
            losses.append(torch.nn.functional.cross_entropy(model(inputs)[0], coming, reduction="sum"))
        return float(sum(losses))

    number, before, d = sum(len(tokens) - 1 for tokens in sequences), total(), config.head_dim
    for layer in range(config.n_layers):
        projection = model.get_parameter(f"blocks.{layer}.attention.out.weight")
        for head in range(config.n_heads):
            kept = projection.detach().clone()
            with torch.no_grad():
                projection[:, head * d : (head + 1) * d] = 0
                assert found[layer, head] == pytest.approx((total() - before) / number, abs=1e-4)
                projection.copy_(kept)


def test_names_are_capitals_in_the_middle_of_a_sentence() -> None:
    tokenizer = small_tokenizer()
    tokens = tokenizer.encode("The girl met Tom. One day, Lily and I ran. She saw Tom")
    found = {tokenizer.decode([token]) for token in find_names(tokens, tokenizer.token_bytes)}
    assert found == {" Tom", " Lily"}  # not The, One, She, which begin sentences, nor I


def test_every_role_is_explained() -> None:
    model = lively_model(ModelConfig(n_layers=1, vocab_size=9, context_length=12), 0)
    heads, _ = measure_heads(model, [np.array([1, 2, 3, 2, 4])], [{2}])
    assert set(heads[0].roles) == set(ROLES)


def test_the_pattern_of_one_layer_is_held_at_a_time() -> None:
    model = lively_model(ModelConfig(n_layers=4, n_heads=2, d_model=16, d_ff=32, vocab_size=50, context_length=16), 0)
    seen: list[weakref.ref[Tensor]] = []

    def see(_: str, pattern: Tensor) -> None:
        assert all(before() is None for before in seen)
        seen.append(weakref.ref(pattern))

    observe(model, torch.arange(16)[None], ["blocks.*.attn.pattern"], see)
    assert len(seen) == 4
