"""The samplers against transformers' processors of logits, and the draw against the distribution it is of."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers.generation.logits_process import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from talewright.errors import UserError
from talewright.generate.samplers import UNIFORMS, choose, draw, filtered, min_p, top_k, top_p, uniforms
from talewright.generate.sampling import Sampling
from talewright.model.loss import argmax

NO_IDS: Any = torch.zeros(1, 0, dtype=torch.long)  # their annotation is of another kind of tensor


@st.composite
def drawn_logits(draw, most: int = 300) -> Tensor:
    """(B, V), flat or peaked."""
    torch.manual_seed(draw(st.integers(0, 2**32)))
    shape = draw(st.integers(1, 4)), draw(st.integers(2, most))
    return torch.randn(shape) * draw(st.sampled_from([0.1, 1.0, 3.0, 10.0]))


def assume_no_edge(logits: Tensor, p: float) -> None:
    """Leave out the cases where rounding settles whether a token is in the nucleus."""
    falling = logits.double().softmax(-1).sort(-1, descending=True).values
    assume(bool(((falling.cumsum(-1) - p).abs() > 1e-5).all()))


@given(drawn_logits(), st.integers(1, 400))
def test_top_k_equals_transformers(logits, k):
    torch.testing.assert_close(top_k(logits, k), TopKLogitsWarper(k)(NO_IDS, logits), rtol=0, atol=0)


@given(drawn_logits(), st.floats(0.01, 0.999))
def test_top_p_equals_transformers(logits, p):
    assume_no_edge(logits, p)
    torch.testing.assert_close(top_p(logits, p), TopPLogitsWarper(p)(NO_IDS, logits), rtol=0, atol=0)


@pytest.mark.parametrize("scale", [0.01, 1.0, 4.0])
def test_top_p_equals_transformers_where_some_rows_need_thousands_of_tokens(scale):
    torch.manual_seed(0)
    logits = torch.randn(5, 20_000) * torch.tensor([[0.01], [1.0], [10.0], [3.0], [scale]])
    torch.testing.assert_close(top_p(logits, 0.95), TopPLogitsWarper(0.95)(NO_IDS, logits), rtol=0, atol=0)


@given(drawn_logits(), st.floats(0.0, 1.0))
def test_min_p_equals_transformers(logits, p):
    probabilities = logits.double().softmax(-1)
    ratios = probabilities / probabilities.amax(-1, keepdim=True)
    assume(bool(((ratios - p).abs() > 1e-6)[ratios < 1].all()) and p < 1 - 1e-6)
    torch.testing.assert_close(min_p(logits, p), MinPLogitsWarper(p)(NO_IDS, logits), rtol=0, atol=0)


@given(drawn_logits(), st.data())
def test_the_filters_together_equal_transformers_in_its_order(logits, data):
    B, V = logits.shape
    ids: Any = torch.tensor(
        data.draw(st.lists(st.lists(st.integers(0, V - 1), min_size=3, max_size=3), min_size=B, max_size=B))
    )
    sampling = Sampling(
        temperature=data.draw(st.floats(0.1, 3)),
        top_k=data.draw(st.integers(1, V)),
        top_p=data.draw(st.floats(0.1, 0.99)),
        min_p=data.draw(st.floats(0.01, 0.5)),
        repetition_penalty=data.draw(st.floats(0.5, 2)),
    )
    seen = torch.zeros(B, V, dtype=torch.bool).scatter_(1, ids, True)
    first = LogitsProcessorList(
        [
            RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty),
            TemperatureLogitsWarper(sampling.temperature),
            TopKLogitsWarper(sampling.top_k or 1),
        ]
    )
    before_top_p: Any = first(ids, cast(Any, logits.clone()))
    assume_no_edge(before_top_p, sampling.top_p or 1)
    rest = LogitsProcessorList([TopPLogitsWarper(sampling.top_p or 1), MinPLogitsWarper(sampling.min_p or 0)])
    expected = rest(ids, before_top_p)
    torch.testing.assert_close(filtered(logits, sampling, seen), expected, rtol=1e-6, atol=1e-6)


def test_a_penalty_makes_seen_tokens_less_likely_whatever_the_sign_of_their_logits():
    logits = torch.tensor([[2.0, -2.0, 2.0, -2.0]])
    seen = torch.tensor([[True, True, False, False]])
    result = filtered(logits, Sampling(temperature=1, top_p=None, repetition_penalty=2), seen)
    assert result.tolist() == [[1.0, -4.0, 2.0, -2.0]]


def test_filters_change_none_of_their_inputs():
    logits = torch.randn(3, 50)
    before, seen = logits.clone(), torch.ones(3, 50, dtype=torch.bool)
    sampling = Sampling(temperature=0.5, top_k=5, top_p=0.5, min_p=0.1, repetition_penalty=1.5)
    choose(logits, sampling, seen, torch.rand(3))
    choose(logits, Sampling(temperature=0, repetition_penalty=1.5), seen, None)
    assert torch.equal(logits, before)


@given(drawn_logits(most=40))
def test_tokens_are_drawn_as_often_as_they_are_likely(logits):
    n = 2000
    grid = (torch.arange(n) + 0.5) / n  # every number in [0, 1) as often as any other
    for row in logits:
        drawn = draw(row.expand(n, -1), grid)
        shares = drawn.bincount(minlength=len(row)) / n
        assert (shares - row.softmax(-1)).abs().max() <= 1.5 / n


def test_a_left_out_token_is_never_drawn():
    logits = torch.tensor([[-math.inf, 0.0, -math.inf, 0.3, -math.inf]])
    ends = torch.tensor([0.0, 1 - 2**-23])
    assert draw(logits.expand(2, -1), ends).tolist() == [1, 3]


@given(st.integers(0, 2**32), st.integers(2, 5000))
def test_the_largest_number_draws_a_token_that_is_left_in(seed, V):
    torch.manual_seed(seed)
    logits = torch.randn(4, V).masked_fill(torch.rand(4, V) < 0.5, -math.inf)
    logits[:, 0] = 0.0
    drawn = draw(logits, torch.full((4,), 1 - 2**-23))
    assert logits.gather(1, drawn[:, None]).isfinite().all()


def test_a_number_is_a_function_of_seed_index_and_token_alone():
    together = uniforms(7, [0, 5, 9], 2)
    assert together.shape == (3, UNIFORMS)
    assert torch.equal(together[1], uniforms(7, [5], 2)[0])
    others = [uniforms(8, [5], 2)[0], uniforms(7, [6], 2)[0], uniforms(7, [5], 1)[0]]
    for other in others:
        assert (other != together[1]).float().mean() > 0.9


def test_numbers_are_spread_evenly_from_0_to_below_1():
    numbers = uniforms(0, list(range(400)), 0).numpy().ravel()
    assert numbers.min() >= 0
    assert numbers.max() <= 1 - 2**-23
    counts, _ = np.histogram(numbers, 20, (0, 1))
    expected = len(numbers) / 20
    assert ((counts - expected) ** 2 / expected).sum() < 50  # chi-square with 19 degrees: above 50 once in 7,000
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 0.02


@settings(max_examples=30)
@given(drawn_logits())
def test_greedy_takes_the_argmax(logits):
    assert torch.equal(choose(logits, Sampling(temperature=0), None, None), logits.argmax(-1))


def test_of_equally_likely_tokens_the_first_is_taken():
    assert argmax(torch.tensor([[1.0, 2.0, 2.0], [0.0, 0.0, 0.0]])).tolist() == [1, 0]


def test_the_smallest_temperature_that_is_not_greedy_draws_without_overflow():
    logits = torch.tensor([[50.0, -60.0, 49.9]])
    sampling = Sampling(temperature=2e-5)
    assert choose(logits, sampling, None, torch.tensor([0.999])).tolist() == [0]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("top_p", 1.5, "--top-p is 1.5; it is a probability and must be above 0 and at most 1"),
        ("top_p", 0.0, "--top-p is 0.0; it is a probability"),
        ("top_p", math.nan, "--top-p is nan"),
        ("temperature", -1.0, "--temperature is -1.0; it must be finite, and 0"),
        ("temperature", math.inf, "--temperature is inf"),
        ("top_k", 0, "--top-k is 0; it must be 1 or more"),
        ("min_p", 1.1, "--min-p is 1.1; a fraction"),
        ("repetition_penalty", 0.0, "--repetition-penalty is 0.0; it must be from 0.001 to 1000"),
        ("repetition_penalty", 1e-300, "--repetition-penalty is 1e-300; it must be from 0.001 to 1000"),
        ("repetition_penalty", math.inf, "--repetition-penalty is inf; it must be from 0.001 to 1000"),
        ("max_new_tokens", 0, "--max-new-tokens is 0; it must be 1 or more"),
        ("seed", -1, "--seed is -1; it must be a whole number"),
    ],
)
def test_a_setting_out_of_range_is_named_with_what_would_be_right(option, value, message):
    with pytest.raises(UserError, match=message):
        Sampling(**{option: value})


def test_all_settings_out_of_range_are_named_at_once():
    with pytest.raises(UserError) as caught:
        Sampling(top_p=2, top_k=-1)
    assert "--top-p" in str(caught.value)
    assert "--top-k" in str(caught.value)
