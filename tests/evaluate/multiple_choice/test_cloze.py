"""Cloze questions: where the blanks are, that only the story says what is correct, and that they never change."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest

from talewright.evaluate.multiple_choice.cloze import cloze_questions
from talewright.evaluate.multiple_choice.scoring import Question

WORD = re.compile(r"\w+")
NAMES, THINGS = ["Lily", "Tom", "Anna", "Ben", "Sue"], ["ball", "kite", "drum", "book", "cake"]


def story_of(number: int) -> str:
    """A story in which names, things and pronouns come in any order."""
    draw = random.Random(number)
    one, other = draw.sample(NAMES, 2)
    first, second = draw.sample(THINGS, 2)
    some, more = draw.sample(["he", "she"], 2)
    lines = [f"One day {one} met {other} by the tree number {number}.", f"There was the {first} and the {second}."]
    for _ in range(draw.randint(4, 9)):
        lines.append(
            draw.choice(
                [
                    f"Then {draw.choice((one, other))} was glad.",
                    f"They ran to the {draw.choice((first, second))} and sat.",
                    f"So {draw.choice((some, more))} laughed a lot.",
                ]
            )
        )
    return " ".join(lines)


STORIES = [story_of(number) for number in range(1500)]
QUESTIONS = cloze_questions(STORIES)


def correct_word(question: Question) -> str:
    return WORD.findall(question.choices[question.answer])[0]


def wrong_word(question: Question) -> str:
    return WORD.findall(question.choices[1 - question.answer])[0]


def test_there_are_as_many_of_each_kind():
    assert Counter(question.kind for question in QUESTIONS) == {"names": 100, "things": 100, "pronouns": 100}


@pytest.mark.parametrize("question", QUESTIONS[::10], ids=lambda question: question.kind)
def test_the_correct_choice_is_the_storys_own_and_the_wrong_one_another_of_its_words(question):
    story = next(story for story in STORIES if story.startswith(question.context + question.choices[question.answer]))
    assert question.choices[question.answer].endswith((".", '"'))
    correct, wrong = correct_word(question), wrong_word(question)
    assert question.choices[1 - question.answer] == f" {wrong}" + question.choices[question.answer][len(correct) + 1 :]
    before = question.context.lower()
    assert {correct.lower(), wrong.lower()} <= set(WORD.findall(before))
    sentence = before.split(".")[-1] + story[len(question.context) :].split(".")[0].lower()
    assert WORD.findall(sentence).count(correct.lower()) == 1
    assert wrong.lower() not in WORD.findall(sentence)


@pytest.mark.parametrize("kind", ["names", "things", "pronouns"])
def test_a_simple_rule_answers_half(kind):
    some = [question for question in QUESTIONS if question.kind == kind]
    last = more = 0
    for question in some:
        before, correct, wrong = question.context.lower(), correct_word(question).lower(), wrong_word(question).lower()
        words = WORD.findall(before)
        last += words[::-1].index(correct) < words[::-1].index(wrong)
        more += words.count(correct) > words.count(wrong)
    assert last == len(some) / 2
    if kind == "pronouns":
        assert sum(correct_word(question).lower() == "he" for question in some) == len(some) / 2
    else:
        assert more == len(some) / 2


def test_the_position_of_the_correct_choice_says_nothing():
    assert 0.4 < sum(question.answer for question in QUESTIONS) / len(QUESTIONS) < 0.6


def test_they_are_the_same_in_any_order_of_the_stories():
    shuffled = random.Random(5).sample(STORIES, len(STORIES))
    assert cloze_questions(shuffled) == QUESTIONS == cloze_questions(STORIES + STORIES[:50])


def test_a_story_gives_one_question_of_a_kind_at_most():
    starts = Counter((question.kind, question.context[:45]) for question in QUESTIONS)
    assert max(starts.values()) == 1


def test_few_stories_give_few_balanced_questions_and_none_give_none():
    few = cloze_questions(STORIES[:60])
    assert 0 < len(few) < 60
    assert all(count % 4 == 0 for count in Counter(question.kind for question in few).values())
    assert cloze_questions([]) == cloze_questions(["A story."]) == []


def blanks_of(story: str, kind: str) -> list[str]:
    """The correct and the wrong word of each possible question from one story."""
    from talewright.evaluate.multiple_choice import cloze

    return [correct_word(blank.question) + "/" + wrong_word(blank.question) for blank in cloze._KINDS[kind](story)]


def test_a_title_is_not_a_name_and_a_longer_name_not_a_blank():
    story = "One day Tom met old Mr. Fox and Tim. Then Tom, Tom and old Mr. Fox sat down. So Tom's mom and Fox came."
    assert all("Mr" not in words for words in blanks_of(story, "names"))
    assert "Tom/Fox" not in blanks_of("One day Tom met old Fox. Then old Tom's mom came. Tom ran.", "names")


def test_no_blank_has_the_other_word_in_its_sentence():
    assert blanks_of("One day Tom met Sue. Tom ran. Then Tom saw her.", "names") == ["Tom/Sue"]
    assert blanks_of("One day Tom met Sue. Tom ran. Then Tom saw Sue.", "names") == []


def test_a_thing_is_compared_with_one_of_the_same_number():
    story = (
        "She saw the ball and the kite. The cat had the balls. He took the ball. He took the ball. He ran to the balls."
    )
    assert set(blanks_of(story, "things")) == {"ball/kite", "ball/cat"}  # not "ball/balls" or the reverse
