"""Which files of a folder or a glob are read, and that everything else is named."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.config import DataConfig
from talewright.data import prepare
from talewright.data.sources import files as files_module
from talewright.data.sources import identify, open_source
from talewright.data.sources.files import find_files
from talewright.data.sources.walk import _FOREIGN, Walk
from talewright.errors import UserError
from tests.data.cases import BPE, VOCAB, tales, write_txt

FOREIGN = {
    "run": {"recipe.yaml": "", "data.json": "{}", "log.jsonl": '{"step": 1}', "tokenizer/merges.txt": "a b"},
    "model": {"model.safetensors": "", "config.json": "{}", "notes.txt": "x"},
    "corpus": {"manifest.json": '{"format": "talewright corpus"}', "tokenizer/vocab.json": "{}"},
    "corpus.partial": {"progress.json": "{}", "staging/train.txt": "x"},
    "sweep": {"journal.log": "", "base.yaml": "", "results.csv": "a,b"},
    "cached": {"CACHEDIR.TAG": "", "a.txt": "x"},
}
"""Folders that hold no stories."""
MARKS = {name for _, sets in _FOREIGN for names in sets for name in names}
"""Names by which a whole folder is known to hold something other than stories."""
NAMES = st.text(
    st.characters(exclude_characters="/\0", codec="utf-8") | st.sampled_from("[]*?!\n .~'\"\udcff"),
    min_size=1,
    max_size=12,
).filter(lambda name: name not in (".", "..", *MARKS) and len(name.encode("utf-8", "surrogateescape")) < 60)


def relative(name: str, folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in find_files(name)[0]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Stories at two depths among what is none."""
    write_txt(tmp_path / "a.txt", ["one"])
    (tmp_path / "more").mkdir()
    write_txt(tmp_path / "more" / "b.txt", ["two"])
    for name, inside in FOREIGN.items():
        for file, text in inside.items():
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    for name in ("README.txt", "LICENSE.txt", "requirements.txt", "merges.txt", "vocab.json"):
        (tmp_path / name).write_text("no story")
    return tmp_path


@pytest.mark.parametrize("glob", ["", "/**/*.txt", "/**", "/**/*"])
def test_runs_tokenizers_and_notes_are_no_stories(glob: str, folder: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO):
        assert relative(f"{folder}{glob}", folder) == ["a.txt", "more/b.txt"]
    (said,) = [record.getMessage() for record in caplog.records if "they are not stories" in record.getMessage()]
    assert said.count(", ") == 5  # five are named, and how many more there are
    assert " more" in said


def test_a_file_that_is_named_alone_is_read_whatever_its_name(folder: Path):
    for name in ("README.txt", "run/log.jsonl", "merges.txt", "**/merges.txt"):
        assert name.rpartition("/")[2] in relative(f"{folder}/{name}", folder)[0]
    for name in FOREIGN:
        with pytest.raises(
            UserError, match=r"has no stories; skipped: .*\. To read one of these files, name it directly"
        ):
            find_files(str(folder / name))
    with pytest.raises(UserError, match=r"skipped: .*README\.txt"):
        find_files(f"{folder}/R*")


def test_links_to_folders_are_followed_once_and_may_lead_back(folder: Path):
    (folder / "more" / "up").symlink_to(folder)
    (folder / "zz").symlink_to(folder / "more")
    assert relative(str(folder), folder) == ["a.txt", "more/b.txt"]
    assert relative(f"{folder}/z*/*.txt", folder) == ["zz/b.txt"]


def test_what_cannot_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    (folder / "lost.txt").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.txt")
    scandir = os.scandir

    def denied(path: Any) -> Any:
        if Path(path).name == "more":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    for name in (str(folder), f"{folder}/**/*.txt", f"{folder}/m*/*.txt"):
        caplog.clear()
        try:
            find_files(name)
            said = "".join(record.getMessage() for record in caplog.records if record.levelno == logging.WARNING)
        except UserError as error:
            said = str(error)
        assert f"{folder}/more (Permission denied)" in said
    assert "lost.txt (a broken link)" in Walk().folder(folder, lambda _: True).unreadable[0]


def test_a_file_that_vanishes_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch):
    find = files_module.find_files

    def vanishing(name: str) -> Any:
        found = find(name)
        (folder / "a.txt").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(files_module, "find_files", vanishing)
    for use in (identify, open_source):
        write_txt(folder / "a.txt", ["one"])
        with pytest.raises(UserError, match=r"a\.txt cannot be read: No such file or directory"):
            use(str(folder), DataConfig())


def test_an_error_of_the_disk_while_reading_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write_txt(tmp_path / "a.txt", tales(30))
    source = open_source(str(path), DataConfig())

    def failing(*_: Any) -> Iterator[str]:
        yield "one"
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(files_module, "read_records", failing)
    with pytest.raises(UserError, match=r"a\.txt cannot be read: Input/output error"):
        list(source.files["train"][0].read())


@pytest.mark.parametrize("name", ["", "  ", "\n"])
def test_an_empty_name_is_refused_even_in_a_folder_of_stories(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder)
    for config in (DataConfig(source=name), DataConfig(source="a.txt", valid=name)):
        with pytest.raises(UserError, match="the name of the stories is empty"):
            prepare(config, BPE, VOCAB, progress=False)


def test_a_stream_is_refused_with_what_to_do(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("-", "/dev/stdin", "/dev/fd/63", "/dev/null", str(tmp_path / "pipe")):
        with pytest.raises(UserError, match=f"{name} is a stream, .*write one first, as in: zcat"):
            open_source(name, DataConfig())


def test_names_of_no_file_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lost.txt").symlink_to("nowhere")
    (tmp_path / "circle").symlink_to("circle")
    messages = {
        "x" * 5000: r"x+\.\.\. \(5,000 characters\) is not a valid file name",
        "a\0b": "is not a valid file name",
        "lost.txt": "lost.txt is a broken link to nowhere",
        "circle": "circle is a broken link",
        "~nobody-here/x": "no such file or folder: ~nobody-here/x",
    }
    for name, message in messages.items():
        with pytest.raises(UserError, match=message):
            open_source(name, DataConfig())


@given(names=st.lists(NAMES, min_size=1, max_size=3, unique=True))
def test_any_name_of_a_file_is_read(names: list[str]):
    """Named alone, in its folder, and by a glob of its folder; a name that looks like a pattern is a name first."""
    with TemporaryDirectory() as place:
        for number, name in enumerate(names):
            (Path(place) / name).write_text(f"Story {number}.")
        for name in names:
            path = Path(place) / name
            if path.stat().st_mode & stat.S_IFREG:
                assert find_files(str(path)) == ([path], path.parent)
        found = Walk().folder(Path(place), lambda _: True)
        visible = {name for name in names if not name.startswith(".")}
        assert {path.name for path in found.files} | {Path(name).name for name in found.foreign} == visible
        assert found.files == Walk().pattern(Path(place), ("*",)).files


def test_a_corpus_of_a_name_that_is_not_utf8_is_prepared(tmp_path: Path, cache: Path):
    path = tmp_path / os.fsdecode(b"bad\xff.txt")
    write_txt(path, tales(40))
    corpus = prepare(DataConfig(source=str(path)), BPE, VOCAB, progress=False)
    assert prepare(DataConfig(source=str(path)), BPE, VOCAB, progress=False).folder == corpus.folder
    assert corpus.manifest["data"]["source"] == str(path)
