"""Questions answered by likelihood, against one choice at a time written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from talewright.config import ModelConfig
from talewright.evaluate import UnavailableError
from talewright.evaluate.multiple_choice import scoring
from talewright.evaluate.multiple_choice.scoring import (
    EncodedChoice,
    Question,
    accuracy_figures,
    choice_log_probs,
    encode_question,
    model_scorer,
    question_scores,
    wilson_interval,
)
from talewright.model.gpt import GPT
from talewright.tokenizer import Tokenizer
from talewright.tokenizer.bpe import train_bpe
from tests.model.shapes import lively_model, model_configs

VOCAB = 11
TEXTS = ["Tom saw the moon. Tom saw a dog at noon.", "The sun is hot. The snow is cold and wet.", "Lily's cat! No."] * 3


def encoded_choices() -> st.SearchStrategy[list[EncodedChoice]]:
    ids = st.lists(st.integers(0, VOCAB - 1), min_size=2, max_size=13)
    choice = ids.flatmap(
        lambda ids: st.integers(1, len(ids) - 1).map(lambda start: EncodedChoice(np.array(ids), start))
    )
    return st.lists(choice, min_size=1, max_size=9)


def written_out(model: GPT, choice: EncodedChoice) -> float:
    with torch.no_grad():
        logs = model(torch.from_numpy(choice.ids[None, :-1].astype(np.int64)))[0].double().log_softmax(-1)
    return sum(float(logs[i - 1, choice.ids[i]]) for i in range(choice.start, len(choice.ids)))


@given(
    model_configs(vocab_size=VOCAB, dropout=0.5).filter(lambda config: config.context_length >= 12), encoded_choices()
)
def test_a_score_is_that_of_the_tokens_from_start_on(config, choices):
    model = lively_model(config, 0)
    found = model_scorer(model, batch_tokens=30)(choices)
    assert found == pytest.approx([written_out(model, choice) for choice in choices], abs=1e-4)


@given(encoded_choices(), st.integers(1, 200))
def test_scores_are_the_same_at_any_batch_size(choices, batch_tokens):
    model = small_model()
    expected = model_scorer(model)(choices)
    assert model_scorer(model, batch_tokens)(choices) == pytest.approx(expected, abs=1e-5)
    np.testing.assert_array_equal(model_scorer(model)(choices), expected)


def test_the_model_is_left_as_it_was_and_scored_without_dropout():
    model = small_model(dropout=0.5).train()
    some = [EncodedChoice(np.arange(10), 4)]
    assert model_scorer(model)(some) == model_scorer(model)(some)
    assert model.training


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_bpe(TEXTS, 500)


@given(st.text(max_size=20), st.text(min_size=1, max_size=8), st.text(min_size=1, max_size=8))
def test_encoded_choices_hold_the_whole_texts_and_score_all_that_differs(tokenizer, context, one, other):
    question = Question("any", context, (one, other), 0)
    first, second = encode_question(question, tokenizer, 1000)
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
    first, second = encode_question(question, tokenizer, 100)
    assert tokenizer.decode(first.ids[: first.start]) == "Tom saw the"
    assert tokenizer.decode(first.ids[first.start :]) == " moon"
    assert tokenizer.decode(second.ids[second.start :]) == " mouse"


def test_a_choice_after_a_space_is_scored_alone(tokenizer):
    for row, ending in zip(
        encode_question(Question("any", "Tom saw the", (" moon.", " dog."), 0), tokenizer, 100),
        (" moon.", " dog."),
        strict=True,
    ):
        assert tokenizer.decode(row.ids[row.start :]) == ending


def test_a_long_context_loses_the_same_first_tokens_for_all_choices(tokenizer):
    context = " ".join(TEXTS)
    whole = encode_question(Question("any", context, (" cat.", " cold and wet dog."), 0), tokenizer, 1000)
    cut = encode_question(Question("any", context, (" cat.", " cold and wet dog."), 0), tokenizer, 20)
    dropped = len(whole[0].ids) - len(cut[0].ids)
    assert max(len(row.ids) - 1 for row in cut) == 20
    for before, after in zip(whole, cut, strict=True):
        np.testing.assert_array_equal(before.ids[dropped:], after.ids)
        assert before.start - dropped == after.start >= 1


def test_a_context_too_short_for_a_choice_is_an_error(tokenizer):
    with pytest.raises(UnavailableError, match="a context of 3 tokens is too short for ' moon moon moon moon'"):
        encode_question(Question("any", "Tom saw", (" moon moon moon moon", " dog"), 0), tokenizer, 3)


def question(answer: int = 0, *choices: str) -> Question:
    return Question("any", "Tom saw the", choices or (" moon.", " dog."), answer)


def test_the_most_likely_choice_counts_and_rounding_decides_nothing():
    near = scoring.TIE / 2
    cases = [(-1.0, -2.0, 1), (-2.0, -1.0, 0), (-1.0, -1.0, 0.5), (-1 - near, -1.0, 0.5), (-1.0, -1 - near, 0.5)]
    for correct, wrong, score in cases:
        assert question_scores([question()], [np.array([correct, wrong])]) == [score]
        assert question_scores([question(1)], [np.array([wrong, correct])]) == [score]
    assert question_scores([question()], [np.array([math.nan, math.nan])]) == [0.5]
    assert question_scores([question(0, " a", " b", " c")], [np.array([-1.0, -1.0, -9.0])]) == [0.5]
    assert question_scores([question(2, " a", " b", " c")], [np.array([-1.0, -1.0, -9.0])]) == [0]


def test_per_byte_divides_by_the_bytes_after_the_space():
    two = question(0, " abcd", " é")  # 4 and 2 bytes
    assert question_scores([two], [np.array([-3.0, -2.0])]) == [0]
    assert question_scores([two], [np.array([-3.0, -2.0])], per_byte=True) == [1]
    assert question_scores([two], [np.array([-4.0, -2.0])], per_byte=True) == [0.5]


def test_wilsons_interval_is_that_of_its_definition():
    """Its ends are the proportions p that are 1.96 standard errors, sqrt(p (1 - p) / n), from the observed one."""
    for right, count in ((0, 10), (5, 10), (9, 10), (250, 300), (10, 10)):
        found = right / count
        for end in wilson_interval(found, count):
            if 1e-9 < end < 1 - 1e-9:  # at 0 and 1 rounding is all there is
                assert abs(found - end) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / count), rel=1e-6)
        low, high = wilson_interval(found, count)
        assert 0 <= low <= found + 1e-12
        assert found - 1e-12 <= high <= 1


def test_figures_are_also_by_kind():
    questions = [
        Question("a", "x", (" b", " c"), 0),
        Question("a", "x", (" b", " c"), 1),
        Question("b", "y", (" d",) * 4, 0),
    ]
    found = accuracy_figures(questions, [np.array([-1.0, -2.0])] * 2 + [np.zeros(4)])
    assert found["accuracy"] == pytest.approx((1 + 0 + 0.25) / 3)
    assert found["chance"] == pytest.approx((0.5 + 0.5 + 0.25) / 3)
    assert (found["kinds"]["a"]["accuracy"], found["kinds"]["b"]["accuracy"]) == (0.5, 0.25)
    assert (found["questions"], found["kinds"]["a"]["questions"]) == (3, 2)


def test_each_question_has_its_own_scores(tokenizer):
    questions = [question(), question(0, " a", " b", " c"), question(1)]
    found = choice_log_probs(
        model_scorer(small_model(vocab_size=500, context_length=64)),
        [encode_question(question, tokenizer, 64) for question in questions],
    )
    assert [len(scores) for scores in found] == [2, 3, 2]
    np.testing.assert_allclose(found[0], found[2], atol=1e-5)


def small_model(**changes) -> GPT:
    values = {"n_layers": 2, "n_heads": 2, "d_model": 16, "d_ff": 32, "vocab_size": VOCAB, "context_length": 16}
    return lively_model(ModelConfig(**{**values, **changes}), 0)
