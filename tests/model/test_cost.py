"""What a model costs, against the model itself and torch's own counter."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from talewright.config import ModelConfig
from talewright.model.cost import activation_bytes, count_parameters, forward_flops, training_flops
from talewright.model.gpt import GPT
from tests.model.shapes import model_configs, token_batch


@settings(max_examples=80)
@given(config=model_configs())
def test_parameters_counted_are_those_of_the_model_by_component(config: ModelConfig) -> None:
    sizes = {"embeddings": 0, "bigrams": 0, "blocks": 0, "output": 0}
    for name, parameter in GPT(config).named_parameters():
        first = name.split(".")[0]
        component = "embeddings" if first in ("embedding", "positions") else first
        sizes[component if component in sizes else "output"] += parameter.numel()
    found = count_parameters(config)
    assert dataclasses.asdict(found) == sizes
    assert (found.total, found.dense) == (sum(sizes.values()), sum(sizes.values()) - sizes["bigrams"])


def counted_flops(config: ModelConfig, T: int, backward: bool) -> int:
    """What torch counts of one sequence, attention taken over all T x T pairs."""
    model, tokens = GPT(config), token_batch(config, 0, 1, T)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        if backward:
            model(tokens).sum().backward()
        else:
            model(tokens)
    return counter.get_total_flops()


@settings(max_examples=25)
@given(config=model_configs())
def test_forward_flops_are_torchs_count_less_the_pairs_that_the_mask_hides(config: ModelConfig) -> None:
    for T in {1, config.context_length // 2 + 1, config.context_length}:
        hidden_pairs = 0
        for layer in range(config.n_layers):
            local = config.attention[layer % len(config.attention)] == "local"
            reach = config.window if local else T
            hidden_pairs += sum(not 0 <= t - s < reach for t in range(T) for s in range(T))
        attention = 2 * 2 * config.d_model  # FLOPs of a pair: a product with the key, and one with the value
        expected = counted_flops(config, T, backward=False) - attention * hidden_pairs
        assert T * forward_flops(config, T) == pytest.approx(expected, rel=1e-9)


def test_flops_are_of_the_whole_context_by_default() -> None:
    config = ModelConfig()
    assert forward_flops(config) == forward_flops(config, config.context_length)
    assert forward_flops(config, 8) < forward_flops(config)


def test_training_costs_three_forward_passes() -> None:
    config = ModelConfig(vocab_size=300, context_length=8)
    assert training_flops(config) == 3 * forward_flops(config)
    forward, both = (counted_flops(config, 8, backward) for backward in (False, True))
    assert both / forward == pytest.approx(3, rel=0.01)  # the embedding's gradient is no product, so not quite
    assert torch.is_grad_enabled()


def bytes_kept(config: ModelConfig, B: int, T: int, bf16: bool) -> int:
    """What autograd keeps of a forward pass up to the output layer, each storage once, the weights left out."""
    model, tokens, kept = GPT(config), token_batch(config, 0, B, T), {}
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)  # held, or its address would be given again
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        model.hidden(tokens)
    return sum(size for size, _ in kept.values())


SITES = st.lists(st.sampled_from(["embedding", "attention", "residual", "mlp"]), unique=True).map(tuple)
LONG = ModelConfig(n_layers=2, n_heads=2, d_model=16, d_ff=32, vocab_size=40, context_length=300, window=140)


@settings(max_examples=40)
@given(config=model_configs(), sites=SITES, bf16=st.booleans())
@example(config=LONG, sites=("attention",), bf16=True)
@example(config=dataclasses.replace(LONG, attention=("local",)), sites=(), bf16=False)
def test_what_is_kept_for_the_backward_pass_is_what_autograd_keeps(config: ModelConfig, sites: Any, bf16: bool) -> None:
    T = config.context_length
    assume(config.n_heads > 1 and T > 4)  # below, some copies are not made
    config = dataclasses.replace(config, dropout=0.1, dropout_sites=sites)
    few, many = (bytes_kept(config, B, T, bf16) for B in (1, 9))  # what does not grow with the batch falls out
    assert activation_bytes(config, T, 2 if bf16 else 4) * 8 * T == pytest.approx(many - few, rel=0.06)
