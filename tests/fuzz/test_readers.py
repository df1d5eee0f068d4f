"""Every reader, on whole inputs, on what the fuzzer once found, and on whole inputs with some bytes changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, Target

FOUND = sorted((Path(__file__).parent / "found").glob("*/*"))


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_whole_is_read(name: str):
    assert [TARGETS[name].try_(seed) for seed in TARGETS[name].seeds()] == [True] * len(TARGETS[name].seeds())


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_was_found_once_is_refused_or_read(path: Path):
    TARGETS[path.parent.name].try_(path.read_bytes())


CHANGES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), st.binary(max_size=6)), min_size=1, max_size=4)


def changed(seed: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    """With some bytes, at these places, made others."""
    for place, length, data in changes:
        at = int(place * len(seed))
        seed = seed[:at] + data + seed[at + length :]
    return seed


def try_changed(target: Target, draw: st.DataObject) -> None:
    target.try_(changed(draw.draw(st.sampled_from(target.seeds())), draw.draw(CHANGES)))


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=25)
@given(draw=st.data())
def test_some_bytes_changed_are_refused_or_read(name: str, draw: st.DataObject):
    try_changed(TARGETS[name], draw)


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=500)
@given(draw=st.data())
def test_many_bytes_changed_are_refused_or_read(name: str, draw: st.DataObject):
    try_changed(TARGETS[name], draw)
