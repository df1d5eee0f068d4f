"""Rules and grammar of stories, by hand."""

from __future__ import annotations

import pytest

from talewright.evaluate.generation.grammar import grammar_errors, names_reused, pronouns_agree, rule_errors


def test_rules():
    assert rule_errors("A owl had an apple. An hour later a unicorn and a one-eyed mouse ate an egg.") == 1
    assert rule_errors("He had an dog and a apple. the the sun shone. It was very very hot.") == 4
    assert rule_errors("A useful European ewe took an X-ray in an honest way.") == 0


def test_names_and_pronouns():
    assert names_reused("There was a girl named Lily. Lily ran. She had a cat called Tim.") == (2, 1)
    assert names_reused("A Tim named boy Tim ran") == (1, 0)
    assert names_reused("The dog, called back by her, was named “Rex”.") == (0, 0)
    assert pronouns_agree("A boy named Tim ran. He saw his hat. She was sad.") == (3, 2)
    assert pronouns_agree("A girl named Ann ran. Her mom saw her.") == (0, 0)  # two people are "she"
    assert pronouns_agree("A dog ran. He barked.") == (0, 0)


def test_harper_finds_errors_of_grammar_and_none_in_correct_sentences():
    pytest.importorskip("harper", reason="harper-py is not installed: the extra `scores`")
    assert not grammar_errors(["Tom went to the park with his dog. They played all day."])
    errors = grammar_errors(["This is an test of the the linter."])
    assert errors is not None
    assert errors.total() >= 2
