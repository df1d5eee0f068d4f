"""Aligned losses of two models, with one tokenizer and with two."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.config import TokenizerConfig
from talewright.inspect.alignment import align_losses
from talewright.inspect.predictions import predict_tokens
from talewright.inspect.sequences import make_sequence
from talewright.tokenizer import make_tokenizer
from tests.inspect.cases import TEXT, small_config, small_tokenizer
from tests.model.shapes import lively_model

COARSE, FINE = small_tokenizer(), make_tokenizer(TokenizerConfig(), 270, lambda: iter(TEXT))
ONE, OTHER = lively_model(small_config(), 0), lively_model(small_config(vocab_size=270, context_length=400), 1)
STORIES = st.lists(st.sampled_from(["Tom", " saw", " Lily", ", and", " é", " xylophone", ".", "\n", " the park"]))


@given(words=STORIES)
def test_every_nat_of_the_text_that_both_models_read_is_counted_once(words: list[str]) -> None:
    text = "".join(words)
    first = predict_tokens(ONE, make_sequence(COARSE.encode(text), COARSE.eos_id, 64))
    second = predict_tokens(OTHER, make_sequence(FINE.encode(text), FINE.eos_id, 400))
    found = align_losses(first, COARSE, second, FINE)
    assert text.startswith("".join(piece.text for piece in found))
    if len(COARSE.encode(text)) < 64:
        assert "".join(piece.text for piece in found) == text
        n, m = len(COARSE.encode(text)), len(FINE.encode(text))
        assert sum(piece.first for piece in found) == pytest.approx(first.losses[:n].sum(), abs=1e-3)
        assert sum(piece.second for piece in found) == pytest.approx(second.losses[:m].sum(), abs=1e-3)
        assert len(found) <= min(n, m)


def test_one_tokenizer_gives_one_span_per_token() -> None:
    tokens = COARSE.encode(TEXT[0])
    predicted = predict_tokens(ONE, make_sequence(tokens, COARSE.eos_id, 64))
    found = align_losses(predicted, COARSE, predicted, COARSE)
    assert [piece.text for piece in found] == [COARSE.decode([token]) for token in tokens]
    assert all(piece.first == piece.second for piece in found)
