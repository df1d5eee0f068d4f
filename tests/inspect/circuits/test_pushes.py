"""Direct logit attribution: exact sums, and parts by hand."""

from __future__ import annotations

import copy
from typing import cast

import pytest
import torch
from hypothesis import given, settings

from talewright.config import ModelConfig
from talewright.errors import UserError
from talewright.inspect import record
from talewright.inspect.circuits.pushes import strongest, word_pushes
from talewright.model.gpt import Block
from talewright.model.norm import LayerNorm
from tests.inspect.cases import small_config
from tests.model.shapes import SEEDS, lively_model, model_configs


@settings(max_examples=60)
@given(config=model_configs(norm_placement="pre"), seed=SEEDS)
@torch.no_grad()
def test_the_pushes_sum_to_the_logit_minus_the_mean_logit(config: ModelConfig, seed: int) -> None:
    """For every shape, with short convolutions and mixed values too, in float32."""
    model = lively_model(config, seed)
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(config.vocab_size, (config.context_length + 1,), generator=generator)
    pushes = word_pushes(model, tokens.numpy())
    logits = model(tokens[None, :-1])[0]
    expected = logits.gather(-1, tokens[1:, None])[:, 0] - logits.mean(-1)
    torch.testing.assert_close(torch.from_numpy(pushes.values.sum(1)), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(torch.from_numpy(pushes.scores), expected, atol=1e-4, rtol=1e-4)
    assert pushes.values.shape == (config.context_length, len(pushes.names))


@settings(max_examples=30)
@given(config=model_configs(norm_placement="pre"), seed=SEEDS)
@torch.no_grad()
def test_each_push_is_what_is_lost_when_the_part_is_taken_from_the_stream(config: ModelConfig, seed: int) -> None:
    """The last norm's scale is held by hand: the norm is replaced by the linear map that it is there."""
    model = lively_model(config, seed).double()
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(config.vocab_size, (config.context_length + 1,), generator=generator)
    found = record(model, tokens[None, :-1], ["*"])
    last = config.n_layers - 1
    stream = found[f"blocks.{last}.resid_post"][0]
    centered = stream - stream.mean(-1, keepdim=True) if isinstance(model.norm, LayerNorm) else stream
    scale = 1 / (centered.square().mean(-1, keepdim=True) + config.norm_eps).sqrt()
    bias = model.norm.bias if isinstance(model.norm, LayerNorm) else 0

    def score(x: torch.Tensor) -> torch.Tensor:
        if isinstance(model.norm, LayerNorm):
            x = x - x.mean(-1, keepdim=True)
        logits = model.logits(x * scale * model.norm.weight + bias)
        return logits.gather(-1, tokens[1:, None])[:, 0] - logits.mean(-1)

    pushes = word_pushes(model, tokens.numpy())
    block, d = cast(Block, model.blocks[last]), config.head_dim
    head = found[f"blocks.{last}.attn.z"][0, 0] @ block.attention.out.weight[:, :d].T
    for name, output in (
        ("embedding", found["embedding"][0]),
        (f"{last}.0", head),
        (f"MLP {last}", found[f"blocks.{last}.mlp_out"][0]),
    ):
        pushed = torch.from_numpy(pushes.values[:, pushes.names.index(name)]).double()
        torch.testing.assert_close(pushed, score(stream) - score(stream - output), atol=1e-3, rtol=1e-3)


def test_a_silent_part_pushes_nothing_and_the_strongest_are_named() -> None:
    model = copy.deepcopy(lively_model(small_config(), 3))
    with torch.no_grad():
        for parameter in cast(Block, model.blocks[1]).mlp.down.parameters():
            parameter.zero_()
    tokens = torch.randint(400, (9,), generator=torch.Generator().manual_seed(0)).numpy()
    pushes = word_pushes(model, tokens)
    assert (pushes.values[:, pushes.names.index("MLP 1")] == 0).all()
    (up, most), (down, least) = strongest(pushes, 4)
    assert most == pushes.values[4].max()
    assert least == pushes.values[4].min()
    assert {up.removeprefix("head "), down.removeprefix("head ")} <= set(pushes.names)


def test_a_post_norm_model_is_refused_with_a_reason() -> None:
    model = lively_model(small_config(norm_placement="post"), 0)
    with pytest.raises(UserError, match="has its norms after each sum"):
        word_pushes(model, torch.zeros(4, dtype=torch.long).numpy())
