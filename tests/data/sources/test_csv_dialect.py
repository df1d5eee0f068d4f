from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.errors import UserError
from tests.data.sources.test_formats import read, stripped

PIECES = (
    *(
        "Once upon a time, there was a cat.",
        'She said "hi" to me, and left.',
        '"Hello," said Tim.',
        "It's a dog; fast.",
    ),
    *("two\nlines, here", "tab\there", 'the "end"', "one | two", "x", " blank ", "é 😀"),
)
some_stories = st.lists(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=3).map(" ".join), min_size=1, max_size=12
)
standard = {
    "delimiter": st.sampled_from(",;\t|"),
    "quoting": st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    "lineterminator": st.sampled_from(["\n", "\r\n"]),
}
escaped = {**standard, "doublequote": st.just(False), "escapechar": st.just("\\")}
single = {
    "delimiter": st.sampled_from(",;\t|^~"),
    "quoting": st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC]),
    "quotechar": st.just("'"),
}
single_escaped = {**single, "doublequote": st.just(False), "escapechar": st.just("\\")}


def written(stories: list[str], columns: int, dialect: dict[str, Any], header: bool = True) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, **dialect)
    if header:
        writer.writerow([["text"], ["id", "text"], ["id", "text", "n"]][columns - 1])
    for number, story in enumerate(stories):
        writer.writerow([[story], [number, story], [number, story, number]][columns - 1])
    return text.getvalue().encode()


@given(stories=some_stories, columns=st.integers(1, 3), dialect=st.fixed_dictionaries(standard), old=st.booleans())
def test_whatever_pythons_csv_module_writes_is_read_back(stories, columns, dialect, old):
    data = written(stories, columns, dialect)
    if old:  # as programs of the Macintosh and of Windows write it
        data = b"\xef\xbb\xbf" + data.replace(b"\r\n", b"\n").replace(b"\n", b"\r")
    assert stripped(read("a.csv", data)) == [story.strip() for story in stories]


@given(stories=some_stories, columns=st.integers(1, 3), dialect=st.fixed_dictionaries(escaped))
def test_quotation_marks_after_backslashes_are_read_back(stories, columns, dialect):
    assert stripped(read("a.csv", written(stories, columns, dialect))) == [story.strip() for story in stories]


@given(
    stories=some_stories,
    columns=st.integers(1, 3),
    dialect=st.one_of(st.fixed_dictionaries(single), st.fixed_dictionaries(single_escaped)),
)
def test_single_quotation_marks_are_read_back_or_refused(stories, columns, dialect):
    try:
        found = stripped(read("a.csv", written(stories, columns, dialect)))
    except UserError:
        return
    assert found == [story.strip() for story in stories]


@given(
    stories=some_stories,
    columns=st.integers(2, 3),
    delimiter=st.sampled_from(",;\t|"),
    fault=st.sampled_from(["more", "fewer", "open", "after"]),
    place=st.integers(0, 11),
)
def test_a_faulty_row_is_refused_with_its_line_wherever_it_is(stories, columns, delimiter, fault, place):
    rows = written(stories, columns, {"delimiter": delimiter, "quoting": csv.QUOTE_ALL}).decode().split("\r\n")[:-1]
    faulty = {
        "more": delimiter.join(['"x"'] * (columns + 1)),
        "fewer": delimiter.join(['"x"'] * (columns - 1)),
        "open": delimiter.join(['"x"'] * (columns - 1) + ['"never closed']),
        "after": delimiter.join(['"x"'] * (columns - 1) + ['"Hello," said Tim']),
    }
    place = len(rows) if fault == "open" else 1 + place % len(rows)  # an open one further up may find its end
    rows.insert(place, faulty[fault])
    line = "\r\n".join(rows[:place]).replace("\r\n", "\n").count("\n") + 2
    with pytest.raises(UserError, match=rf"^a\.csv line {line}[: ]"):
        read("a.csv", "\r\n".join(rows).encode())


@given(stories=some_stories, delimiter=st.sampled_from(",;|"))
def test_a_single_column_with_a_backslash_before_each_delimiter_is_read(stories, delimiter):
    stories = [f"One{delimiter} two.", *(story.replace("\n", " ").replace('"', "") for story in stories)]
    text = "\n".join(["text", *(story.replace(delimiter, f"\\{delimiter}") for story in stories)])
    assert stripped(read("a.csv", text.encode())) == [story.strip() for story in stories if story.strip()]


@pytest.mark.parametrize("delimiter", [";", "|", ","])
def test_a_backslash_in_a_file_with_quotation_marks_is_never_left_out(delimiter):
    stories = ['She said "hi", and left.', f"Two lines\\{delimiter} here", "One day."]
    with pytest.raises(UserError, match=r"^a\.csv line 3: a backslash precedes "):
        read("a.csv", written(stories, 1, {}))


def test_marks_that_may_belong_to_the_story_are_refused_with_the_line_and_advice_that_works():
    for rows, line in (
        (["id,text", "1,One day.", "2,'Come here!'"], 3),
        (["id,text", "1,It's one day.", "2,'It''s here!'"], 3),
        (["text", "One day\\, a cat.", "One day, a dog."], 2),
    ):
        with pytest.raises(UserError, match=rf"^a\.csv line {line}: .*JSON Lines .* use --format lines$"):
            read("a.csv", "\n".join(rows).encode())
        assert stripped(read("a.csv", "\n".join(rows).encode(), format="lines")) == rows
    for sure in ("1,It's one day.\n2,'Come here!'", "1,One day.\n2,\"'Come here!'\"", "1,'Come,' said Tim, 'here.'"):
        quoted = sure if sure[2] != "'" else '1,"' + sure[2:] + '"'
        assert read("a.csv", f"id,text\n{quoted}\n".encode())[-1] in ("'Come here!'", "'Come,' said Tim, 'here.'")


@pytest.mark.parametrize("title", ["My stories", "# written by a program"])
def test_a_title_above_the_header_is_refused(title: str):
    with pytest.raises(UserError, match=r'^a\.csv: its first row has no "text", but row 2 has; remove what stands'):
        read("a.csv", f"{title}\n\nid,text\n1,Once upon a time.\n".encode())


@given(stories=some_stories, columns=st.integers(2, 3), dialect=st.fixed_dictionaries(standard))
def test_a_table_is_read_as_one_whatever_its_name(stories, columns, dialect):
    data = written(stories, columns, dialect)
    for name in ("a.txt", "a", "a.dat"):
        assert read(name, data) == read("a.csv", data)


def test_stories_with_commas_in_a_file_of_one_column_stay_whole():
    stories = [f"One day {n},a cat came,saw,and left." for n in range(30)]
    assert read("a.csv", "\n".join(["text", *stories]).encode()) == stories
    with pytest.raises(UserError, match=r"^a\.csv line 2 has 5 cells, not 2 as the first row; .* lines 3, 4, 5 and 26"):
        read("a.csv", "\n".join(["id,story", *(f"1,{story}" for story in stories)]).encode())


def test_a_file_without_quotation_marks_around_cells_is_read_if_tabs_tell_its_cells():
    stories = ['"Hello," said Tim.', '"Where is it? asked Mia.', "The end."]
    lines = "".join(f"{n}\t{story}\n" for n, story in enumerate(stories))
    assert read("a.tsv", f"id\ttext\n{lines}".encode()) == stories
    with pytest.raises(
        UserError, match=r'^a\.csv line 2: text follows .* doubled \(""\), .* read it with --format lines'
    ):
        read("a.csv", "\n".join(["text", *stories]).encode())
    assert stripped(read("a.csv", "\n".join(stories).encode(), format="lines")) == stories


@pytest.mark.parametrize(
    ("data", "stories"),
    [
        ('text\n"He said \\"hi\\", and left."\n"a\\\\b \\n c"\n', ['He said "hi", and left.', "a\\b \\n c"]),
        ('id,text\n1,He said \\"hi\\" to me\\, and left.\n', ['He said "hi" to me, and left.']),
        ("sep=;\nid;text\n1;Once, upon a time.\n", ["Once, upon a time."]),
        ("id^text\n1^Once, upon a time.\n", ["Once, upon a time."]),
        ("id, text\n1, Once upon a time.\n", ["Once upon a time."]),
        ("id,text\n\n1,Once.\n  \n2,Twice.\n\n", ["Once.", "Twice."]),
        ("id,text\n", []),
        ("id,text\n1,Once\0 upon.\n", ["Once\0 upon."]),
    ],
)
def test_further_ways_to_write_rows(data: str, stories: list[str]):
    assert read("a.csv", data.encode()) == stories


def test_two_columns_of_the_storys_name_are_refused():
    with pytest.raises(UserError, match=r'^a\.csv line 1 has "text" 2 times; give the others another name'):
        read("a.csv", b"text,text\nx,y\n")
