"""The making of a corpus: done once, interrupted and continued, killed, or refused."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from talewright.config import DataConfig, TokenizerConfig
from talewright.data import Corpus, prepare, tokenize_source
from talewright.data.preparation import builder
from talewright.data.preparation.builder import CorpusBuilder
from talewright.data.preparation.staging import StagingWriter
from talewright.data.sources import InterruptedSourceError, StorySource
from talewright.data.sources.files import SourceFile
from talewright.errors import UserError
from tests.data.cases import BPE, VOCAB, as_bytes, files_of, tales, texts, write_txt

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def count_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stories that are read from sources from now on."""
    read: list[str] = []
    add = StagingWriter.add

    def counted(self: StagingWriter, record: str) -> None:
        read.append(record)
        add(self, record)

    monkeypatch.setattr(StagingWriter, "add", counted)
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
        (mine, config, BPE, VOCAB, f"{mine} holds something other than a prepared corpus; name another folder"),
        (
            done,
            config,
            BPE,
            400,
            "prepared with other settings: tokenizer.vocab_size is 300 there and 400 here; name another",
        ),
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
    with pytest.raises(UserError, match=r"has tokenizer.kind bpe of 300, but the recipe has gpt2 of 50257"):
        prepare(config, TokenizerConfig(kind="gpt2"), 50257, progress=False)
    with pytest.raises(UserError, match=r"is a prepared corpus; name the stories that it was made of"):
        tokenize_source(config, small.tokenizer)


def test_somebody_elses_folder_beside_is_left_alone(tmp_path: Path):
    source = write_txt(tmp_path / "a.txt", tales(40))
    own = tmp_path / "made.partial"
    own.mkdir()
    (own / "novel.doc").write_text("my only copy")
    with pytest.raises(UserError, match=r"made.partial is needed to prepare .*made, but holds something else; move it"):
        prepare(DataConfig(source=str(source)), BPE, VOCAB, tmp_path / "made", progress=False)
    assert files_of(own) == {"novel.doc": b"my only copy"}


def test_what_another_preparation_left_unfinished_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Stopped after reading, or when everything but its name is made; then with another source."""
    one, other = (DataConfig(source=str(write_txt(tmp_path / f"{n}.txt", tales(40, seed=n)))) for n in (1, 2))
    for stopped in ("_make_tokenizer", "_remove_working_files"):
        with monkeypatch.context() as patched:
            patched.setattr(CorpusBuilder, stopped, stop)
            with pytest.raises(StopError):
                prepare(one, BPE, VOCAB, tmp_path / stopped, progress=False)
        corpus = prepare(other, BPE, VOCAB, tmp_path / stopped, progress=False)
        assert sorted(texts(corpus, *corpus.splits)) == sorted(tales(40, seed=2))


def stop(*_: Any) -> None:
    raise StopError


class StopError(Exception):
    """Not an error of the program."""


def test_an_interrupted_preparation_continues(tmp_path: Path, count_read: list[str], monkeypatch: pytest.MonkeyPatch):
    """Interrupted while it tokenizes, it neither reads the stories nor trains the tokenizer again."""
    source = str(write_txt(tmp_path / "a.txt", tales(100)))
    expected = prepare(DataConfig(source=source), BPE, VOCAB, tmp_path / "whole", progress=False)
    monkeypatch.setattr("talewright.data.preparation.tokenize.BATCH", 2000)
    encode = builder.tokenize_stories

    def stopping(tokenizer: Any, stories: Any) -> Any:
        for number, batch in enumerate(encode(tokenizer, stories)):
            if number == 3:
                raise StopError
            yield batch

    count_read.clear()
    with monkeypatch.context() as patched:
        patched.setattr(builder, "tokenize_stories", stopping)
        with pytest.raises(StopError):
            prepare(DataConfig(source=source), BPE, VOCAB, tmp_path / "parts", progress=False)
    assert not (tmp_path / "parts").exists()
    monkeypatch.setattr(builder, "make_tokenizer", lambda *_: pytest.fail("the tokenizer is made again"))
    made = prepare(DataConfig(source=source), BPE, VOCAB, tmp_path / "parts", progress=False)
    assert len(count_read) == 100
    assert files_of(made.folder) == files_of(expected.folder)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_files_that_were_read_whole_are_not_read_again(
    tmp_path: Path, count_read: list[str], monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
):
    (tmp_path / "many").mkdir()
    for number in range(5):
        write_txt(tmp_path / "many" / f"{number}.txt", tales(30, seed=number))
    config = DataConfig(source=str(tmp_path / "many"), limit=140)
    expected = prepare(config, BPE, VOCAB, tmp_path / "whole", progress=False)
    count_read.clear()
    add = StagingWriter.add

    def interrupted(self: StagingWriter, record: str) -> None:
        if len(count_read) == 77:
            raise error
        add(self, record)

    with monkeypatch.context() as patched:
        patched.setattr(StagingWriter, "add", interrupted)
        with pytest.raises(error):
            prepare(config, BPE, VOCAB, tmp_path / "parts", progress=False)
    made = prepare(config, BPE, VOCAB, tmp_path / "parts", progress=False)
    assert len(count_read) == 77 + 140 - 60
    assert files_of(made.folder) == files_of(expected.folder)


def test_a_source_that_broke_off_is_continued_with_the_file_that_it_broke_off_in(
    monkeypatch: pytest.MonkeyPatch, count_read: list[str]
):
    stories = tales(90)
    broken = True

    def file(begin: int) -> SourceFile:
        def read():
            for number, story in enumerate(stories[begin : begin + 30]):
                if broken and begin == 30 and number == 17:
                    raise InterruptedSourceError("the hub broke off")
                yield story

        return SourceFile(f"file {begin}", read)

    source = StorySource({"train": [file(begin) for begin in (0, 30, 60)]}, "revision 1")
    monkeypatch.setattr("talewright.data.sources.open_source", lambda name, config: source)
    config = DataConfig(source="hub:someone/stories")
    for attempt in range(2):
        with pytest.raises(InterruptedSourceError):
            prepare(config, BPE, VOCAB, progress=False)
        assert len(count_read) == 47 + 17 * attempt
    broken = False
    corpus = prepare(config, BPE, VOCAB, progress=False)
    assert count_read == [*stories[:47], *stories[30:47], *stories[30:]]
    assert sorted(texts(corpus, *corpus.splits)) == sorted(stories)


def test_a_source_of_another_version_is_read_from_its_beginning(monkeypatch: pytest.MonkeyPatch):
    def opened(version: str, stories: list[str], breaks: bool) -> None:
        def read():
            yield from ()
            if breaks:
                raise InterruptedSourceError("the hub broke off")

        files = [SourceFile("file", lambda: iter(stories)), SourceFile("other", read)]
        source = StorySource({"train": files}, version)
        monkeypatch.setattr("talewright.data.sources.open_source", lambda name, config: source)

    config = DataConfig(source="hub:someone/stories")
    opened("1", tales(40), breaks=True)
    with pytest.raises(InterruptedSourceError):
        prepare(config, BPE, VOCAB, progress=False)
    opened("2", tales(50, seed=1), breaks=False)
    corpus = prepare(config, BPE, VOCAB, progress=False)
    assert sorted(texts(corpus, *corpus.splits)) == sorted(tales(50, seed=1))


def test_staged_text_that_was_damaged_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = write_txt(tmp_path / "a.txt", tales(40))
    with monkeypatch.context() as patched:
        patched.setattr(CorpusBuilder, "_make_tokenizer", stop)
        with pytest.raises(StopError):
            prepare(DataConfig(source=str(source)), BPE, VOCAB, tmp_path / "made", progress=False)
    (text,) = (tmp_path / "made.partial").rglob("train.text")
    os.truncate(text, 100)
    with pytest.raises(
        UserError, match=r"train.text has changed since it was written\. Remove .*made.partial and prepare again"
    ):
        prepare(DataConfig(source=str(source)), BPE, VOCAB, tmp_path / "made", progress=False)


def dying(source: Path, folder: Path, calls: int) -> int:
    command = [sys.executable, "-m", "tests.data.preparation.dying", str(source), str(folder), str(calls)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


def several_files(folder: Path) -> Path:
    folder.mkdir()
    for number in range(10):
        write_txt(folder / f"{number}.txt", tales(30, seed=number))
    return folder


def test_killed_again_and_again_it_ends_with_the_same_bytes(tmp_path: Path):
    """SIGKILL, in a process of its own, at every n-th call that makes something durable."""
    source = several_files(tmp_path / "source")
    assert dying(source, tmp_path / "whole", 0) == 0
    deaths = 0
    while dying(source, tmp_path / "parts", 9 + 13 * deaths) != 0:
        deaths += 1
        assert not (tmp_path / "parts").exists()
        assert deaths < 20, "it does not continue"
    assert deaths >= 3
    assert files_of(tmp_path / "parts") == files_of(tmp_path / "whole")


@pytest.mark.slow
@settings(max_examples=20, phases=[Phase.explicit, Phase.generate])
@given(lives=st.lists(st.integers(1, 120), max_size=6), one_file=st.booleans())
def test_killed_at_any_moments_it_ends_with_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, lives: list[int], one_file: bool
):
    folder = tmp_path_factory.mktemp("killed")
    source = write_txt(folder / "a.txt", tales(300)) if one_file else several_files(folder / "source")
    assert dying(source, folder / "whole", 0) == 0
    for calls in [*lives, 0]:
        if dying(source, folder / "parts", calls) == 0:
            break
    assert files_of(folder / "parts") == files_of(folder / "whole")


def test_two_at_once_make_one(tmp_path: Path, caplog: pytest.LogCaptureFixture, count_read: list[str]):
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
    assert f"waiting for another preparation of {tmp_path / 'made'}" in caplog.text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "made"]


REFUSED = {
    "empty": (
        b"",
        "a.txt is empty; training needs stories",
    ),
    "short": (b"Hi.\n<|endoftext|>\nHo.", "has no training stories: 2 read, 0 of them empty, 2 shorter than 20"),
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
    add = StagingWriter.add

    def adding(self: StagingWriter, record: str) -> None:
        if self.counts.read == 20:
            write_txt(source, tales(41))
        add(self, record)

    monkeypatch.setattr(StagingWriter, "add", adding)
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
        UserError, match=r"cannot be written: .*\. Choose another folder with --out or TALEWRIGHT_CACHE"
    ):
        prepare(DataConfig(source=str(source)), BPE, VOCAB, tmp_path / "file" / "corpus", progress=False)
    assert (tmp_path / "file").read_text() == "mine"
