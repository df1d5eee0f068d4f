"""What a model costs, against the model itself and torch's own counter."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from talewright.config import ModelConfig
from talewright.model.cost import count_parameters, forward_flops, training_flops
from talewright.model.gpt import GPT
from tests.model.shapes import model_configs, token_batch


@settings(max_examples=80)
@given(config=model_configs())
def test_parameters_counted_are_those_of_the_model_by_component(config: ModelConfig) -> None:
    sizes = {"embeddings": 0, "blocks": 0, "output": 0}
    for name, parameter in GPT(config).named_parameters():
        component = {"embedding": "embeddings", "positions": "embeddings", "blocks": "blocks"}.get(name.split(".")[0])
        sizes[component or "output"] += parameter.numel()
    found = count_parameters(config)
    assert {"embeddings": found.embeddings, "blocks": found.blocks, "output": found.output} == sizes
    assert found.total == sum(sizes.values())


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


def test_flops_are_of_the_whole_context_unless_told() -> None:
    config = ModelConfig()
    assert forward_flops(config) == forward_flops(config, config.context_length)
    assert forward_flops(config, 8) < forward_flops(config)


def test_training_costs_three_forward_passes() -> None:
    config = ModelConfig(vocab_size=300, context_length=8)
    assert training_flops(config) == 3 * forward_flops(config)
    forward, both = (counted_flops(config, 8, backward) for backward in (False, True))
    assert both / forward == pytest.approx(3, rel=0.01)  # the embedding's gradient is no product, so not quite
    assert torch.is_grad_enabled()
