from __future__ import annotations

import dataclasses
import random
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from talewright.config import EOT, DataConfig, TokenizerConfig
from talewright.data import Corpus, preparation, prepare, read_stories, tokenize_source
from talewright.data.preparation import evaluation_shares
from talewright.data.sources import InterruptedSourceError, Part, Source
from talewright.data.spool import SpoolWriter
from talewright.errors import UserError

from .cases import BPE, VOCAB, as_bytes, files_of, packed, stream, tales, texts, write_txt

ROOT = Path(__file__).resolve().parents[2]
shares = st.integers(0, 50)


# --- splits ----------------------------------------------------------------------------------------------------------


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    numbers=st.lists(st.integers(0, 60), min_size=25, max_size=80),
    own=st.sampled_from([(), ("valid",), ("test",), ("valid", "test")]),
    asked=st.none() | st.tuples(st.integers(50, 90), shares) | st.tuples(st.integers(50, 90), shares, shares),
    draw=st.randoms(),
)
def test_property_1_splits_are_disjoint(tmp_path: Path, numbers, own, asked, draw):
    """Whatever stories and sources, copies among them: every text once, in one split, the evaluation split first."""
    told = tales(61)
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    settings: dict[str, Any] = {
        name: str(write_txt(folder / f"{name}.txt", [told[n] for n in draw.choices(numbers, k=9)])) for name in own
    }
    source = write_txt(
        folder / "stories.txt", [told[n] for n in numbers] + [f"Alone {n}. It has no copy." for n in range(9)]
    )
    config = DataConfig(source=str(source), splits=asked, **settings)
    corpus = prepare(config, BPE, 257, folder / "corpus", progress=False)
    found = {name: texts(corpus, name) for name in corpus.splits}
    everything = [text for some in found.values() for text in some]
    assert len(everything) == len(set(everything))
    read = {
        name: set(read_stories(DataConfig(source=str(path)))) for name, path in {**settings, "stories": source}.items()
    }
    assert set(everything) == set().union(*read.values())
    for name in own:
        assert set(found.get(name, ())) == read[name] - (read["valid"] if name == "test" and "valid" in own else set())


@pytest.mark.parametrize(
    ("splits", "roles", "expected"),
    [
        (None, {"train"}, (0.05, 0.0)),
        (None, {"train", "valid"}, (0.0, 0.0)),
        (None, {"train", "test"}, (0.05, 0.0)),
        ((90, 10), {"train"}, (0.1, 0.0)),
        ((70, 20, 10), {"train"}, (0.2, 0.1)),
        ((70, 20, 10), {"train", "valid"}, (0.0, 0.1)),
        ((1, 0), {"train"}, (0.0, 0.0)),
    ],
)
def test_which_shares_are_taken_from_the_training_stories(splits, roles, expected):
    assert evaluation_shares(DataConfig(splits=splits), roles) == pytest.approx(expected)


def test_a_story_is_in_one_split_whatever_the_limit_and_the_order(make: Callable[..., Corpus]):
    told = tales(300)
    valid = set(texts(make(told), "valid"))
    assert 5 < len(valid) < 30
    assert set(texts(make(told, limit=150), "valid")) == valid & set(told[:150])
    assert set(texts(make(random.Random(1).sample(told, 300)), "valid")) == valid


def test_the_tokenizer_is_made_of_the_training_stories_alone(tmp_path: Path):
    train = write_txt(tmp_path / "train.txt", tales(60))
    tokenizers = []
    for word in ("zqx", "vjk"):
        other = write_txt(tmp_path / f"{word}.txt", [f"{word} " * 40 + str(n) for n in range(60)])
        config = DataConfig(source=str(train), valid=str(other), test=str(other))
        tokenizers.append(prepare(config, BPE, 400, progress=False).tokenizer)
    assert tokenizers[0].fingerprint == tokenizers[1].fingerprint
    assert not any(b"zqx" in token for token in tokenizers[0].token_bytes)


# --- what is in the folder -------------------------------------------------------------------------------------------


def test_the_end_of_text_stands_after_each_story_and_nowhere_else(make: Callable[..., Corpus]):
    told = [*tales(30), f"A story that says {EOT} in its midst, and goes on."]
    corpus = make(told)
    assert sorted(texts(corpus, *corpus.splits)) == sorted(told)
    for name in corpus.splits:
        ids = stream(corpus, name)
        assert ids[-1] == corpus.tokenizer.eos_id
        assert (ids == corpus.tokenizer.eos_id).sum() == corpus.split(name).n_stories


def test_what_was_left_out_is_counted(make: Callable[..., Corpus]):
    told = tales(20)
    corpus = make([*told, "", "Short.", "  \t ", told[3], told[3] + "\r\n", "It was Tomâ€™s ball, and it was red."])
    read = corpus.manifest["source"]["read"]["train"]
    assert read == {"read": 26, "empty": 2, "short": 1, "repaired": 1, "duplicates": 2}
    assert "It was Tom’s ball, and it was red." in texts(corpus, *corpus.splits)


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet", "txt.gz", "jsonl.zst", "parquet.gz"])
def test_every_format_prepares_the_same_tokens(make: Callable[..., Corpus], tmp_path: Path, kind: str):
    expected = make(tales(60)).fingerprint
    ending, _, packing = kind.partition(".")
    path = tmp_path / f"same.{kind}"
    path.write_bytes(packed(f".{packing}" if packing else "", as_bytes(ending, tales(60))))
    assert prepare(DataConfig(source=str(path)), BPE, VOCAB, progress=False).fingerprint == expected


def test_preparing_twice_gives_the_same_bytes(tmp_path: Path):
    source = str(write_txt(tmp_path / "a.txt", tales(200)))
    one, two = (prepare(DataConfig(source=source), BPE, VOCAB, tmp_path / name, progress=False) for name in "ab")
    assert files_of(one.folder) == files_of(two.folder)
    assert "manifest.json" in files_of(one.folder)


def test_a_tokenizer_is_learned_from_a_part_of_much_text(make: Callable[..., Corpus], monkeypatch: pytest.MonkeyPatch):
    learned: list[list[str]] = []
    make_it = preparation.make_tokenizer

    def made(words: TokenizerConfig, size: int, stories: Callable[[], Any]) -> Any:
        learned.append(list(stories()))
        return make_it(words, size, stories)

    monkeypatch.setattr(preparation, "make_tokenizer", made)
    monkeypatch.setattr(preparation, "LEARNED_BYTES", 3000)
    told = tales(100)
    corpus = make(told, splits=(1, 0))
    size = corpus.split("train").n_bytes
    assert learned[0] == told[:: -(-size // 3000)]
    assert sum(len(story.encode()) for story in learned[0]) < 3500


def test_a_story_longer_than_a_batch_is_one_story(make: Callable[..., Corpus], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("talewright.data.encode.BATCH", 1000)
    long = " ".join(tales(100))
    corpus = make([*tales(20), long], splits=(1, 0))
    assert long in texts(corpus, "train")


@pytest.mark.parametrize(("kind", "size"), [("gpt2", 50257), pytest.param("gpt2-top", 400, marks=pytest.mark.slow)])
def test_gpt2s_tokens_prepare_too(tmp_path: Path, gpt2_folder: Path, kind: Any, size: int):
    source = str(write_txt(tmp_path / "a.txt", tales(60)))
    words = TokenizerConfig(kind=kind, source=str(gpt2_folder))
    corpus = prepare(DataConfig(source=source), words, size, progress=False)
    assert (corpus.tokenizer.vocab_size, corpus.manifest["dtype"]) == (size, "uint16")
    assert sorted(texts(corpus, *corpus.splits)) == sorted(tales(60))


# --- done, gone on with, refused -------------------------------------------------------------------------------------


@pytest.fixture
def count_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stories that are read from sources from now on."""
    read: list[str] = []
    add = SpoolWriter.add

    def counted(self: SpoolWriter, record: str | None) -> None:
        read.append(record or "")
        add(self, record)

    monkeypatch.setattr(SpoolWriter, "add", counted)
    return read


def test_what_is_done_is_not_done_again(make: Callable[..., Corpus], count_read: list[str], cache: Path):
    corpus = make(tales(60))
    assert corpus.folder.parent == cache / "corpora"
    assert len(count_read) == 60
    settings: dict[str, Any] = {"source": str(corpus.manifest["request"]["data"]["source"]["files"][0][0])}
    again = prepare(DataConfig(**settings, layout="rows", stride=7), BPE, VOCAB, progress=False)
    assert (again.folder, len(count_read)) == (corpus.folder, 60)  # how batches are cut is not its business
    other = prepare(DataConfig(**settings, min_chars=21), BPE, VOCAB, progress=False)
    assert (other.folder == corpus.folder, len(count_read)) == (False, 120)
    assert [path.name for path in (cache / "corpora").iterdir() if "partial" in path.name or "lock" in path.name] == []


def test_the_cache_is_left_alone_where_a_folder_is_named(tmp_path: Path, cache: Path):
    source = write_txt(tmp_path / "a.txt", tales(40))
    (tmp_path / "empty").mkdir()
    for name in ("new/folder", "empty"):
        corpus = prepare(DataConfig(source=str(source)), BPE, VOCAB, tmp_path / name, progress=False)
        assert corpus.folder == tmp_path / name
    assert list(cache.iterdir()) == []


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path: Path):
    source = write_txt(tmp_path / "a.txt", tales(40))
    config = DataConfig(source=str(source))
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "novel.doc").write_text("my only copy")
    done = prepare(config, BPE, VOCAB, tmp_path / "done", progress=False).folder
    before = files_of(tmp_path)
    cases: list[tuple[Path, DataConfig, TokenizerConfig, int, str]] = [
        (mine, config, BPE, VOCAB, f"{mine} holds something else than a prepared corpus; name another folder"),
        (done, config, BPE, 400, "prepared otherwise: tokenizer.vocab_size is 300 there and 400 here; name another"),
        (done, dataclasses.replace(config, limit=9), BPE, VOCAB, "data.limit is null there and 9 here; name another"),
        (done, dataclasses.replace(config, valid=str(source)), BPE, VOCAB, "data.valid is null there and {"),
    ]
    for folder, asked, words, size, message in cases:
        with pytest.raises(UserError) as error:
            prepare(asked, words, size, folder, progress=False)
        assert message in str(error.value)
        assert files_of(tmp_path) == before
    write_txt(source, tales(41))
    with pytest.raises(UserError, match=r"a.txt has changed since; name another folder$"):
        prepare(config, BPE, VOCAB, done, progress=False)


def test_a_prepared_folder_is_a_source(small: Corpus, tmp_path: Path):
    config = DataConfig(source=str(small.folder))
    assert prepare(config, BPE, VOCAB, progress=False).folder == small.folder
    with pytest.raises(UserError, match=r"has tokenizer.kind bpe of 300, and gpt2 of 50257 is asked for"):
        prepare(config, TokenizerConfig(kind="gpt2"), 50257, progress=False)
    with pytest.raises(UserError, match=r"is a prepared corpus; name the stories that it was made of"):
        tokenize_source(config, small.tokenizer)


def test_somebody_elses_folder_beside_is_left_alone(tmp_path: Path):
    source = write_txt(tmp_path / "a.txt", tales(40))
    own = tmp_path / "made.partial"
    own.mkdir()
    (own / "novel.doc").write_text("my only copy")
    with pytest.raises(UserError, match=r"made.partial is where this is prepared, and holds something else; move that"):
        prepare(DataConfig(source=str(source)), BPE, VOCAB, tmp_path / "made", progress=False)
    assert files_of(own) == {"novel.doc": b"my only copy"}


def test_what_another_preparation_left_half_made_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Stopped while stories are read, or when all is made but its name; then something else is asked for."""
    one, other = (DataConfig(source=str(write_txt(tmp_path / f"{n}.txt", tales(40, seed=n)))) for n in (1, 2))
    for stopped in ("_make_tokenizer", "_tidy"):
        with monkeypatch.context() as patched:
            patched.setattr(preparation._Preparation, stopped, stop)
            with pytest.raises(StopError):
                prepare(one, BPE, VOCAB, tmp_path / stopped, progress=False)
        corpus = prepare(other, BPE, VOCAB, tmp_path / stopped, progress=False)
        assert sorted(texts(corpus, *corpus.splits)) == sorted(tales(40, seed=2))


def stop(*_: Any) -> None:
    raise StopError


class StopError(Exception):
    """Not an error of the program."""


def test_an_interrupted_preparation_goes_on(tmp_path: Path, count_read: list[str], monkeypatch: pytest.MonkeyPatch):
    source = str(write_txt(tmp_path / "a.txt", tales(100)))
    expected = prepare(DataConfig(source=source), BPE, VOCAB, tmp_path / "whole", progress=False)
    monkeypatch.setattr(preparation, "SYNC_SECONDS", 0.0)
    monkeypatch.setattr(preparation, "_LOOK", 10)
    monkeypatch.setattr("talewright.data.encode.BATCH", 2000)
    encoded: list[int] = []
    encode = preparation.encode_stories

    def stopping(tokenizer: Any, stories: Any) -> Any:
        for number, batch in enumerate(encode(tokenizer, stories)):
            yield batch
            encoded.append(len(batch.lengths))
            if number == 3 and len(encoded) == 4:
                raise StopError

    monkeypatch.setattr(preparation, "encode_stories", stopping)
    count_read.clear()
    with pytest.raises(StopError):
        prepare(DataConfig(source=source), BPE, VOCAB, tmp_path / "parts", progress=False)
    assert not (tmp_path / "parts").exists()
    monkeypatch.setattr(preparation, "make_tokenizer", lambda *_: pytest.fail("the tokenizer is made again"))
    found = prepare(DataConfig(source=source), BPE, VOCAB, tmp_path / "parts", progress=False)
    assert len(count_read) == 100
    assert sum(encoded) == 100
    assert files_of(found.folder) == files_of(expected.folder)


def test_a_source_that_broke_off_is_gone_on_with_from_there(monkeypatch: pytest.MonkeyPatch, count_read: list[str]):
    told = tales(90)
    broken = True

    def part(begin: int) -> Part:
        def read(skip: int):
            for number, story in enumerate(told[begin + skip : begin + 30]):
                if broken and begin == 30 and number + skip == 17:
                    raise InterruptedSourceError("the hub broke off")
                yield story

        return Part(f"part {begin}", read)

    source = Source({"train": [part(begin) for begin in (0, 30, 60)]}, "revision 1")
    monkeypatch.setattr("talewright.data.sources.open_source", lambda name, config: source)
    config = DataConfig(source="hub:someone/stories")
    for _ in range(2):
        with pytest.raises(InterruptedSourceError):
            prepare(config, BPE, VOCAB, progress=False)
        assert len(count_read) == 47
    broken = False
    corpus = prepare(config, BPE, VOCAB, progress=False)
    assert count_read == told
    assert sorted(texts(corpus, *corpus.splits)) == sorted(told)


def test_a_source_of_another_version_is_read_from_its_beginning(monkeypatch: pytest.MonkeyPatch, count_read: list[str]):
    def opened(version: str, stories: list[str], breaks: bool) -> None:
        def read(skip: int):
            yield from stories[skip:]
            if breaks:
                raise InterruptedSourceError("the hub broke off")

        source = Source({"train": [Part("part", read)]}, version)
        monkeypatch.setattr("talewright.data.sources.open_source", lambda name, config: source)

    config = DataConfig(source="hub:someone/stories")
    opened("1", tales(40), breaks=True)
    with pytest.raises(InterruptedSourceError):
        prepare(config, BPE, VOCAB, progress=False)
    opened("2", tales(50, seed=1), breaks=False)
    corpus = prepare(config, BPE, VOCAB, progress=False)
    assert sorted(texts(corpus, *corpus.splits)) == sorted(tales(50, seed=1))


def dying(source: Path, folder: Path, left: int) -> int:
    command = [sys.executable, "-m", "tests.data.dying", str(source), str(folder), str(left)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


def test_killed_again_and_again_it_ends_with_the_same_bytes(tmp_path: Path):
    """SIGKILL, in a process of its own, at every so many-th time that something is made lasting."""
    source = write_txt(tmp_path / "a.txt", tales(300))
    assert dying(source, tmp_path / "whole", 0) == 0
    deaths = 0
    while dying(source, tmp_path / "parts", 23 + 5 * deaths) != 0:
        deaths += 1
        assert not (tmp_path / "parts").exists()
        assert deaths < 20, "it does not go on"
    assert deaths >= 3
    assert files_of(tmp_path / "parts") == files_of(tmp_path / "whole")


@pytest.mark.slow
@settings(max_examples=20, phases=[Phase.explicit, Phase.generate])
@given(lives=st.lists(st.integers(1, 60), max_size=6))
def test_killed_at_any_moments_it_ends_with_the_same_bytes(tmp_path_factory: pytest.TempPathFactory, lives: list[int]):
    folder = tmp_path_factory.mktemp("killed")
    source = write_txt(folder / "a.txt", tales(300))
    assert dying(source, folder / "whole", 0) == 0
    for left in [*lives, 0]:
        if dying(source, folder / "parts", left) == 0:
            break
    assert files_of(folder / "parts") == files_of(folder / "whole")


def test_two_at_once_make_one(tmp_path: Path, capfd: pytest.CaptureFixture[str], count_read: list[str]):
    source = str(write_txt(tmp_path / "a.txt", tales(200)))
    corpora: list[Corpus] = []

    def one() -> None:
        corpora.append(prepare(DataConfig(source=source), BPE, VOCAB, tmp_path / "made"))

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [corpus.fingerprint for corpus in corpora] == [corpora[0].fingerprint] * 3
    assert len(count_read) == 200
    assert f"waiting for another preparation of {tmp_path / 'made'}" in capfd.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "made"]


REFUSED = {
    "empty": (
        b"",
        "no story to train on: 0 read, 0 of them empty, 0 shorter than 20 characters (--data.min-chars)",
    ),
    "short": (b"Hi.\n<|endoftext|>\nHo.", "gave no story to train on: 2 read, 0 of them empty, 2 shorter than 20"),
    "not UTF-8": (b"Once upon a time\xff there was", "is not UTF-8: byte 0xFF at offset 16."),
    "all in validation": (as_bytes("txt", tales(5)), "5 read, 0 of them empty, 0 shorter than 20 "),
}


@pytest.mark.parametrize("case", REFUSED)
def test_stories_that_will_not_do_are_refused_and_leave_nothing(case: str, tmp_path: Path, cache: Path):
    data, message = REFUSED[case]
    source = tmp_path / "a.txt"
    source.write_bytes(data)
    config = DataConfig(source=str(source), valid=str(source) if case == "all in validation" else None)
    with pytest.raises(UserError) as error:
        prepare(config, BPE, VOCAB, progress=False)
    assert message in str(error.value)
    assert list((cache / "corpora").iterdir()) == []


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = write_txt(tmp_path / "a.txt", tales(40))
    add = SpoolWriter.add

    def adding(self: SpoolWriter, record: str | None) -> None:
        if self.state.counts.read == 20:
            write_txt(source, tales(41))
        add(self, record)

    monkeypatch.setattr(SpoolWriter, "add", adding)
    with pytest.raises(
        UserError, match=r"a source changed while it was read: .*a.txt has changed since; prepare again$"
    ):
        prepare(DataConfig(source=str(source)), BPE, VOCAB, progress=False)
    monkeypatch.undo()
    corpus = prepare(DataConfig(source=str(source)), BPE, VOCAB, progress=False)
    assert sorted(texts(corpus, *corpus.splits)) == sorted(tales(41))


def test_a_tokenizer_that_is_not_there_is_said_before_stories_are_read(tmp_path: Path, count_read: list[str]):
    source = write_txt(tmp_path / "a.txt", tales(40))
    (tmp_path / "gpt2").mkdir()
    for kind in ("gpt2", "gpt2-top"):
        with pytest.raises(UserError):
            prepare(DataConfig(source=str(source)), TokenizerConfig(kind=kind, source=str(tmp_path / "gpt2")), 400)
    assert count_read == []


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path):
    source = write_txt(tmp_path / "a.txt", tales(40))
    (tmp_path / "file").write_text("mine")
    with pytest.raises(
        UserError, match=r"cannot be written: .*; name another folder, or another cache with TALEWRIGHT_CACHE"
    ):
        prepare(DataConfig(source=str(source)), BPE, VOCAB, tmp_path / "file" / "corpus", progress=False)
    assert (tmp_path / "file").read_text() == "mine"


# --- without keeping them --------------------------------------------------------------------------------------------


def test_all_stories_of_a_source_are_tokenised_in_order(small: Corpus, tmp_path: Path):
    told = [*tales(30), "", tales(1)[0], "x"]  # copies are scored as often as they stand there
    stories, sizes = tokenize_source(DataConfig(source=str(write_txt(tmp_path / "a.txt", told))), small.tokenizer)
    expected = [*tales(30), tales(1)[0]]
    assert [small.tokenizer.decode(story) for story in stories] == expected
    assert sizes.tolist() == [len(story.encode()) for story in expected]
    assert all(isinstance(story, np.ndarray) for story in stories)


def test_a_source_with_validation_stories_is_scored_on_these(tmp_path: Path, small: Corpus):
    write_txt(tmp_path / "train.txt", tales(9))
    write_txt(tmp_path / "valid.txt", tales(3, seed=1))
    assert list(read_stories(DataConfig(source=str(tmp_path)))) == tales(3, seed=1)
    assert list(read_stories(DataConfig(source=str(tmp_path / "train.txt"), limit=4))) == tales(4)
    write_txt(tmp_path / "none.txt", ["x"])
    with pytest.raises(UserError, match=r"none.txt gave no story of 20 characters or more"):
        tokenize_source(DataConfig(source=str(tmp_path / "none.txt")), small.tokenizer)
