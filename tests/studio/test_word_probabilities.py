"""Word probabilities: they are the model's own, in the windows that the story was generated from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from talewright.generate.engine import Engine
from talewright.generate.sampling import Sampling
from talewright.studio.word_probabilities import predict_long, word_probabilities


def generated(loaded, prompt, new_tokens, **options):
    engine = Engine(loaded.model, loaded.tokenizer, notify=lambda message: None)
    return list(engine.stream_tokens(prompt, Sampling(max_new_tokens=new_tokens, **options)))


def test_probabilities_and_alternatives_are_the_models_own(registry):
    loaded = registry.load("tales")
    prompt = loaded.tokenizer.encode("One day, a dog")
    tokens = generated(loaded, prompt, 8, seed=3)
    words = word_probabilities(loaded, prompt, tokens)
    with torch.no_grad():
        ids = torch.tensor([[loaded.tokenizer.eos_id, *prompt, *tokens]])
        probabilities = loaded.model(ids)[0].double().softmax(-1)
    by_token = [float(probabilities[len(prompt) + i, token]) for i, token in enumerate(tokens)]
    assert loaded.tokenizer.decode(tokens).startswith("".join(word.text for word in words))
    ends = [*(word.start for word in words[1:]), None]
    assert len(words) > 3
    for word, end in zip(words[:-1], ends, strict=False):
        assert word.probability == pytest.approx(np.prod(by_token[word.start : end]), rel=1e-3)
        row = probabilities[len(prompt) + word.start]
        for each in word.alternatives:
            assert each.probability == pytest.approx(float(row[each.token]), rel=1e-3)
        assert all(row[word.alternatives[0].token] >= row[other.token] for other in word.alternatives)


@pytest.mark.parametrize("beginning", [0, 5, 31, 200])
def test_beyond_the_context_words_are_read_in_the_windows_they_were_generated_from(registry, beginning):
    """Decoding was greedy, so each token must be the most probable one when it is read, in any window."""
    loaded = registry.load("tales")
    prompt = (loaded.tokenizer.encode("Tom had a red ball. ") * 40)[:beginning]
    tokens = generated(loaded, prompt, 100, temperature=0.0)
    context = loaded.model.config.context_length
    before = [loaded.tokenizer.eos_id, *prompt][-context:]
    predictions = predict_long(loaded.model, np.array([*before, *tokens]))
    assert len(predictions.losses) == len(before) + len(tokens) - 1
    assert (predictions.ranks[len(before) - 1 :] == 0).all()


def test_no_tokens_have_no_words(registry):
    assert word_probabilities(registry.load("tales"), [1, 2], []) == []
