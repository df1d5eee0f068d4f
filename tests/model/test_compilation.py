"""torch.compile sees the whole forward pass as one graph, and a GPU's attention takes a fused kernel.

The device `meta` stands in for a GPU: it takes the same branches, and computes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch._dynamo
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._dynamo.testing import CompileCounter, CompileCounterWithBackend

from talewright.config import ModelConfig, load_recipe, recipe_names
from talewright.model.attention import fused_attention
from talewright.model.gpt import GPT
from tests.model.shapes import SEEDS, lively_model, model_configs, token_batch

SITES = ("embedding", "attention", "residual", "mlp")


def structures() -> dict[ModelConfig, str]:
    """The recipes' models, small, each structure once, and the first recipe that has it."""
    found: dict[ModelConfig, str] = {}
    for name in recipe_names():
        shape = load_recipe(name).model
        small = {"n_layers": 2, "n_heads": 2, "d_model": 16, "d_ff": 8, "vocab_size": 40, "context_length": 12}
        kv_heads = None if shape.kv_heads == shape.n_heads else 1
        found.setdefault(replace(shape, **small, n_kv_heads=kv_heads, window=5), name)
    return found


STRUCTURES = structures()


def count_graphs(model: GPT, tokens: Tensor) -> int:
    """Graphs that three steps compile. torch raises an error if one does not hold the whole forward pass."""
    torch._dynamo.reset()
    counter = CompileCounter()
    hidden = torch.compile(model.hidden, fullgraph=True, dynamic=False, backend=counter)
    for _ in range(3):
        hidden(tokens.clone()).sum().backward()
    return counter.frame_count


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("config", STRUCTURES, ids=STRUCTURES.values())
def test_training_compiles_one_graph_for_every_recipe(config: ModelConfig, device: str) -> None:
    assert count_graphs(GPT(config).to(device).train(), token_batch(config, 0).to(device)) == 1


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(config=model_configs(), dropout=st.sampled_from([0.0, 0.2]), training=st.booleans(), seed=SEEDS)
def test_every_variant_compiles_to_one_graph(config: ModelConfig, dropout: float, training: bool, seed: int) -> None:
    config = replace(config, dropout=dropout, dropout_sites=SITES)
    for device in ("cpu", "meta"):
        model = GPT(config).to(device).train(training)
        assert count_graphs(model, token_batch(config, seed).to(device)) == 1


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(config=model_configs(), training=st.booleans(), seed=SEEDS)
def test_the_graphs_compute_what_the_model_computes(config: ModelConfig, training: bool, seed: int) -> None:
    """The forward and the backward graph, without dropout, whose random numbers differ."""
    torch._dynamo.reset()
    model, tokens = lively_model(config, seed).double().train(training), token_batch(config, seed)
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(model.hidden, fullgraph=True, dynamic=False, backend=counter)
    parameters = [model.embedding.weight, *model.blocks.parameters()]
    values = []
    for hidden in (model.hidden(tokens), compiled(tokens)):
        values.append([hidden, *torch.autograd.grad(hidden.square().sum(), parameters)])
    torch.testing.assert_close(*values)
    assert counter.frame_count == 1


@settings(max_examples=40)
@given(
    config=model_configs(),
    dtype=st.sampled_from([torch.bfloat16, torch.float16, torch.float32]),
    dropout=st.sampled_from([0.0, 0.2]),
    T=st.integers(1, 20),
)
def test_a_gpu_gets_fused_attention(config: ModelConfig, dtype: torch.dtype, dropout: float, T: int) -> None:
    """No T x T mask where causal order says it all, and no shared heads where they would need the unfused kernel."""
    config = replace(config, dropout=dropout, dropout_sites=SITES)
    model = GPT(config).to("meta", dtype)
    T = min(T, config.context_length)
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def spy(*arguments: Any, **options: Any) -> Tensor:
        calls.append((arguments, options))
        return torch.empty_like(arguments[0])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "scaled_dot_product_attention", spy)
        model.train()(torch.zeros(2, T, dtype=torch.long, device="meta"))
    assert len(calls) == config.n_layers
    for layer, ((q, k, v, mask, rate, causal), options) in enumerate(calls):
        window = config.layer_window(layer)
        local = window is not None and window < T
        assert causal is not local
        assert (mask is not None) is local
        assert rate == dropout
        assert {q.dtype, k.dtype, v.dtype} == {dtype}
        assert {x.stride(-1) for x in (q, k, v)} == {1}  # which the fused kernels need
        shared = k.shape[1] != q.shape[1]
        assert options["enable_gqa"] is shared
        if shared:
            assert not local
            assert dtype == torch.bfloat16
        assert k.shape[1] in (config.kv_heads, config.n_heads)


class OnGPU(Tensor):
    """A tensor on a CPU that says that it is on a GPU."""

    device = property(lambda self: torch.device("cuda"))  # type: ignore[assignment]


@pytest.mark.parametrize("masked", [True, False])
def test_a_gpu_computes_with_shared_heads_what_a_cpu_computes(masked: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(2, 6, 5, 8, generator=generator)
    k, v = torch.randn(2, 2, 2, 5, 8, generator=generator).unbind()
    mask = torch.ones(5, 5, dtype=torch.bool).tril() if masked else None
    on_gpu = [x.as_subclass(OnGPU) for x in (q, k, v)]
    ours = fused_attention(*on_gpu, mask=mask, causal=not masked, scale=0.3, rate=0.0)
    torch.testing.assert_close(ours.as_subclass(Tensor), fused_attention(q, k, v, mask, not masked, 0.3, 0.0))
