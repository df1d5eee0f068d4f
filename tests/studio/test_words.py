"""Words of a told story: their probabilities are the model's, in the windows that it was told from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from talewright.generate.engine import Engine
from talewright.generate.sampling import Sampling
from talewright.studio.words import read_long, read_words


def told_by(opened, given, new_tokens, **options):
    engine = Engine(opened.model, opened.tokenizer, notify=lambda words: None)
    return list(engine.stream_tokens(given, Sampling(max_new_tokens=new_tokens, **options)))


def test_probabilities_and_alternatives_are_the_models_own(library):
    opened = library.open("tales")
    given = opened.tokenizer.encode("One day, a dog")
    told = told_by(opened, given, 8, seed=3)
    words = read_words(opened, given, told)
    with torch.no_grad():
        ids = torch.tensor([[opened.tokenizer.eos_id, *given, *told]])
        probabilities = opened.model(ids)[0].double().softmax(-1)
    by_token = [float(probabilities[len(given) + i, token]) for i, token in enumerate(told)]
    assert opened.tokenizer.decode(told).startswith("".join(word.text for word in words))
    ends = [*(word.start for word in words[1:]), None]
    assert len(words) > 3
    for word, end in zip(words[:-1], ends, strict=False):
        assert word.probability == pytest.approx(np.prod(by_token[word.start : end]), rel=1e-3)
        row = probabilities[len(given) + word.start]
        for each in word.alternatives:
            assert each.probability == pytest.approx(float(row[each.token]), rel=1e-3)
        assert all(row[word.alternatives[0].token] >= row[other.token] for other in word.alternatives)


@pytest.mark.parametrize("beginning", [0, 5, 31, 200])
def test_past_the_context_words_are_read_from_the_windows_that_they_were_told_from(library, beginning):
    """The likeliest token was always taken: so each must be the likeliest as it is read, in whatever window."""
    opened = library.open("tales")
    given = (opened.tokenizer.encode("Tom had a red ball. ") * 40)[:beginning]
    told = told_by(opened, given, 100, temperature=0.0)
    context = opened.model.config.context_length
    before = [opened.tokenizer.eos_id, *given][-context:]
    reading = read_long(opened, np.array([*before, *told]))
    assert len(reading.losses) == len(before) + len(told) - 1
    assert (reading.ranks[len(before) - 1 :] == 0).all()


def test_nothing_told_has_no_words(library):
    assert read_words(library.open("tales"), [1, 2], []) == []
