from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talewright.data import Batches, Corpus, layout
from talewright.data.corpus import evenly_spread
from talewright.data.layout import token_dtype
from talewright.errors import UserError
from talewright.tokenizer import Tokenizer
from talewright.tokenizer.base import BYTE_LETTERS, Merges
from tests.data.cases import stream, tales, texts


@pytest.fixture
def copy(small: Corpus, tmp_path: Path) -> Path:
    """A corpus to damage."""
    return Path(shutil.copytree(small.folder, tmp_path / "copy"))


def test_a_split_gives_the_tokens_of_its_shards(small: Corpus):
    for name in small.splits:
        split, ids = small.split(name), stream(small, name)
        assert split.n_tokens == len(ids)
        assert split.tokens(0, len(ids)).tolist() == ids.tolist()
        assert np.load(small.folder / f"{name}-starts.npy").tolist() == split.starts.tolist()
        assert np.load(small.folder / f"{name}-bytes.npy").tolist() == split.story_bytes.tolist()
        assert split.starts.tolist() == [0, *(np.flatnonzero(ids == split.eos_id)[:-1] + 1)]
        stories = texts(small, name)
        assert [small.tokenizer.decode(split.story(n)) for n in range(split.n_stories)] == stories
        assert split.story_bytes.tolist() == [len(story.encode()) for story in stories]
        assert split.n_bytes == split.story_bytes.sum()
        assert [split.story_at(at) for at in range(len(ids))] == np.repeat(
            range(split.n_stories), np.diff(split.starts, append=len(ids))
        ).tolist()


def test_shards_join_without_a_seam(make: Callable[..., Corpus], small: Corpus, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(layout, "SHARD_TOKENS", 100)
    corpus = make(tales(200))
    assert len(corpus.manifest["splits"]["train"]["files"]) > 20
    monkeypatch.undo()  # the manifest says how long the shards are
    for name in small.splits:
        joined, whole = Corpus.open(corpus.folder).split(name), small.split(name)
        assert joined.n_tokens == whole.n_tokens
        assert joined.tokens(0, joined.n_tokens).tolist() == whole.tokens(0, whole.n_tokens).tolist()
        for start in range(0, 300, 7):
            assert joined.tokens(start, start + 150).tolist() == whole.tokens(start, start + 150).tolist()


def test_tokens_beyond_the_end_are_refused(small: Corpus):
    split = small.split("valid")
    for start, stop in ((-1, 3), (split.n_tokens - 1, split.n_tokens + 1)):
        with pytest.raises(IndexError):
            split.tokens(start, stop)
    with pytest.raises(IndexError):
        split.story(split.n_stories)


def test_ids_beyond_65535_do_not_wrap():
    assert token_dtype(65_536) == np.uint16
    assert token_dtype(65_537) == np.uint32
    assert np.iinfo(token_dtype(65_536)).max == 65_535


def every_pair() -> Tokenizer:
    """A BPE that has merged all pairs of bytes, those of capital letters last: 65,793 ids."""
    letters = sorted(BYTE_LETTERS, key=lambda letter: ("A" <= letter <= "Z", letter))
    pairs = [(left, right) for left in letters for right in letters]
    vocab = {token: number for number, token in enumerate([*letters, *map("".join, pairs)])}
    return Tokenizer.from_merges(Merges(vocab, pairs))


def test_ids_beyond_65535_come_back_from_their_shards(make: Callable[..., Corpus], monkeypatch: pytest.MonkeyPatch):
    tokenizer = every_pair()
    monkeypatch.setattr("talewright.data.preparation.builder.make_tokenizer", lambda *_: tokenizer)
    stories = [f"{n} ONCE UPON A TIME THERE WAS A ZZYZX OF ITS OWN" for n in range(40)]
    corpus = make(stories)
    split = corpus.split("train")
    assert corpus.manifest["dtype"] == "uint32"
    assert split.tokens(0, split.n_tokens).max() > 65_535
    assert sorted(texts(corpus, *corpus.splits)) == sorted(stories)


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def swap(path: Path, make: Callable[[Path], None]) -> None:
    """Move a file or folder away, and make something else in its place."""
    path.rename(path.parents[1] / "elsewhere" if path.parent.name == "copy" else path.parents[2] / "elsewhere")
    make(path)


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no folder": (
        shutil.rmtree,
        "is not a prepared corpus: there is no such folder. `talewright data prepare` makes one",
    ),
    "no manifest": (lambda f: (f / "manifest.json").unlink(), "is not a prepared corpus: it has no manifest.json"),
    "broken manifest": (lambda f: (f / "manifest.json").write_text("{"), "manifest.json is damaged"),
    "foreign manifest": (
        lambda f: (f / "manifest.json").write_text("[]"),
        "damaged or belongs to another program",
    ),
    "bare manifest": (lambda f: rewrite(f, lambda m: m.pop("splits")), "manifest.json is damaged: it lacks"),
    "odd manifest": (
        lambda f: rewrite(f, lambda m: m["splits"].update(train=[])),
        "manifest.json is damaged: it lacks",
    ),
    "path out of the folder": (
        lambda f: rewrite(f, lambda m: m["splits"]["train"]["files"][0].update(name="../../secret")),
        "manifest.json is damaged: it lacks",
    ),
    "older format": (lambda f: rewrite(f, lambda m: m.update(version=0)), "has format 0; this version reads 1"),
    "missing shard": (lambda f: (f / "train-00000.bin").unlink(), "train-00000.bin is missing"),
    "short shard": (
        lambda f: (f / "valid-00000.bin").open("r+b").truncate(9),
        "valid-00000.bin has 9 bytes and should",
    ),
    "missing starts": (lambda f: (f / "train-starts.npy").unlink(), "train-starts.npy is missing"),
    "short starts": (lambda f: (f / "train-starts.npy").open("r+b").truncate(200), "train-starts.npy does not hold "),
    "foreign starts": (lambda f: np.save(f / "train-starts.npy", np.zeros(3)), "train-starts.npy does not hold "),
    "mixed starts": (lambda f: flip(f / "train-starts.npy", 137), "train-starts.npy does not fit the shards beside it"),
    "other sizes": (
        lambda f: np.save(f / "valid-bytes.npy", np.zeros(3, np.int64)),
        "valid-bytes.npy does not hold ",
    ),
    "other end": (lambda f: flip(f / "valid-00000.bin", -2), "valid-starts.npy does not fit the shards beside it"),
    "a file left out": (
        lambda f: rewrite(f, lambda m: m["splits"]["train"]["files"].pop()),
        "manifest.json is damaged: it lacks",
    ),
    "a link out of the folder": (
        lambda f: swap(f / "train-00000.bin", lambda path: path.symlink_to(f.parent / "elsewhere")),
        "train-00000.bin is a link that leads out of ",
    ),
    "a folder's link": (
        lambda f: swap(f / "tokenizer", lambda path: path.symlink_to(f.parent / "elsewhere")),
        "tokenizer is a link that leads out of ",
    ),
    "a pipe": (
        lambda f: swap(f / "tokenizer" / "tokenizer.json", os.mkfifo),
        "tokenizer.json is neither a file nor a folder",
    ),
    "no tokenizer": (lambda f: shutil.rmtree(f / "tokenizer"), "no tokenizer.json in "),
    "other tokenizer": (
        lambda f: rewrite(f, lambda m: m["tokenizer"].update(fingerprint="0" * 64)),
        "tokenizer is not the one that these stories were prepared with",
    ),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_corpus_is_refused_by_name(copy: Path, case: str):
    damage, message = DAMAGE[case]
    damage(copy)
    with pytest.raises(UserError) as error:
        Corpus.open(copy)
    assert message in str(error.value)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_manifest_and_no_index_crash_what_opens_them(copy: Path, data: st.DataObject):
    files = {path: path.read_bytes() for path in (copy / "manifest.json", copy / "train-starts.npy")}
    try:
        if data.draw(st.booleans()):
            rewrite(copy, lambda manifest: damage_value(manifest, data))
        else:
            header = bytearray(files[copy / "train-starts.npy"])
            header[data.draw(st.integers(0, 127))] = data.draw(st.integers(0, 255))
            (copy / "train-starts.npy").write_bytes(header)
        with contextlib.suppress(UserError):
            corpus = Corpus.open(copy)
            corpus.split("train").story(0)
            corpus.verify()
            assert len(corpus.fingerprint) == 64
    finally:
        for path, content in files.items():
            path.write_bytes(content)


def damage_value(value: Any, data: st.DataObject) -> None:
    """Put something else into a place of nested values."""
    keys = list(value if isinstance(value, dict) else range(len(value)))
    key = data.draw(st.sampled_from(keys))
    if isinstance(value[key], dict | list) and value[key] and data.draw(st.integers(0, 4)):
        damage_value(value[key], data)
    else:
        scalar = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
        value[key] = data.draw(scalar | st.lists(scalar, max_size=2) | st.dictionaries(st.text(max_size=5), scalar))


def test_an_altered_shard_is_found_by_its_hash_and_its_ids_before_they_reach_a_model(copy: Path):
    corpus = Corpus.open(copy)
    corpus.verify()
    flip(copy / "train-00000.bin", 51)  # the high byte of an id
    corpus = Corpus.open(copy)
    with pytest.raises(UserError, match=r"train-00000.bin was altered since it was prepared; remove the folder"):
        corpus.verify()
    batches = Batches(corpus.split("train"), context_length=50, layout="packed", stride=None, seed=0)
    with pytest.raises(UserError, match=r"hold the id .*, beyond the vocabulary of 300: they were altered"):
        batches.samples(0, batches.samples_per_epoch)


def test_an_altered_validation_story_is_not_scored(copy: Path):
    split = Corpus.open(copy).split("valid")
    flip(copy / "valid-00000.bin", 2 * int(split.starts[1]) + 3)
    with pytest.raises(UserError, match=r"the valid shards in .* hold the id .*, beyond the vocabulary of 300"):
        Corpus.open(copy).split("valid").story(1)


def test_a_link_within_the_folder_is_followed(copy: Path):
    (copy / "train-00000.bin").rename(copy / "moved.bin")
    (copy / "train-00000.bin").symlink_to("moved.bin")
    Corpus.open(copy).verify()


def test_the_fingerprint_is_of_the_tokens(make: Callable[..., Corpus]):
    first = make(tales(60)).fingerprint
    assert make(tales(60), min_chars=21).fingerprint == first  # nothing is as short: the same tokens
    assert make(tales(61)).fingerprint != first


def test_a_split_without_stories_is_refused_with_the_ways_to_some(make: Callable[..., Corpus], tmp_path: Path):
    corpus = make(["One story alone, as a whole file without a separator would be."])
    with pytest.raises(UserError) as error:
        corpus.split("valid")
    assert str(error.value) == (
        f"{tmp_path / 'stories.txt'} has no validation stories: it was read as 1 story separated by <|endoftext|>, "
        "and at least two are needed. --format and --separator change how a file is read; --valid FILE names "
        "validation stories"
    )


@given(count=st.integers(1, 300), number=st.integers(1, 400))
def test_a_sample_takes_one_from_each_equal_part_and_is_whole_if_it_can_be(count: int, number: int):
    chosen = list(evenly_spread(number, count))
    assert chosen == sorted(set(chosen))
    assert list(evenly_spread(None, count)) == list(range(count))
    if number >= count:
        assert chosen == list(range(count))
    else:
        assert all(i * count // number <= index <= (i + 1) * count // number for i, index in enumerate(chosen))
        assert len(chosen) == number


def test_the_first_half_of_a_split_is_half_of_a_sample(small: Corpus):
    split = small.split("train")
    stories, sizes = split.stories(evenly_spread(20, split.n_stories))
    whole = texts(small, "train")
    found = [whole.index(small.tokenizer.decode(story)) for story in stories]
    assert sum(index < split.n_stories / 2 for index in found) == 10
    assert sizes.tolist() == [len(whole[index].encode()) for index in found]
