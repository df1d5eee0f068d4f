"""The model as a graph: runs with changed edges against patches by hand, and gradients against finite differences."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from talewright.config import ModelConfig
from talewright.errors import UserError
from talewright.inspect import patch, record
from talewright.inspect.circuits.attribution import answer_margin, attribute_edges, margins, record_twins
from talewright.inspect.circuits.graph import Graph, graph_pass, record_sources
from talewright.inspect.circuits.twins import Twins
from talewright.inspect.parts import Part
from talewright.model.gpt import GPT, Block, convolved
from talewright.model.norm import RMSNorm
from tests.model.shapes import SEEDS, lively_model, model_configs, token_batch

CONFIGS = model_configs(norm_placement="pre")


@contextmanager
def norms_in_float64() -> Iterator[None]:
    """RMSNorm takes its statistics in float32, whose rounding would drown small differences."""

    def forward(self: RMSNorm, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(RMSNorm, "forward", forward)
        yield


def two_texts(config: ModelConfig, seed: int) -> tuple[GPT, Tensor, Tensor]:
    return lively_model(config, seed).double(), token_batch(config, seed), token_batch(config, seed + 1)


@torch.no_grad()
def logits_of(model: GPT, weights: Tensor, clean: Tensor, corrupt: Tensor) -> Tensor:
    graph = Graph(model.config)
    stream = graph_pass(model, graph, record_sources(model, clean), record_sources(model, corrupt), weights)
    return model.logits(model.norm(stream))


def twins_of(config: ModelConfig, seed: int, pairs: int = 2) -> Twins:
    """Random prompts of unequal lengths, padded with whatever."""
    generator = torch.Generator().manual_seed(seed)

    def draw(high: int, *shape: int) -> Tensor:
        return torch.randint(high, shape, generator=generator)

    first, second = (draw(config.vocab_size, pairs, config.context_length) for _ in range(2))
    clean, corrupt = (torch.stack(each, 1).flatten(0, 1) for each in ((first, second), (second, first)))
    last = draw(config.context_length, pairs).repeat_interleave(2)
    right, wrong = draw(config.vocab_size, 2 * pairs), draw(config.vocab_size, 2 * pairs)
    return Twins(kind="drawn", clean=clean, corrupt=corrupt, last=last, right=right, wrong=wrong, skipped=0)


@settings(max_examples=50)
@given(config=CONFIGS, seed=SEEDS)
@torch.no_grad()
def test_all_edges_are_the_model_and_none_the_corrupted_text(config: ModelConfig, seed: int) -> None:
    model, clean, corrupt = two_texts(config, seed)
    graph = Graph(config)
    torch.testing.assert_close(logits_of(model, graph.all_on(), clean, corrupt), model(clean), atol=1e-8, rtol=1e-6)
    torch.testing.assert_close(
        logits_of(model, 0 * graph.all_on(), clean, corrupt), model(corrupt), atol=1e-8, rtol=1e-6
    )


@settings(max_examples=40)
@given(config=CONFIGS, seed=SEEDS, data=st.data())
@torch.no_grad()
def test_a_source_that_is_off_is_one_patched_with_the_other_text(
    config: ModelConfig, seed: int, data: st.DataObject
) -> None:
    model, clean, corrupt = two_texts(config, seed)
    graph = Graph(config)
    part = data.draw(st.sampled_from(graph.parts))
    name = f"blocks.{part.layer}." + ("mlp_out" if part.head is None else "attn.z")
    other = record(model, corrupt, [name])[name]

    def swapped(value: Tensor) -> Tensor:
        if part.head is None:
            return other
        value[:, part.head] = other[:, part.head]
        return value

    found = logits_of(model, graph.without_source(part), clean, corrupt)
    torch.testing.assert_close(found, patch(model, clean, {name: swapped}), atol=1e-8, rtol=1e-6)


@settings(max_examples=60)
@given(config=CONFIGS, seed=SEEDS, data=st.data())
@torch.no_grad()
def test_an_edge_that_is_off_changes_what_its_target_alone_reads(
    config: ModelConfig, seed: int, data: st.DataObject
) -> None:
    """By hand: the target's output on a stream from which the source's change is taken, patched into the model."""
    model, clean, corrupt = two_texts(config, seed)
    graph = Graph(config)
    u, v = data.draw(st.sampled_from(graph.edges.nonzero().tolist()))
    weights = graph.all_on()
    weights[u, v] = 0
    here, there = record_sources(model, clean), record_sources(model, corrupt)
    change, target = here.outputs[u] - there.outputs[u], graph.targets[v]
    found = logits_of(model, weights, clean, corrupt)
    if not isinstance(target, Part):
        stream = record(model, clean, [f"blocks.{config.n_layers - 1}.resid_post"])
        expected = model.logits(model.norm(next(iter(stream.values())) - change))
    elif target.head is None:
        name = f"blocks.{target.layer}"
        block = cast(Block, model.blocks[target.layer])
        metadata = model.metadata(clean)
        read = block.norm2(record(model, clean, [f"{name}.resid_mid"])[f"{name}.resid_mid"] - change)
        output = block.mlp(convolved(block.convolution2, read, metadata, None), metadata)
        expected = patch(model, clean, {f"{name}.mlp_out": output})
    else:
        expected = patch(model, clean, {f"blocks.{target.layer}.attn.z": head_by_hand(model, clean, corrupt, u, v)})
    torch.testing.assert_close(found, expected, atol=1e-8, rtol=1e-6)


def head_by_hand(model: GPT, clean: Tensor, corrupt: Tensor, u: int, v: int) -> Tensor:
    """The z of the target's layer, its head computed by the block on a stream without the source's change."""
    graph = Graph(model.config)
    target = cast(Part, graph.targets[v])
    here, there = record_sources(model, clean), record_sources(model, corrupt)
    block, name = cast(Block, model.blocks[target.layer]), f"blocks.{target.layer}.attn.z"
    stream = here.streams[2 * target.layer] - (here.outputs[u] - there.outputs[u])
    values = there.first_values if u == 0 else here.first_values
    metadata = model.metadata(clean)._replace(first_values=values)
    attention = block.attention
    q, k, w = attention.project(block.attention_input(stream, metadata), metadata)
    z = record(model, clean, [name])[name]
    z[:, target.head] = attention.attend(q, k, w, metadata)[:, target.head]
    return z


@settings(max_examples=25)
@given(config=CONFIGS, seed=SEEDS, data=st.data())
@norms_in_float64()
def test_an_edges_estimate_is_the_slope_of_the_real_run(config: ModelConfig, seed: int, data: st.DataObject) -> None:
    """Central differences in float64: the weight of the edge a little above and below 1."""
    model, twins, graph = lively_model(config, seed).double(), twins_of(config, seed), Graph(config)
    estimates = attribute_edges(model, graph, twins, steps=1)
    for u, v in data.draw(st.lists(st.sampled_from(graph.edges.nonzero().tolist()), min_size=1, max_size=3)):
        step, runs = 1e-5, []
        for sign in (1, -1):
            weights = graph.all_on().double()
            weights[u, v] += sign * step
            runs.append(weights)
        above, below = margins(model, graph, twins, runs).mean(1)
        slope = float(above - below) / (2 * step)
        assert float(estimates[u, v]) == pytest.approx(slope, rel=1e-4, abs=1e-5)


@settings(max_examples=15)
@given(config=CONFIGS, seed=SEEDS, data=st.data())
@norms_in_float64()
def test_a_parts_estimate_is_the_slope_of_patching_the_model_itself(
    config: ModelConfig, seed: int, data: st.DataObject
) -> None:
    """Without the graph: a little of the other text's output is mixed in by `patch`."""
    model, twins, graph = lively_model(config, seed).double(), twins_of(config, seed), Graph(config)
    part = data.draw(st.sampled_from(graph.parts))
    name = f"blocks.{part.layer}." + ("mlp_out" if part.head is None else "attn.z")
    other, rows = record(model, twins.corrupt, [name])[name], torch.arange(len(twins.clean))

    def mean_margin(share: float) -> float:
        def mixed(value: Tensor) -> Tensor:
            if part.head is None:
                return value + share * (other - value)
            value[:, part.head] += share * (other[:, part.head] - value[:, part.head])
            return value

        logits = patch(model, twins.clean, {name: mixed})[rows, twins.last]
        return float((logits[rows, twins.right] - logits[rows, twins.wrong]).mean())

    slope = (mean_margin(-1e-5) - mean_margin(1e-5)) / 2e-5
    estimate = float(attribute_edges(model, graph, twins, steps=1)[graph.sources.index(part)].sum())
    assert estimate == pytest.approx(slope, rel=1e-4, abs=1e-5)


def test_averaged_gradients_add_up_to_the_whole_preference() -> None:
    """Integrated gradients are complete: the estimates of the embedding's edges sum to the real difference."""
    config = ModelConfig(n_layers=2, n_heads=2, d_model=16, d_ff=24, vocab_size=30, context_length=9)
    model, twins, graph = lively_model(config, 0).double(), twins_of(config, 5), Graph(config)
    real = margins(model, graph, twins, [graph.all_on(), 0 * graph.all_on()]).mean(1)
    total = float(attribute_edges(model, graph, twins, steps=200)[0].sum())
    assert total == pytest.approx(float(real[0] - real[1]), rel=0.05)
    once = float(attribute_edges(model, graph, twins, steps=1)[0].sum())
    assert abs(total - float(real[0] - real[1])) < abs(once - float(real[0] - real[1]))


@torch.no_grad()
def test_the_margin_is_that_of_the_logits_at_the_last_token() -> None:
    config = ModelConfig(n_layers=2, n_heads=2, d_model=16, d_ff=24, vocab_size=30, context_length=9)
    model, twins = lively_model(config, 0), twins_of(config, 3)
    batch = record_twins(model, twins)
    logits = model(twins.clean)
    expected = [
        logits[i, t, a] - logits[i, t, b]
        for i, (t, a, b) in enumerate(zip(twins.last, twins.right, twins.wrong, strict=True))
    ]
    torch.testing.assert_close(answer_margin(model, batch.clean.streams[-1], twins), torch.stack(expected))


def test_a_post_norm_model_has_no_graph() -> None:
    with pytest.raises(UserError, match=r"norms after each sum \(norm_placement: post\)"):
        Graph(ModelConfig(norm_placement="post"))
