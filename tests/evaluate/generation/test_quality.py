"""Scores of told stories against nltk's, by hand, and against what a reader would say."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talewright.config import DataConfig
from talewright.data import read_stories
from talewright.evaluate import language, speech
from talewright.evaluate.generation.classifier import Features, lengths_agree, told_apart
from talewright.evaluate.generation.ngrams import words_of
from talewright.evaluate.generation.pos_tags import speech_agrees, speech_of
from talewright.evaluate.generation.quality import Reference, story_figures
from talewright.evaluate.generation.repetition import distinct, loops, repeated, self_bleu

stories = st.lists(st.lists(st.sampled_from("abcde"), max_size=20), max_size=6)


@settings(max_examples=200)
@given(stories)
def test_self_bleu_is_nltks(found):
    bleu = pytest.importorskip("nltk.translate.bleu_score", reason="nltk is not installed")
    method = bleu.SmoothingFunction().method1
    others = [found[:i] + found[i + 1 :] for i in range(len(found))]
    expected = 0.0
    for own, rest in zip(found, others, strict=True):
        if own and rest:
            expected += bleu.sentence_bleu(rest, own, smoothing_function=method) / len(found)
    assert self_bleu(found) == pytest.approx(expected, abs=1e-9)


def test_repetition_is_counted():
    assert repeated(["a", "b", "c", "d", "a", "b", "c", "d"]) == pytest.approx(1 / 5)
    assert repeated(["a"]) == 0
    assert distinct([["a", "b", "a"], ["b", "a"]], 2, 100) == pytest.approx(2 / 3)
    assert distinct([["a", "b", "a"], ["b", "a"]], 1, 2) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("He ran and ran. He was very, very, very happy.", False),
        ("She had a ball. She had a dog. She had a cat.", False),
        ("The dog ran home. He ate. The dog ran home! He slept. The dog  ran home.", True),
        ("the cat the cat the cat", True),
        ("no no no no no no", True),
        ("He went up the hill and down the hill and up the hill.", False),
    ],
)
def test_a_loop_is_what_a_reader_would_call_one(text, expected):
    assert loops(text, words_of(text)) is expected


def test_quotes_ends_and_rules():
    assert language.ends('"Yes," he said. "Come!"\n')
    assert not language.ends("And then the")
    assert language.quotes_closed('"Hi," said Tom.\n\n"Bye."') == (1, 1)
    assert language.quotes_closed('"Hi, said Tom.') == (1, 0)
    assert language.quotes_closed('said "Hi," Bye." "I am') == (1, 0)
    assert language.quotes_closed("“Hi,” he said.") == (1, 1)
    assert language.quotes_closed("”Hi,“ he said.") == (1, 0)
    assert language.quotes_closed('"Hi, said Tom.\n\nBye," said Ann.') == (1, 0)
    assert language.quotes_closed("Nobody spoke.") == (0, 0)
    assert language.rule_faults("A owl had an apple. An hour later a unicorn and a one-eyed mouse ate an egg.") == 1
    assert language.rule_faults("He had an dog and a apple. the the sun shone. It was very very hot.") == 4
    assert language.rule_faults("A useful European ewe took an X-ray in an honest way.") == 0


def test_names_and_pronouns():
    kept = "There was a girl named Lily. Lily ran. She had a cat called Tim."
    assert language.names_kept(kept) == (2, 1)
    assert language.names_kept("A Tim named boy Tim ran") == (1, 0)
    assert language.names_kept("The dog, called back by her, was named “Rex”.") == (0, 0)
    assert language.pronouns_agree("A boy named Tim ran. He saw his hat. She was sad.") == (3, 2)
    assert language.pronouns_agree("A girl named Ann ran. Her mom saw her.") == (0, 0)  # two persons are she
    assert language.pronouns_agree("A dog ran. He barked.") == (0, 0)


def test_harper_finds_faults_of_grammar_and_none_in_whole_sentences():
    pytest.importorskip("harper", reason="harper-py is not installed: the extra `scores`")
    assert not language.grammar_faults(["Tom went to the park with his dog. They played all day."])
    broken = "This is an test of the the linter."
    assert language.grammar_faults([broken]).total() >= 2
    known = frozenset(words_of(broken))
    assert story_figures([broken], Reference([broken], known))["grammar"]["faults"] >= 250
    assert story_figures([broken], Reference([broken], known - {"this", "linter"}))["grammar"] is None  # no language


rows = st.dictionaries(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), st.integers(1, 9), min_size=1)


@given(rows, rows)
def test_speech_agrees_by_what_the_mixture_has_more_of_entropy(told, real):
    def entropy(counts: dict) -> float:
        return -sum(share * math.log2(share) for share in counts.values())

    shares = [{row: times / sum(counts.values()) for row, times in counts.items()} for counts in (told, real)]
    mixture = {row: (shares[0].get(row, 0) + shares[1].get(row, 0)) / 2 for row in {*told, *real}}
    expected = 1 - entropy(mixture) + (entropy(shares[0]) + entropy(shares[1])) / 2
    assert speech_agrees(Counter(told), Counter(real)) == pytest.approx(expected, abs=1e-9)
    assert speech_agrees(Counter(), Counter(real)) == 0


def test_parts_of_speech_tell_whole_stories_from_their_words_shuffled(real, monkeypatch):
    pytest.importorskip("textblob", reason="textblob is not installed: the extra `scores`")
    rng = random.Random(0)
    shuffled = [" ".join(rng.sample(text.split(), len(text.split()))) for text in real[:100]]
    whole, other, broken = map(speech_of, (real[:100], real[100:200], shuffled))
    assert speech_agrees(other, whole) > 0.9
    assert speech_agrees(broken, whole) < 0.8
    monkeypatch.setattr(speech, "TAGS", 50)
    assert speech_of(real).total() < 50


def test_lengths_that_agree():
    assert lengths_agree([1, 2, 3], [3, 2, 1]) == 1
    assert lengths_agree([1, 2], [5, 6]) == 0
    assert lengths_agree([1, 5], [5, 5]) == 0.5


@pytest.fixture(scope="module")
def real() -> list[str]:
    found = read_stories(DataConfig(source="bundled", limit=300))
    return list(found)


def test_shuffled_words_are_told_apart_and_other_stories_of_the_same_kind_are_not(real):
    rng = random.Random(0)
    shuffled = [" ".join(rng.sample(text.split(), len(text.split()))).lower() for text in real[100:200]]
    features = Features(real[:100])
    assert told_apart(shuffled, real[:100], features) > 0.95
    assert 0.3 < told_apart(real[100:200], real[:100], features) < 0.7


def test_stories_that_are_the_same_cannot_be_told_apart(real):
    assert told_apart(real[:50], real[:50], Features(real[:50])) <= 0.5


def test_real_stories_are_better_than_their_words_shuffled_in_every_figure(real):
    vocabulary = frozenset(word for text in real for word in words_of(text))
    reference = Reference(real[:100], vocabulary)
    rng = random.Random(0)
    shuffled = [" ".join(rng.sample(text.split(), len(text.split()))) for text in real[100:200]]
    whole, broken = story_figures(real[100:200], reference), story_figures(shuffled, reference)
    assert whole["sentence_end"] > broken["sentence_end"]
    for name in ("quotes_closed", "names_kept"):
        assert whole[name]["share"] > 2 * broken[name]["share"]
    assert whole["rule_faults"] < broken["rule_faults"]
    assert whole["told_apart"] < broken["told_apart"]
    assert whole["invented"]["share"] == broken["invented"]["share"] == 0


def test_words_that_no_training_story_has_are_invented():
    figures = story_figures(
        ["Tom saw a glorp. A glorp!"], Reference(["Tom saw a dog."], frozenset(["tom", "saw", "a"]))
    )
    assert figures["invented"] == {"share": 2 / 6, "words": ["glorp"]}


def test_any_texts_have_figures(real):
    figures: dict[str, Any] = story_figures(["", "...", "a"], Reference(real[:3], None))
    assert figures["stories"] == 3
    assert figures["invented"] is None
