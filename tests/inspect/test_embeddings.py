"""The embedding: nearest neighbors, the map, and which tokens are words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.inspect.embeddings import frequent_words, map_embeddings, nearest_neighbors, token_word
from tests.inspect.cases import sequences_of, small_tokenizer


@given(seed=st.integers(0, 1000), words=st.integers(2, 30), width=st.integers(2, 6), number=st.integers(1, 8))
def test_neighbors_have_the_largest_cosines(seed: int, words: int, width: int, number: int) -> None:
    embedding = np.random.default_rng(seed).normal(size=(words, width))
    among = list(range(0, words, 2)) or [0]
    found = nearest_neighbors(embedding, range(words), among, number)
    for token, near in enumerate(found):
        cosines = {
            j: embedding[token] @ embedding[j] / np.linalg.norm(embedding[token]) / np.linalg.norm(embedding[j])
            for j in among
            if j != token
        }
        best = sorted(cosines.values(), reverse=True)[: min(number, len(among) - 1)]
        assert [cosine for _, cosine in near] == pytest.approx(best)
        assert all(cosines[j] == pytest.approx(cosine) for j, cosine in near)


def test_the_map_keeps_distances_where_two_directions_are_all() -> None:
    tokenizer = small_tokenizer()
    tokens = frequent_words(sequences_of(tokenizer), tokenizer, 9)
    angles = np.linspace(0, 1, len(tokens))
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0]
    embedding = np.zeros((400, 5))
    embedding[tokens] = (np.stack([np.cos(angles), np.sin(angles)], 1) @ turn[:2]) * 7
    points, explained = map_embeddings(embedding, tokens)
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.testing.assert_allclose(apart, np.abs(2 * np.sin((angles[:, None] - angles[None]) / 2)), atol=1e-9)
    assert explained == pytest.approx(1.0)
    assert token_word(tokenizer, tokens[0]) in {"the", "and", "day", "Tom"}


def test_frequent_words_are_whole_words_in_order() -> None:
    tokenizer = small_tokenizer()
    sequences = sequences_of(tokenizer)
    tokens = frequent_words(sequences, tokenizer, 12)
    counts = [sum((p == token).sum() for p in sequences) for token in tokens]
    assert counts == sorted(counts, reverse=True)
    assert len(tokens) == 12
    assert all(tokenizer.decode([token])[1:].isalpha() for token in tokens)
