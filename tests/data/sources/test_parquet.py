from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.errors import UserError
from tests.data.sources.test_formats import read

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

texts = st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=8)
TYPES: dict[str, Any] = {
    "string": pa.string(),
    "large_string": pa.large_string(),
    "binary": pa.binary(),
    "large_binary": pa.large_binary(),
    "dictionary": pa.dictionary(pa.int32(), pa.string()),
}


def written(columns: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


@given(stories=texts, kind=st.sampled_from(list(TYPES)), nested=st.booleans())
def test_texts_of_every_type_are_read_from_columns_and_structs(stories: list[str | None], kind: str, nested: bool):
    values = [story.encode() if story is not None and "binary" in kind else story for story in stories]
    column = pa.array(values, TYPES[kind] if kind != "dictionary" or nested else pa.string())
    column = column.dictionary_encode() if kind == "dictionary" and not nested else column
    if nested and kind != "dictionary":
        column = pa.StructArray.from_arrays([column, pa.array(range(len(stories)))], ["text", "n"])
        data = written({"row": column, "id": list(range(len(stories)))})
        assert read("a.parquet", data, text_key="row.text") == [story or "" for story in stories]
    else:
        assert read("a.parquet", written({"text": column})) == [story or "" for story in stories]


def test_a_struct_that_is_missing_is_no_story_and_the_only_text_is_found():
    data = written({"row": [{"text": "Once upon a time.", "n": 1}, None, {"text": None, "n": 2}]})
    assert read("a.parquet", data) == ["Once upon a time.", "", ""]


@pytest.mark.parametrize(
    ("columns", "settings", "message"),
    [
        ({"text": [["x"]]}, {}, r'column "text" holds list<.*>, not text; make one of texts$'),
        ({"text": [{"a": 1}]}, {}, r'column "text" holds struct<.*>, not text; name the right one with --text-key$'),
        ({"a": [{"b": "x", "c": "y"}]}, {}, r'has no "text"; it has "a\.b", "a\.c"\. Name the right one'),
        ({"a": [{"b": 1}]}, {"text_key": "a.b"}, r'column "a\.b" holds int64, not text'),
        ({"text": [b"\xff"]}, {}, r'column "text": a text in rows 1 to 1 is not UTF-8 \(.*: byte 0xFF\)'),
        ({"text": [b"x"] * 300 + [b"\xff"]}, {}, r"a text in rows 257 to 301 is not UTF-8"),
    ],
)
def test_other_columns_are_refused(columns: dict[str, Any], settings: dict[str, Any], message: str):
    with pytest.raises(UserError, match=message):
        read("a.parquet", written(columns), **settings)


def test_two_columns_of_one_name_are_refused():
    out = io.BytesIO()
    pq.write_table(pa.Table.from_arrays([pa.array(["x"]), pa.array(["y"])], names=["text", "text"]), out)
    with pytest.raises(UserError, match=r'a\.parquet has "text" 2 times'):
        read("a.parquet", out.getvalue())
