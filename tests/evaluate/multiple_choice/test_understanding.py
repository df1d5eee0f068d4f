"""The questions themselves: balanced, of one form, in words that the stories use; and their figures."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from talewright.evaluate.multiple_choice.scoring import Question, question_scores
from talewright.evaluate.multiple_choice.understanding import (
    KINDS,
    both_correct,
    matched,
    parse_questions,
    understanding_figures,
    understanding_questions,
)

QUESTIONS = understanding_questions()
PAIRS = list(zip(QUESTIONS[::2], QUESTIONS[1::2], strict=True))
WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")


def words(text: str) -> list[str]:
    return WORD.findall(text.lower())


def test_there_are_three_hundred_and_more_and_as_many_of_each_kind():
    counts = Counter(question.kind for question in QUESTIONS)
    assert set(counts) == set(KINDS)
    assert sum(counts.values()) >= 300
    assert min(counts.values()) >= 100
    assert max(counts.values()) <= 1.1 * min(counts.values())


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0].context[:40])
def test_a_pair_swaps_which_of_two_endings_of_one_form_is_correct(pair):
    first, second = pair
    assert first.kind == second.kind
    assert first.choices == second.choices
    assert {first.answer, second.answer} == {0, 1}
    assert first.context != second.context
    one, other = first.choices
    assert one != other
    assert len(one.split()) == len(other.split())
    assert re.sub(r"\w", "", one[-2:]) == re.sub(r"\w", "", other[-2:])  # the same marks end both
    for question in pair:
        assert question.context == question.context.strip()
        assert re.fullmatch(r""" "?[A-Za-z' ]+(?:[.!?]"?|[,!?]" [A-Za-z ]+\.)""", question.choices[question.answer])
        whole = question.context + question.choices[question.answer]
        assert whole.count('"') % 2 == 0
        assert "  " not in whole


def test_no_question_occurs_twice():
    assert max(Counter(question.context for question in QUESTIONS).values()) == 1
    endings = Counter(frozenset(question.choices) for question in QUESTIONS)
    assert max(endings.values()) <= 6  # three pairs may share their endings, no more


def test_the_endings_alone_answer_half():
    """Any preference for one ending over another has exactly one of each pair right."""
    rng = np.random.default_rng(0)
    preference = {choice: rng.normal() for question in QUESTIONS for choice in question.choices}

    def preference_of(question: Question) -> np.ndarray:
        return np.array([preference[choice] for choice in question.choices])

    scores = question_scores(QUESTIONS, [preference_of(question) for question in QUESTIONS])
    assert scores.mean() == 0.5
    assert both_correct(scores) == 0
    assert set(matched(QUESTIONS, [preference_of(question) for question in QUESTIONS])) == {0.5}


def test_the_more_recent_ending_is_correct_in_about_half():
    recent = []
    for question in QUESTIONS:
        text = " ".join(words(question.context))
        places = [f" {text} ".rfind(f" {' '.join(words(choice))} ") for choice in question.choices]
        if min(places) >= 0:
            recent.append(places[question.answer] == max(places))
    assert len(recent) > 80
    assert 0.4 < np.mean(recent) < 0.6


def test_every_word_occurs_in_real_stories(shared):
    known = Counter(words((shared / "tinystories" / "train.txt").read_text(encoding="utf-8").replace("’", "'")))
    used = {word for question in QUESTIONS for word in words(question.context + " ".join(question.choices))}
    assert {word: known[word] for word in used if known[word] < 5} == {}


def test_pairs_with_both_questions_right_are_counted():
    assert both_correct(np.array([1, 1, 1, 0, 0, 1, 0.5, 1])) == 0.25


def test_a_pair_is_matched_if_its_contexts_say_enough():
    """For any frequency of the endings: the evidence is whether its own context makes an ending more likely."""
    pair = list(QUESTIONS[:2])
    preference = np.array([5.0, 0.0])
    for evidence, expected in ((0.3, 1), (-0.3, 0), (0.0, 0.5), (float("nan"), 0.5)):
        scores = [preference + evidence * np.eye(2)[question.answer] for question in pair]
        assert matched(pair, scores) == [expected]
        assert both_correct(question_scores(pair, scores)) == 0


def test_a_perfect_model_has_all_right_and_one_that_ties_half():
    perfect = [np.eye(2)[question.answer] for question in QUESTIONS]
    assert understanding_figures(perfect)["accuracy"] == 1
    assert understanding_figures(perfect)["both_of_a_pair"] == 1
    assert understanding_figures(perfect)["matched"]["accuracy"] == 1
    assert understanding_figures(perfect)["matched"]["questions"] * 2 == len(QUESTIONS)
    tied = understanding_figures([np.zeros(2)] * len(QUESTIONS))
    assert (tied["accuracy"], tied["both_of_a_pair"], tied["chance"]) == (0.5, 0, 0.5)
    assert [kind["accuracy"] for kind in tied["kinds"].values()] == [0.5] * 3


def test_a_file_is_parsed_in_pairs():
    first, second = parse_questions(
        "facts", "# a comment\n\nIt rains. It is | wet.\nThe sun shines. It is | dry.\n\n# end\n"
    )
    assert (first.context, first.choices, first.answer) == ("It rains. It is", (" wet.", " dry."), 0)
    assert (second.context, second.choices, second.answer) == ("The sun shines. It is", (" wet.", " dry."), 1)


@pytest.mark.parametrize("text", ["One | line.", "One | line.\nAnother without.", "a | b.\nc | d.\ne | f."])
def test_a_file_that_is_not_in_pairs_is_refused(text):
    with pytest.raises(ValueError, match="facts: not a pair"):
        parse_questions("facts", text)


def test_the_questions_of_a_kind_are_adjacent():
    kinds = [question.kind for question in QUESTIONS]
    assert sum(one != other for one, other in pairwise(kinds)) == 2
