"""The questions themselves: balanced, of one form, in words that the stories use; and what their answers come to."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from talewright.evaluate.multiple_choice.scoring import Question, marks
from talewright.evaluate.multiple_choice.understanding import (
    KINDS,
    both_right,
    figures_of_pairs,
    matched,
    questions,
    read_questions,
)

PAIRS = list(zip(questions()[::2], questions()[1::2], strict=True))
WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")


def words(text: str) -> list[str]:
    return WORD.findall(text.lower())


def test_there_are_three_hundred_and_more_and_as_many_of_each_kind():
    counts = Counter(question.kind for question in questions())
    assert set(counts) == set(KINDS)
    assert sum(counts.values()) >= 300
    assert min(counts.values()) >= 100
    assert max(counts.values()) <= 1.1 * min(counts.values())


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0].context[:40])
def test_a_pair_swaps_which_of_two_endings_of_one_form_is_right(pair):
    first, second = pair
    assert first.kind == second.kind
    assert first.choices == second.choices
    assert {first.right, second.right} == {0, 1}
    assert first.context != second.context
    one, other = first.choices
    assert one != other
    assert len(one.split()) == len(other.split())
    assert re.sub(r"\w", "", one[-2:]) == re.sub(r"\w", "", other[-2:])  # the same marks end both
    for question in pair:
        assert question.context == question.context.strip()
        assert re.fullmatch(r""" "?[A-Za-z' ]+(?:[.!?]"?|[,!?]" [A-Za-z ]+\.)""", question.choices[question.right])
        whole = question.context + question.choices[question.right]
        assert whole.count('"') % 2 == 0
        assert "  " not in whole


def test_no_question_is_asked_twice():
    assert max(Counter(question.context for question in questions()).values()) == 1
    endings = Counter(frozenset(question.choices) for question in questions())
    assert max(endings.values()) <= 6  # three pairs may share their endings, no more


def test_the_endings_alone_answer_half():
    """Any liking for one ending over another, whatever it is, has one of each pair right."""
    rng = np.random.default_rng(0)
    liking = {choice: rng.normal() for question in questions() for choice in question.choices}

    def liking_of(question: Question) -> np.ndarray:
        return np.array([liking[choice] for choice in question.choices])

    given = marks(questions(), [liking_of(question) for question in questions()])
    assert given.mean() == 0.5
    assert both_right(given) == 0
    assert set(matched(questions(), [liking_of(question) for question in questions()])) == {0.5}


def test_what_was_told_last_is_right_about_as_often_as_not():
    told = []
    for question in questions():
        text = " ".join(words(question.context))
        places = [f" {text} ".rfind(f" {' '.join(words(choice))} ") for choice in question.choices]
        if min(places) >= 0:
            told.append(places[question.right] == max(places))
    assert len(told) > 80
    assert 0.4 < np.mean(told) < 0.6


def test_every_word_stands_in_real_stories(shared):
    told = Counter(words((shared / "tinystories" / "train.txt").read_text(encoding="utf-8").replace("’", "'")))
    used = {word for question in questions() for word in words(question.context + " ".join(question.choices))}
    assert {word: told[word] for word in used if told[word] < 5} == {}


def test_pairs_are_counted_where_both_are_right():
    assert both_right(np.array([1, 1, 1, 0, 0, 1, 0.5, 1])) == 0.25


def test_a_pair_is_matched_where_its_beginnings_tell_enough():
    """Whatever an ending's own liking: what counts is whether its own beginning makes it likelier than the other's."""
    pair = list(questions()[:2])
    like = np.array([5.0, 0.0])
    for told, found in ((0.3, 1), (-0.3, 0), (0.0, 0.5), (float("nan"), 0.5)):
        scores = [like + told * np.eye(2)[question.right] for question in pair]
        assert matched(pair, scores) == [found]
        assert both_right(marks(pair, scores)) == 0


def test_whoever_knows_all_has_all_right_and_whoever_ties_half():
    knowing = [np.eye(2)[question.right] for question in questions()]
    assert figures_of_pairs(knowing)["accuracy"] == 1
    assert figures_of_pairs(knowing)["both_of_a_pair"] == 1
    assert figures_of_pairs(knowing)["matched"]["accuracy"] == 1
    assert figures_of_pairs(knowing)["matched"]["questions"] * 2 == len(questions())
    ignorant = figures_of_pairs([np.zeros(2)] * len(questions()))
    assert (ignorant["accuracy"], ignorant["both_of_a_pair"], ignorant["chance"]) == (0.5, 0, 0.5)
    assert [kind["accuracy"] for kind in ignorant["kinds"].values()] == [0.5] * 3


def test_a_file_is_read_in_pairs():
    first, second = read_questions(
        "facts", "# a remark\n\nIt rains. It is | wet.\nThe sun shines. It is | dry.\n\n# end\n"
    )
    assert (first.context, first.choices, first.right) == ("It rains. It is", (" wet.", " dry."), 0)
    assert (second.context, second.choices, second.right) == ("The sun shines. It is", (" wet.", " dry."), 1)


@pytest.mark.parametrize("text", ["One | line.", "One | line.\nAnother without.", "a | b.\nc | d.\ne | f."])
def test_a_file_that_is_not_in_pairs_is_refused(text):
    with pytest.raises(ValueError, match="facts: no pair"):
        read_questions("facts", text)


def test_the_questions_of_a_kind_stand_together():
    kinds = [question.kind for question in questions()]
    assert sum(one != other for one, other in pairwise(kinds)) == 2
