"""Questions answered by likelihood, against one row at a time written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from talewright.config import ModelConfig
from talewright.evaluate.multiple_choice import scoring as choices
from talewright.evaluate.multiple_choice.scoring import (
    Question,
    Row,
    TooShortError,
    figures,
    log_probabilities,
    marks,
    rows_of,
    scored_by,
    wilson,
)
from talewright.model.gpt import GPT
from talewright.tokenizer import Tokenizer
from talewright.tokenizer.bpe import train_bpe
from tests.model.shapes import lively_model, model_configs

VOCAB = 11
TEXTS = ["Tom saw the moon. Tom saw a dog at noon.", "The sun is hot. The snow is cold and wet.", "Lily's cat! No."] * 3


def rows() -> st.SearchStrategy[list[Row]]:
    ids = st.lists(st.integers(0, VOCAB - 1), min_size=2, max_size=13)
    row = ids.flatmap(lambda ids: st.integers(1, len(ids) - 1).map(lambda start: Row(np.array(ids), start)))
    return st.lists(row, min_size=1, max_size=9)


def written_out(model: GPT, row: Row) -> float:
    with torch.no_grad():
        logs = model(torch.from_numpy(row.ids[None, :-1].astype(np.int64)))[0].double().log_softmax(-1)
    return sum(float(logs[place - 1, row.ids[place]]) for place in range(row.start, len(row.ids)))


@given(model_configs(vocab_size=VOCAB, dropout=0.5).filter(lambda config: config.context_length >= 12), rows())
def test_a_score_is_that_of_the_tokens_from_start_on(config, rows):
    model = lively_model(config, 0)
    found = scored_by(model, batch_tokens=30)(rows)
    assert found == pytest.approx([written_out(model, row) for row in rows], abs=1e-4)


@given(rows(), st.integers(1, 200))
def test_scores_are_the_same_at_any_batch_size(rows, batch_tokens):
    model = small_model()
    expected = scored_by(model)(rows)
    assert scored_by(model, batch_tokens)(rows) == pytest.approx(expected, abs=1e-5)
    np.testing.assert_array_equal(scored_by(model)(rows), expected)


def test_the_model_is_left_as_it_was_and_asked_without_dropout():
    model = small_model(dropout=0.5).train()
    some = [Row(np.arange(10), 4)]
    assert scored_by(model)(some) == scored_by(model)(some)
    assert model.training


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_bpe(TEXTS, 500)


@given(st.text(max_size=20), st.text(min_size=1, max_size=8), st.text(min_size=1, max_size=8))
def test_rows_hold_the_whole_texts_and_score_all_that_differs(tokenizer, context, one, other):
    question = Question("any", context, (one, other), 0)
    first, second = rows_of(question, tokenizer, 1000)
    assert first.ids[0] == second.ids[0] == tokenizer.eos_id
    assert [tokenizer.decode(row.ids) for row in (first, second)] == [context + one, context + other]
    assert first.start == second.start
    np.testing.assert_array_equal(first.ids[: first.start], second.ids[: second.start])
    read = tokenizer.decode(first.ids[: first.start])
    assert context.startswith(read.rstrip("\ufffd"))


def test_a_word_that_merges_with_the_context_is_scored_from_before_the_merge(tokenizer):
    whole = tokenizer.encode("Tom saw the moon")
    assert len(tokenizer.encode("Tom saw the mo")) + len(tokenizer.encode("on")) != len(whole)  # "moon" is one token
    question = Question("any", "Tom saw the mo", ("on", "use"), 0)
    first, second = rows_of(question, tokenizer, 100)
    assert tokenizer.decode(first.ids[: first.start]) == "Tom saw the"
    assert tokenizer.decode(first.ids[first.start :]) == " moon"
    assert tokenizer.decode(second.ids[second.start :]) == " mouse"


def test_a_choice_after_a_space_is_scored_alone(tokenizer):
    for row, ending in zip(
        rows_of(Question("any", "Tom saw the", (" moon.", " dog."), 0), tokenizer, 100),
        (" moon.", " dog."),
        strict=True,
    ):
        assert tokenizer.decode(row.ids[row.start :]) == ending


def test_a_long_context_loses_its_beginning_alike_for_all_choices(tokenizer):
    context = " ".join(TEXTS)
    whole = rows_of(Question("any", context, (" cat.", " cold and wet dog."), 0), tokenizer, 1000)
    cut = rows_of(Question("any", context, (" cat.", " cold and wet dog."), 0), tokenizer, 20)
    lost = len(whole[0].ids) - len(cut[0].ids)
    assert max(len(row.ids) - 1 for row in cut) == 20
    for before, after in zip(whole, cut, strict=True):
        np.testing.assert_array_equal(before.ids[lost:], after.ids)
        assert before.start - lost == after.start >= 1


def test_a_context_that_would_not_hold_the_answer_is_named(tokenizer):
    with pytest.raises(TooShortError, match="context of 3 tokens is too short for ' moon moon moon moon'"):
        rows_of(Question("any", "Tom saw", (" moon moon moon moon", " dog"), 0), tokenizer, 3)


def question(right: int = 0, *answers: str) -> Question:
    return Question("any", "Tom saw the", answers or (" moon.", " dog."), right)


def test_the_likeliest_choice_is_marked_and_rounding_decides_nothing():
    near = choices.TIE / 2
    cases = [(-1.0, -2.0, 1), (-2.0, -1.0, 0), (-1.0, -1.0, 0.5), (-1 - near, -1.0, 0.5), (-1.0, -1 - near, 0.5)]
    for right, wrong, mark in cases:
        assert marks([question()], [np.array([right, wrong])]) == [mark]
        assert marks([question(1)], [np.array([wrong, right])]) == [mark]
    assert marks([question()], [np.array([math.nan, math.nan])]) == [0.5]
    assert marks([question(0, " a", " b", " c")], [np.array([-1.0, -1.0, -9.0])]) == [0.5]
    assert marks([question(2, " a", " b", " c")], [np.array([-1.0, -1.0, -9.0])]) == [0]


def test_per_byte_divides_by_the_bytes_after_the_space():
    two = question(0, " abcd", " é")  # 4 and 2 bytes
    assert marks([two], [np.array([-3.0, -2.0])]) == [0]
    assert marks([two], [np.array([-3.0, -2.0])], per_byte=True) == [1]
    assert marks([two], [np.array([-4.0, -2.0])], per_byte=True) == [0.5]


def test_wilsons_interval_is_that_of_its_definition():
    """Its ends are the shares p from which the found one is 1.96 standard errors away, sqrt(p (1 - p) / n)."""
    for right, count in ((0, 10), (5, 10), (9, 10), (250, 300), (10, 10)):
        found = right / count
        for end in wilson(found, count):
            if 1e-9 < end < 1 - 1e-9:  # at 0 and 1 rounding is all there is
                assert abs(found - end) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / count), rel=1e-6)
        low, high = wilson(found, count)
        assert 0 <= low <= found + 1e-12
        assert found - 1e-12 <= high <= 1


def test_figures_are_by_kind_too():
    asked = [
        Question("a", "x", (" b", " c"), 0),
        Question("a", "x", (" b", " c"), 1),
        Question("b", "y", (" d",) * 4, 0),
    ]
    found = figures(asked, [np.array([-1.0, -2.0])] * 2 + [np.zeros(4)])
    assert found["accuracy"] == pytest.approx((1 + 0 + 0.25) / 3)
    assert found["chance"] == pytest.approx((0.5 + 0.5 + 0.25) / 3)
    assert (found["kinds"]["a"]["accuracy"], found["kinds"]["b"]["accuracy"]) == (0.5, 0.25)
    assert (found["questions"], found["kinds"]["a"]["questions"]) == (3, 2)


def test_each_question_has_its_own_scores(tokenizer):
    asked = [question(), question(0, " a", " b", " c"), question(1)]
    found = log_probabilities(scored_by(small_model(vocab_size=500, context_length=64)), tokenizer, asked, 64)
    assert [len(scores) for scores in found] == [2, 3, 2]
    np.testing.assert_allclose(found[0], found[2], atol=1e-5)


def small_model(**changes) -> GPT:
    values = {"n_layers": 2, "n_heads": 2, "d_model": 16, "d_ff": 32, "vocab_size": VOCAB, "context_length": 16}
    return lively_model(ModelConfig(**{**values, **changes}), 0)
