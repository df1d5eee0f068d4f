"""Which figures fit: by blanks and by words, seen in the stories themselves."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.data import bundled
from talewright.evaluate.language import Language, language_of
from talewright.evaluate.ngrams import words_of

CHINESE = "从前有一只小熊，名字叫阿宝。小熊在森林里找到了一块石头。从此，小熊和小鱼成了好朋友。"
JAPANESE = "むかしむかし、あるところに、クマさんがいました。クマさんは、まいにち山へ行きました。"
THAI = "กาลครั้งหนึ่งนานมาแล้ว มีหมีน้อยตัวหนึ่ง อาศัยอยู่ในป่า มันชอบกินน้ำผึ้ง"
GERMAN = "Es war einmal ein kleiner Bär, der in einem Wald lebte. Er hatte einen Freund, und in der Nacht war es kalt. "
DUTCH = "Er was eens een kleine beer. Hij was in het bos en had een vriend of twee. Het is een mooie dag. "
FRENCH = "Il était une fois un petit ours. Il vivait dans la forêt et il a un ami. On a mangé du miel à la maison. "
RUSSIAN = "Жил-был маленький медведь. Он жил в лесу, и у него был друг. Однажды они пошли гулять. "
HINDI = "एक बार की बात है, एक छोटा भालू जंगल में रहता था। उसका एक दोस्त था। वे हर दिन खेलते थे। "
KOREAN = "옛날 옛적에 작은 곰이 숲에 살았습니다. 곰에게는 친구가 있었습니다. 그들은 매일 놀았습니다. "
SHAKESPEARE = "Before we proceed any further, hear me speak. You are all resolved rather to die than to famish? " * 4
CODE = "for i in range(10):\n    print(i, end='')\nwhile x < y:\n    x += 1\n    foo(x)\n"


@pytest.mark.parametrize("text", [CHINESE, JAPANESE, THAI, CHINESE + "The bear ran to the house and she hid."])
def test_scripts_without_blanks_are_counted_by_character(text):
    found = language_of([text] * 5)
    assert found == Language(spaced=False, english=False)
    assert "No spaces separate the words" in str(found.note)


@pytest.mark.parametrize("text", [GERMAN, DUTCH, FRENCH, RUSSIAN, HINDI, KOREAN, CODE])
def test_other_languages_have_words_but_no_english(text):
    found = language_of([text] * 5)
    assert found == Language(spaced=True, english=False)
    assert "not in English" in str(found.note)


@pytest.mark.parametrize("texts", [[], [""], ["..."], ["Ein Bär."], [SHAKESPEARE], list(bundled.stories(30))])
def test_english_and_what_is_too_short_to_tell_are_english(texts):
    assert language_of(texts) == Language()
    assert Language().note is None


@given(st.lists(st.sampled_from(list(bundled.stories(200))), min_size=1), st.sampled_from(["", CHINESE[:3]]))
def test_drawn_english_stories_are_english_also_with_a_foreign_name(texts, name):
    assert language_of([f"{text} {name}" for text in texts]).english


@given(st.lists(st.sampled_from([CHINESE, JAPANESE, THAI]), min_size=1, max_size=20), st.integers(10, 40))
def test_drawn_parts_of_texts_without_blanks_are_seen(texts, length):
    assert not language_of([text[:length] for text in texts]).spaced


@given(st.text(alphabet=st.characters(max_codepoint=0x2FF, exclude_characters="İ")))
def test_words_of_other_alphabets_are_runs_of_letters_and_digits(text):
    assert words_of(text) == re.findall(r"[^\W_]+", text.lower())


def test_each_character_is_a_word_where_no_blanks_separate_words_and_keeps_its_marks():
    assert words_of("小熊, Tom 2号") == ["小", "熊", "tom", "2", "号"]
    assert words_of("หมีมี") == ["ห", "มี", "มี"]
    assert words_of("एक बार") == ["एक", "बार"]
    assert words_of("Cafe\u0301s") == ["cafe\u0301s"]


@given(st.text())
def test_words_of_any_text_hold_each_of_its_letters_once(text):
    joined = "".join(words_of(text))
    letters = [c for c in text.lower() if c.isalnum()]
    assert [c for c in joined if c.isalnum()] == letters
