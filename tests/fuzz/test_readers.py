"""Every reader on valid inputs, on inputs that the fuzzer found, and on valid inputs with some bytes changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, Target

FOUND = sorted((Path(__file__).parent / "found").glob("*/*"))


@pytest.mark.parametrize("name", TARGETS)
def test_valid_inputs_are_read(name: str):
    assert [TARGETS[name].try_(seed) for seed in TARGETS[name].seeds()] == [True] * len(TARGETS[name].seeds())


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_found_inputs_are_read_or_refused(path: Path):
    TARGETS[path.parent.name].try_(path.read_bytes())


CHANGES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), st.binary(max_size=6)), min_size=1, max_size=4)


def changed(seed: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    """The seed with some bytes replaced."""
    for position, length, data in changes:
        at = int(position * len(seed))
        seed = seed[:at] + data + seed[at + length :]
    return seed


def try_changed(target: Target, draw: st.DataObject) -> None:
    target.try_(changed(draw.draw(st.sampled_from(target.seeds())), draw.draw(CHANGES)))


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=25)
@given(draw=st.data())
def test_inputs_with_some_changed_bytes_are_read_or_refused(name: str, draw: st.DataObject):
    try_changed(TARGETS[name], draw)


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=500)
@given(draw=st.data())
def test_inputs_with_many_changed_bytes_are_read_or_refused(name: str, draw: st.DataObject):
    try_changed(TARGETS[name], draw)
