from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.errors import UserError
from tests.data.sources.test_formats import read

texts = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), min_size=2, max_size=6)
OTHER = {"id": 3, "tags": ["a tag of more than twenty characters", "another tag of more than that"], "meta": {"n": [1]}}


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


def lines(rows: list[Any], indent: int | None = None) -> str:
    return "".join(json.dumps(row, indent=indent) + "\n" for row in rows)


def layouts(stories: list[str], indent: int | None) -> dict[str, str]:
    rows = [{**OTHER, "text": story} for story in stories]
    numbered = {str(n): story for n, story in enumerate(stories)}
    whole = {
        "list of objects": rows,
        "list of strings": stories,
        "columns": {"id": list(range(len(stories))), "text": stories},
        "pandas": {"id": {str(n): n for n in range(len(stories))}, "text": numbered},
        "table": {"version": "1", "tags": OTHER["tags"], "data": rows, "about": {"rows": 3}},
        "rows of the hub": {"features": [{"name": "text"}], "rows": [{"row_idx": 1, "row": row} for row in rows]},
        "nested": [{"id": 1, "story": {"title": "x", "text": story}} for story in stories],
    }
    return {
        "lines": lines(rows),
        "strings": lines(stories),
        "objects one after another": lines(rows, indent),
        **{name: json.dumps(value, indent=indent) for name, value in whole.items()},
    }


@given(
    stories=texts,
    indent=st.sampled_from([None, 2]),
    ending=st.sampled_from(["json", "jsonl"]),
    piece=st.integers(1, 30),
)
def test_every_layout_is_read_whatever_the_ending(stories: list[str], indent: int | None, ending: str, piece: int):
    keys = {"rows of the hub": "rows.row.text", "nested": "story.text"}
    for name, text in layouts(stories, indent).items():
        key = keys.get(name, "text")
        assert read(f"a.{ending}", text.encode(), piece, text_key=key) == stories, name
        if name != "strings":  # which may be a play's first words
            assert read("a.txt", text.encode(), piece, text_key=key) == stories, name


@given(
    stories=texts.filter(lambda some: any(some) and not all(map(_is_number, filter(None, some)))),
    keys=st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=4),
    indent=st.sampled_from([None, 1]),
    piece=st.integers(1, 30),
)
def test_the_only_list_is_read_however_deep(stories: list[str], keys: list[str], indent: int | None, piece: int):
    value: object = stories
    for key in reversed(keys):
        value = {key: value}
    for name in ("a.json", "a.jsonl"):
        for settings in ({}, {"text_key": ".".join(keys)}):
            assert read(name, json.dumps(value, indent=indent).encode(), piece, **settings) == stories


@given(stories=texts.filter(lambda some: all(len(story.strip()) > 2 and not story.strip().isdigit() for story in some)))
def test_an_object_within_an_object_is_found(stories: list[str]):
    rows = [{"row_idx": n, "row": {"id": n, "text": f"Once {story}"}} for n, story in enumerate(stories)]
    assert read("a.json", json.dumps({"rows": rows}).encode()) == [f"Once {story}" for story in stories]


@given(story=st.text(st.characters(exclude_categories=["Cs"])), indent=st.sampled_from([None, 1]), first=st.booleans())
def test_an_object_with_a_text_is_one_story_whatever_lists_it_has(story: str, indent: int | None, first: bool):
    value = {"text": story, **OTHER} if first else {**OTHER, "text": story}
    for name in ("a.json", "a.jsonl"):
        assert read(name, json.dumps(value, indent=indent).encode()) == [story]


TAGS = json.dumps({"title": "A title of words", "tags": ["a tag of more than twenty characters"] * 2})
TWO = json.dumps({"en": [{"text": "One."}], "de": [{"text": "Eins."}]})


def test_a_list_of_texts_under_another_key_is_not_guessed_at_but_read_if_it_is_named():
    for name in ("a.json", "a.jsonl"):
        with pytest.raises(
            UserError, match=r'has no "text"; it has "title", "tags"\. Name the right one with --text-key'
        ):
            read(name, TAGS.encode())
        assert len(read(name, TAGS.encode(), text_key="tags")) == 2


def test_of_several_lists_one_is_to_be_named():
    with pytest.raises(UserError, match=r'several lists: "en", "de"\. Name one with --text-key, such as en\.text$'):
        read("a.json", TWO.encode())
    assert read("a.json", TWO.encode(), text_key="de.text") == ["Eins."]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        (
            "a.jsonl",
            '{"text": "x"}\n{"text": "y", "text": "z"}',
            'a.jsonl line 2 is not JSON: an object has "text" twice',
        ),
        ("a.json", '[{"text": "x"},\n {"text": "y", "text": "z"}]', "a.json line 2 is not JSON as it should be"),
        ("a.json", '{"text": ["x"], "text": ["y"]}', 'an object has "text" twice'),
        ("a.json", '["x",\n "y",\n]', "a.json line 3 is not JSON as it should be"),
        ("a.json", '{"text": "x",}', "a.json line 1 is not JSON"),
        ("a.jsonl", '{"text": NaN}\n{"text": "y"}', 'a.jsonl line 1 "text" holds a number, not text'),
        (
            "a.jsonl",
            '{"text": ["x"], "tale": "y"}\n{"text": ["z"]}',
            "name the right key with --text-key, such as tale",
        ),
        (
            "a.json",
            '[["id", "text"], [1, "Once"]]',
            "a.json item 1 holds a list, not text; write each story as a text or",
        ),
        ("a.json", '{"0": {"text": "x"}, "1": {"text": "y"}}', 'several objects with "text"; write them as a list'),
        ("a.json", "[]\n[]", "a.json line 2 is not JSON as it should be: it holds one list after another"),
        ("a.json", "[]\n{}", "a.json line 2 is not JSON as it should be: it goes on after the end of its list"),
    ],
)
def test_what_is_not_clear_is_refused(name: str, data: str, message: str):
    with pytest.raises(UserError) as error:
        read(name, data.encode())
    assert message in str(error.value)


@given(faulty=st.sets(st.integers(1, 40), min_size=1), kind=st.sampled_from(["jsonl", "json", "csv"]))
def test_the_faults_of_a_file_are_reported_at_once(faulty: set[int], kind: str):
    numbers = range(1, 41)
    if kind == "jsonl":
        data = "".join('{"id": 1}\n' if n in faulty else '{"text": "x"}\n' for n in numbers)
    elif kind == "json":
        data = json.dumps([{"text": 5} if n in faulty else "x" for n in numbers])
    else:
        data = "id,text\n" + "".join("1,x,y\n" if n in faulty else "1,x\n" for n in numbers)
    places = [n + (kind == "csv") for n in sorted(faulty)]
    with pytest.raises(UserError) as error:
        read(f"a.{kind}", data.encode())
    message = str(error.value)
    assert message.startswith(f"a.{kind} {'item' if kind == 'json' else 'line'} {places[0]} ")
    named = places[1:4]
    assert all(f" {place}" in message for place in named)
    assert (f" and {len(places) - 4} more: faulty as well" in message) == (len(places) > 4)
    assert ("faulty as well" in message) == (len(places) > 1)
