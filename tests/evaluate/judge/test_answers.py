"""Grades in judges' answers: read exactly, or not at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talewright.evaluate.judge.answers import AGES, ASPECTS, parse_grade, read_age, read_score
from tests.evaluate.judge.judge_server import grade

GRADE: dict[str, Any] = {"grammar": 7, "creativity": 5, "consistency": 7, "plot": 6, "age": "C"}
OTHER = json.dumps({**GRADE, "grammar": 2, "age": "F"})
WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen"]
WORDS += ["fourteen", "fifteen", "sixteen"]
YEARS = {"A": [1, 2, 3], "B": [4, 5], "C": [6, 7], "D": [8, 9], "E": [10, 11, 12], "F": [13, 14, 15, 16]}
LETTER_OF = {year: letter for letter, years in YEARS.items() for year in years}
grades = st.fixed_dictionaries({name: st.integers(1, 10) for name in ASPECTS} | {"age": st.sampled_from("ABCDEF")})
SCORES = ("{}", "{}/10", "{} / 10", "{} out of 10", "{}.0", "{}.0/10", "{word}", "{Word}")
THOUGHTS = (
    "<think>{}</think>",
    "{}</think>",
    "<thinking>\n{}\n</thinking>",
    "<reasoning>{}</reasoning>",
    '<think type="deep">{}</think>',
    "[THINK]{}[/THINK]",
    "◁think▷{}◁/think▷",
    "<|begin_of_thought|>{}<|end_of_thought|>",
    "<|START_THINKING|>{}<|END_THINKING|>",
    "<seed:think>{}</seed:think>",
    '<details type="reasoning">{}</details>',
    "<|channel>thought\n{}<channel|>",
    "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>",
)


def ages_of(letter: str) -> list[str]:
    first, last = YEARS[letter][0], YEARS[letter][-1]
    forms = [letter, letter.lower(), f"{letter}: {AGES[letter]}", f"({letter})", AGES[letter], f"Group {letter}"]
    forms += [f"{first} to {last} years old", f"{WORDS[first - 1]} to {WORDS[last - 1]}", f"between {first} and {last}"]
    forms += [f"{first}–{last}", *(f"around {year} years old" for year in YEARS[letter])]
    return [*forms, *(f"a {year}-year-old" for year in YEARS[letter]), *(WORDS[year - 1] for year in YEARS[letter])]


@st.composite
def rendered(draw: st.DrawFn, values: dict[str, Any]) -> str:
    """The grades in some form in which models answer."""
    names = draw(st.permutations([*ASPECTS, "age"]))
    texts = {}
    for name in names:
        number = values[name]
        if name == "age":
            texts[name] = draw(st.sampled_from(ages_of(number)))
        else:
            word = WORDS[number - 1]
            texts[name] = draw(st.sampled_from(SCORES)).format(number, word=word, Word=word.title())
    form = draw(st.sampled_from(["json", "fenced", "nested", "scored", "lines", "bold", "table", "dash", "one line"]))
    if form in ("json", "fenced", "nested", "scored"):
        value: Any = {name.title() if draw(st.booleans()) else name: texts[name] for name in names}
        if form == "scored":
            value = {name: {"why": "It is 9 lines long.", "score": text} for name, text in value.items()}
        text = json.dumps({"grades": value} if form == "nested" else value, indent=draw(st.sampled_from([None, 2])))
        return f"```json\n{text}\n```" if form == "fenced" else text
    if form == "one line":
        return ", ".join(f"{name}: {texts[name]}" for name in names)
    patterns = {"lines": "{}: {}", "bold": "- **{} score:** {}", "table": "| {} | {} |", "dash": "1. {} – *{}*"}
    return "\n".join(patterns[form].format(name.title(), texts[name]) for name in names)


@settings(max_examples=200)
@given(values=grades, data=st.data())
def test_drawn_grades_in_drawn_forms_are_read_back(values, data):
    text = data.draw(rendered(values))
    before = data.draw(st.sampled_from(["", "Here are the grades:\n", "The student writes well.\n\n"]))
    assert parse_grade(before + text + data.draw(st.sampled_from(["", "\n\nWell done!"]))) == values


@settings(max_examples=200)
@given(values=grades, weighed=grades, form=st.sampled_from(THOUGHTS), data=st.data())
def test_grades_in_thoughts_are_never_read(values, weighed, form, data):
    thoughts = form.format(data.draw(rendered(weighed)))
    assert parse_grade(f"{thoughts}\n{data.draw(rendered(values))}") == values
    with pytest.raises(ValueError, match="the answer"):
        parse_grade(thoughts)


@settings(max_examples=200)
@given(values=grades, form=st.sampled_from(THOUGHTS[:1] + THOUGHTS[2:]), data=st.data())
def test_an_answer_that_breaks_off_within_its_thoughts_is_not_read(values, form, data):
    cut = form.split("{}")[0] + data.draw(rendered(values))
    with pytest.raises(ValueError, match="the answer breaks off within its thoughts"):
        parse_grade(cut)


@settings(max_examples=200)
@given(values=grades, cut=st.integers(0, 200), data=st.data())
def test_a_part_of_an_answer_gives_its_own_grades_or_none(values, cut, data):
    text = data.draw(rendered(values))
    try:
        found = parse_grade(text[cut:])
    except ValueError:
        return
    assert found == values


@given(one=grades, other=grades, data=st.data())
def test_two_sets_of_grades_are_read_only_if_they_agree(one, other, data):
    text = json.dumps(one) + "\n" + json.dumps(other)
    if one == other:
        assert parse_grade(text) == one
    else:
        with pytest.raises(ValueError, match="two sets of grades that differ"):
            parse_grade(text)


@pytest.mark.parametrize(
    "text",
    [
        grade(),
        f"Here it is:\n```json\n{grade()}\n```\nWell done!",
        'I think {maybe} so. {"grammar": "7/10", "creativity": 5.0, "consistency": "7", "plot": 6, "age": "C: 6-7"}',
        '{"plot": 6, "age": "c", "grammar": 7, "consistency": 7, "creativity": 5, "remark": "nice"}',
        f"<think>Maybe {OTHER}?</think>{grade()}",
        "Grammar score (1-10): 7 - good\nCreativity: 5 (little is new)\nConsistency: 7.\nPlot: 6/10\nAge: C (6-7)",
        "Grammar: 7. Creativity: 5. Consistency: 7. Plot: 6. Age group: C.",
        "{'grammar': 7, 'creativity': 5, 'consistency': 7, 'plot': 6, 'age': 'C',}",
    ],
)
def test_a_grade_is_parsed_whatever_surrounds_it(text):
    assert parse_grade(text) == GRADE


@pytest.mark.parametrize(
    "change",
    [
        {"grammar": 0},
        {"plot": 11},
        {"plot": 6.5},
        {"plot": "good"},
        {"plot": None},
        {"plot": True},
        {"plot": "4/5"},
        {"plot": "60%"},
        {"plot": "6-7"},
        {"plot": "-6"},
        {"plot": float("nan")},
        {"plot": float("inf")},
        {"creativity": [5]},
        {"age": "G"},
        {"age": ""},
        {"age": "Adult"},
        {"age": "C or D"},
        {"age": "C: 8-9"},
        {"age": "7-8"},
        {"age": 17},
        {"age": "a child"},
        {"age": None},
        {"age": True},
    ],
)
def test_values_out_of_range_are_refused(change):
    with pytest.raises(ValueError, match="the answer has a"):
        parse_grade(json.dumps({**GRADE, **change}))
    missing = {key: value for key, value in GRADE.items() if key not in change}
    with pytest.raises(ValueError, match=f"the answer has no grade for {next(iter(change))}"):
        parse_grade(json.dumps(missing))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I cannot grade a story.",
        "Grammar: 7\nCreativity: 5\nConsistency: 7\nPlot: 6\nAge: C\nOn second thought, the grammar is an 8.",
        "Grammar: seven - or eight\nCreativity: 5\nConsistency: 7\nPlot: 6\nAge: C",
        "| Grammar | Creativity | Consistency | Plot | Age |\n|---|---|---|---|---|\n| 7 | 5 | 7 | 6 | C |",
        '{"grammar": 1-10, "creativity": 1-10, "consistency": 1-10, "plot": 1-10, "age": "A"-"F"}',
        '{"grammar": 7, "grammar": 8, "creativity": 5, "consistency": 7, "plot": 6, "age": "C"}',
        "{" * 5000,
        '{"a":' * 5000,
    ],
)
def test_what_is_not_certain_is_refused(text):
    with pytest.raises(ValueError, match="the answer"):
        parse_grade(text)


@given(st.text() | st.text(alphabet='{}"grammplot:<think>/ 123,\n'))
def test_any_text_is_parsed_or_refused(text):
    with pytest.raises(ValueError, match="the answer"):
        parse_grade(text)


@given(st.integers(-3, 30), st.sampled_from(["{}", "{}/10", "{}.0", "{}.5", "{}%", "{}/5", "about {}", "{}-{}"]))
def test_a_score_is_a_whole_number_of_ten_or_refused(number, form):
    whole = form in ("{}", "{}/10", "{}.0") and 1 <= number <= 10
    text = form.format(number, number + 1)
    if whole:
        assert read_score(text) == number
    else:
        with pytest.raises(ValueError, match="no whole number"):
            read_score(text)


@given(st.integers(0, 20), st.integers(0, 20), st.sampled_from(["{}-{}", "{} to {}", "ages {}–{}", "{} or {} years"]))
def test_two_ages_are_one_group_or_refused(one, two, form):
    letter = LETTER_OF.get(one or 1)
    if letter is not None and letter == LETTER_OF.get(two or 1) and one <= two:
        assert read_age(form.format(one, two)) == letter
    else:
        with pytest.raises(ValueError, match="age"):
            read_age(form.format(one, two))


@pytest.mark.parametrize(
    ("text", "letter"),
    [("3 or under", "A"), ("under 4", "A"), ("three or younger", "A"), ("13+", "F"), ("13 or older", "F"), (6.5, "C")],
)
def test_open_ages_are_read(text, letter):
    assert read_age(text) == letter


@pytest.mark.parametrize("text", ["5 or under", "under 6", "10+", "over 16", 7.5, "7 months", "B - 12"])
def test_ages_of_several_groups_are_refused(text):
    with pytest.raises(ValueError, match="age"):
        read_age(text)
