"""Predictions, the logit lens, positions and calibration, against transformers and plain counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from talewright.config import ModelConfig
from talewright.evaluate.likelihood import score_stories
from talewright.inspect.predictions import (
    PredictionStats,
    calibration,
    logit_lens,
    loss_by_position,
    predict_tokens,
    prediction_stats,
)
from tests.inspect.test_heads import GPT2, random_sequences
from tests.model import theirs
from tests.model.shapes import SEEDS, lively_model, model_configs


@settings(max_examples=25)
@given(config=model_configs(**GPT2), seed=SEEDS)
def test_predictions_are_those_of_transformers(config: ModelConfig, seed: int) -> None:
    model, tokens = lively_model(config, seed), random_sequences(config, seed, 1)[0]
    with torch.no_grad():
        logits = theirs.gpt2(model)(input_ids=torch.from_numpy(tokens[None, :-1])).logits[0]
    probabilities = logits.double().softmax(-1).numpy()
    found = predict_tokens(model, tokens)
    for t, coming in enumerate(tokens[1:]):
        assert found.losses[t] == pytest.approx(-math.log(probabilities[t, coming]), abs=1e-3)
        assert found.top_probabilities[t] == pytest.approx(np.sort(probabilities[t])[::-1][:5], abs=1e-4)
        assert probabilities[t][found.top_tokens[t]] == pytest.approx(found.top_probabilities[t], abs=1e-4)
        gap = np.abs(probabilities[t] - probabilities[t, coming])
        if np.sort(gap)[1] > 1e-5:  # no tie
            assert found.ranks[t] == (probabilities[t] > probabilities[t, coming]).sum()


@settings(max_examples=25)
@given(config=model_configs(**GPT2), seed=SEEDS)
def test_the_lens_is_the_last_norm_and_head_on_transformers_hidden_states(config: ModelConfig, seed: int) -> None:
    model, tokens = lively_model(config, seed), random_sequences(config, seed, 1)[0]
    other, inputs = theirs.gpt2(model), torch.from_numpy(tokens[None, :-1])
    with torch.no_grad():
        hidden = other(input_ids=inputs, output_hidden_states=True).hidden_states
        layers = [other.lm_head(other.transformer.ln_f(x)) for x in hidden[:-1]] + [other.lm_head(hidden[-1])]
    found = logit_lens(model, tokens)
    assert found.losses.shape == (config.n_layers + 1, len(tokens) - 1)
    for layer, logits in enumerate(layers):
        logs = logits[0].double().log_softmax(-1).numpy()
        np.testing.assert_allclose(found.losses[layer], [-logs[t, c] for t, c in enumerate(tokens[1:])], atol=1e-3)
        np.testing.assert_allclose(found.top_probabilities[layer], np.exp(logs.max(-1)), atol=1e-4)
        chosen = [logs[t, token] for t, token in enumerate(found.top_tokens[layer])]
        np.testing.assert_allclose(chosen, logs.max(-1), atol=1e-4)
    np.testing.assert_allclose(found.losses[-1], predict_tokens(model, tokens).losses, atol=1e-4)


@settings(max_examples=25)
@given(config=model_configs(), seed=SEEDS)
def test_the_stats_have_each_prediction_once_and_their_mean_is_the_score(config: ModelConfig, seed: int) -> None:
    model, eos = lively_model(config, seed), 0
    draw = np.random.default_rng(seed)
    stories = [draw.integers(0, config.vocab_size, n) for n in draw.integers(0, config.context_length, 4)]
    whole = [np.concatenate(([eos], story, [eos])).astype(np.int64) for story in stories]
    found = prediction_stats(model, whole)
    assert found.story.tolist() == [i for i, p in enumerate(whole) for _ in p[1:]]
    assert found.position.tolist() == [t for p in whole for t in range(len(p) - 1)]
    score = score_stories(model, stories, [1] * len(stories), eos)
    assert found.losses.mean() == pytest.approx(score.loss, abs=1e-4)
    assert found.correct.mean() == pytest.approx(score.token_accuracy, abs=0.5 / len(found.correct))
    first = predict_tokens(model, whole[0])
    np.testing.assert_allclose(found.confidence[: len(first.losses)], first.top_probabilities[:, 0], atol=1e-4)


def made(position: list[int], losses: list[float], confidence: list[float], correct: list[bool]) -> PredictionStats:
    rows = np.zeros(len(position), dtype=int)
    return PredictionStats(
        story=rows,
        position=np.array(position),
        losses=np.array(losses),
        confidence=np.array(confidence),
        correct=np.array(correct),
    )


@given(position=st.lists(st.integers(0, 300), min_size=1, max_size=60), bins=st.integers(1, 15))
def test_bins_of_positions_hold_every_prediction(position: list[int], bins: int) -> None:
    losses = [float(p) for p in position]
    starts, means, counts = loss_by_position(
        made(position, losses, [0.5] * len(position), [True] * len(position)), bins
    )
    assert counts.sum() == len(position)
    ends = [*starts[1:], 10**6]
    for start, end, mean, count in zip(starts, ends, means, counts, strict=True):
        inside = [p for p in position if start <= p < end]
        assert len(inside) == count
        assert np.mean(inside) == pytest.approx(mean)


def test_calibration_of_a_model_that_is_sure_and_half_right() -> None:
    found = calibration(made([0] * 4, [0.0] * 4, [0.95, 0.95, 0.25, 1.0], [True, False, False, True]))
    assert found.counts.tolist() == [1, 3]
    assert found.accuracy == pytest.approx([0.0, 2 / 3])
    assert found.confidence == pytest.approx([0.25, 2.9 / 3])
    assert found.error == pytest.approx((0.25 + 0.9) / 4)
