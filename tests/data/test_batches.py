from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.data import Batches, Corpus
from talewright.data.batches import IGNORED
from talewright.errors import UserError
from tests.data.cases import stream

lengths = st.integers(1, 90)


def naive_windows(ids: list[int], length: int, stride: int) -> list[tuple[list[int], list[int]]]:
    found, start = [], 0
    while start + length + 1 <= len(ids):
        found.append((ids[start : start + length], ids[start + 1 : start + length + 1]))
        start += stride
    return found


def naive_rows(ids: list[int], length: int, eos: int) -> list[tuple[list[int], list[int]]]:
    found, story = [], []
    for number in ids:
        story.append(number)
        if number == eos:
            inputs, targets = [eos, *story[:-1]][:length], story[:length]
            missing = length - len(targets)
            found.append((inputs + [eos] * missing, targets + [IGNORED] * missing))
            story = []
    return found


def naive_aligned(ids: list[int], length: int, eos: int) -> list[tuple[list[int], list[int]]]:
    begins = [0] + [place + 1 for place, number in enumerate(ids[:-1]) if number == eos]
    found, begin = [], 0
    while True:
        targets = ids[begin : begin + length]
        missing = length - len(targets)
        found.append(([eos, *targets[:-1]] + [eos] * missing, targets + [IGNORED] * missing))
        later = [place for place in begins if place > begin]
        if begin + length >= len(ids) or not later:
            return found
        begin = max([place for place in later if place <= begin + length], default=later[0])


def as_pairs(samples: tuple[np.ndarray, np.ndarray]) -> list[tuple[list[int], list[int]]]:
    return list(zip(samples[0].tolist(), samples[1].tolist(), strict=True))


@given(length=lengths, stride=st.none() | st.integers(1, 90), seed=st.integers(0, 2**63 - 1), epoch=st.integers(0, 3))
def test_an_epoch_is_every_window_once(small: Corpus, length: int, stride: int | None, seed: int, epoch: int):
    batches = Batches(small.split("valid"), context_length=length, layout="packed", stride=stride, seed=seed)
    count = batches.samples_per_epoch
    found = as_pairs(batches.samples(epoch * count, count))
    assert sorted(found) == sorted(naive_windows(stream(small, "valid").tolist(), length, stride or length))


@given(length=lengths, seed=st.integers(0, 100), epoch=st.integers(0, 3))
def test_an_epoch_is_every_story_once_in_rows(small: Corpus, length: int, seed: int, epoch: int):
    split = small.split("valid")
    batches = Batches(split, context_length=length, layout="rows", stride=None, seed=seed)
    count = batches.samples_per_epoch
    expected = naive_rows(stream(small, "valid").tolist(), length, split.eos_id)
    assert sorted(as_pairs(batches.samples(epoch * count, count))) == sorted(expected)
    assert batches.cut_stories == sum(len(split.story(n)) + 1 > length for n in range(split.n_stories))


@given(length=lengths, seed=st.integers(0, 100), epoch=st.integers(0, 3))
def test_an_epoch_is_every_aligned_window_once(small: Corpus, length: int, seed: int, epoch: int):
    """Each begins with a story; each story is seen from its beginning as far as a window goes."""
    split, ids = small.split("valid"), stream(small, "valid").tolist()
    batches = Batches(split, context_length=length, layout="aligned", stride=None, seed=seed)
    count = batches.samples_per_epoch
    found = as_pairs(batches.samples(epoch * count, count))
    assert sorted(found) == sorted(naive_aligned(ids, length, split.eos_id))
    seen = " ".join(" ".join(map(str, [split.eos_id, *targets])) for _, targets in found)
    for n in range(0, split.n_stories, 7):
        assert " ".join(map(str, [split.eos_id, *split.story(n), split.eos_id][: length + 1])) in seen
    assert batches.stories(0, count) == list(range(split.n_stories))


@given(
    layout=st.sampled_from(["packed", "aligned", "rows"]),
    first=st.integers(0, 2000),
    count=st.integers(1, 70),
    seed=st.integers(0, 9),
)
def test_the_order_is_a_function_of_seed_and_index(small: Corpus, layout: str, first: int, count: int, seed: int):
    """However samples are asked for, one by one or across an epoch's end, by this object or by another."""

    def batches() -> Batches:
        return Batches(small.split("valid"), context_length=16, layout=layout, stride=None, seed=seed)

    one = batches()
    single = [pair for n in range(count) for pair in as_pairs(one.samples(first + n, 1))]
    assert as_pairs(batches().samples(first, count)) == single


@pytest.mark.parametrize("layout", ["packed", "aligned", "rows"])
def test_epochs_and_seeds_have_orders_of_their_own(small: Corpus, layout: str):
    def order(seed: int, epoch: int) -> list:
        batches = Batches(small.split("train"), context_length=16, layout=layout, stride=None, seed=seed)
        return as_pairs(batches.samples(epoch * batches.samples_per_epoch, 50))

    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)
    assert order(0, 1) != order(1, 0)


@given(layout=st.sampled_from(["packed", "aligned", "rows"]), first=st.integers(0, 300), count=st.integers(1, 4))
def test_the_stories_of_a_batch_are_named(small: Corpus, layout: str, first: int, count: int):
    split = small.split("train")
    batches = Batches(split, context_length=20, layout=layout, stride=None, seed=3)
    inputs, targets = batches.samples(first, count)
    named = batches.stories(first, count)
    stream = " ".join(map(str, np.concatenate([np.append(split.story(n), split.eos_id) for n in named])))
    for row in range(count):
        real = targets[row][targets[row] != IGNORED]
        assert " ".join(map(str, real)) in stream
    assert len(named) <= count * (20 + 1)
    assert inputs.dtype == targets.dtype == np.int64


def test_a_corpus_smaller_than_a_window_is_refused(small: Corpus):
    split = small.split("valid")
    whole = Batches(split, context_length=split.n_tokens - 1, layout="packed", stride=None, seed=0)
    assert whole.samples_per_epoch == 1
    with pytest.raises(UserError) as error:
        Batches(split, context_length=split.n_tokens, layout="packed", stride=None, seed=0)
    assert str(error.value) == (
        f"the valid stories in {small.folder} have {split.n_tokens:,} tokens, and one window needs "
        f"{split.n_tokens + 1:,}; add stories, or set a shorter --data.sequence-length"
    )


def test_a_batch_takes_well_under_a_millisecond(small: Corpus):
    batches = Batches(small.split("train"), context_length=256, layout="packed", stride=None, seed=0)
    batches.samples(0, 16)
    took = []
    for n in range(200):
        begin = time.perf_counter()
        batches.samples(16 * n, 16)
        took.append(time.perf_counter() - begin)
    assert sorted(took)[len(took) // 2] < 5e-4


@given(length=lengths, tokens=st.integers(1, 20_000), seed=st.integers(0, 3))
def test_so_many_samples_hold_so_many_real_tokens_and_one_fewer_do_not(small, length, tokens, seed):
    for layout in ("packed", "aligned", "rows"):
        batches = Batches(small.split("valid"), context_length=length, layout=layout, stride=None, seed=seed)
        count = batches.samples_with(tokens)
        assert batches.count_tokens(0, count) >= tokens > batches.count_tokens(0, count - 1)
