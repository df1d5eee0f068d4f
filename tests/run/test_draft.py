"""The table of what usually comes next: against counting in plain Python."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.errors import UserError
from talewright.run import draft
from talewright.run.draft import DRAFT, N, NgramDraft, read_draft, write_draft

V = 4
IDS = st.lists(st.integers(0, V - 1), max_size=60)


def most_frequent(ids: list[int], text: list[int]) -> int | None:
    """The most frequent token after the longest end of the text that is followed by tokens at least twice."""
    for n in range(min(N, len(text)), 0, -1):
        after = Counter(ids[i + n] for i in range(len(ids) - n) if ids[i : i + n] == text[-n:])
        if after.total() > 1:
            return max(after, key=lambda token: (after[token], -token))
    return None


@given(ids=IDS, text=st.lists(st.integers(0, V - 1), min_size=1, max_size=6), count=st.integers(0, 4))
def test_each_drafted_token_is_the_most_frequent_one(ids: list[int], text: list[int], count: int) -> None:
    wanted: list[int] = []
    while len(wanted) < count and (token := most_frequent(ids, [*text, *wanted])) is not None:
        wanted.append(token)
    assert NgramDraft(*NgramDraft.count(np.array(ids, dtype=np.int64), V), V)(text, count) == wanted


def split_of(ids: list[int]) -> Any:
    return SimpleNamespace(n_tokens=len(ids), tokens=lambda start, stop: np.array(ids[start:stop], dtype=np.int64))


@given(ids=IDS, text=st.lists(st.integers(0, V - 1), min_size=1, max_size=6))
def test_a_table_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, ids: list[int], text) -> None:
    folder = tmp_path_factory.mktemp("run")
    write_draft(folder, split_of(ids), V)
    found = read_draft(folder, V)
    assert found is not None
    assert found(text, 3) == NgramDraft(*NgramDraft.count(np.array(ids, dtype=np.int64), V), V)(text, 3)


def test_a_table_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 8 tokens the first 7 are counted, and of the contexts 2 kept: 1, which occurs 4 times, and 2, 2 times."""
    monkeypatch.setattr(draft, "MOST_READ", 7)
    monkeypatch.setattr(draft, "MOST_CONTEXTS", 2)
    write_draft(tmp_path, split_of([1, 1, 1, 2, 1, 2, 3, 3]), V)
    found = read_draft(tmp_path, V)
    assert found is not None
    assert [found([token], 1) for token in (1, 2, 3)] == [[1], [1], []]


def test_a_run_without_a_table_has_no_draft(tmp_path: Path) -> None:
    assert read_draft(tmp_path, V) is None


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    write_draft(tmp_path, split_of([3, 3, 3, 3]), V)
    with pytest.raises(UserError, match=rf"{DRAFT} cannot be read: it is of another tokenizer. Delete it"):
        read_draft(tmp_path, 3)
    (tmp_path / DRAFT).write_bytes(b"torn")
    with pytest.raises(UserError, match=rf"{DRAFT} cannot be read: .* Delete it"):
        read_draft(tmp_path, V)


def test_a_context_of_a_large_vocabulary_is_shorter() -> None:
    """Three tokens and the next one of 60,000 do not fit into 64 bits: the last two tell what follows."""
    size = 60_000
    ids = np.array([1, 2, size - 1, 3] * 2 + [9, 2, size - 1, 4] * 3)
    table = NgramDraft(*NgramDraft.count(ids, size), size)
    assert table([1, 2, size - 1], 1) == [4]
