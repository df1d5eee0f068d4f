from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from talewright.evaluate.text_table import text_table, wrap

WORDS = st.text("abc", min_size=1, max_size=9)


@given(st.integers(2, 9).flatmap(lambda n: st.lists(st.lists(WORDS, min_size=n, max_size=n), min_size=1, max_size=5)))
def test_a_narrow_table_continues_below_and_loses_no_cell(cells: list[list[str]]):
    width = 24
    parts = [part.splitlines() for part in text_table(cells, width).split("\n\n")]
    assert all(len(line) <= width for part in parts for line in part)
    for i, row in enumerate(cells):
        lines = [part[i].split() for part in parts]
        assert {line[0] for line in lines} == {row[0]}
        assert [word for line in lines for word in line[1:]] == row[1:]
    assert "\n\n" not in text_table(cells)  # without a limit


def test_text_is_broken_between_words_only():
    assert wrap("set apart: by a classifier", 12).splitlines() == ["set apart:", "by a", "classifier"]
