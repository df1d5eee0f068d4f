from __future__ import annotations

from pathlib import Path

import pytest

from talewright.config import DataConfig
from talewright.data.sources import identify, open_source, open_splits
from talewright.data.sources.files import by_split
from talewright.errors import UserError
from tests.data.cases import as_bytes, tales, write_txt


def stories(config: DataConfig) -> dict[str, list[str]]:
    """What is read for each split."""
    inputs = open_splits(config)[0]
    return {name: [text.strip() for text in some.records()] for name, some in inputs.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three formats, with names that contain splits, one in a folder below."""
    (tmp_path / "more").mkdir()
    write_txt(tmp_path / "Tales-train.txt", ["one", "two"])
    (tmp_path / "more" / "train_2.jsonl").write_bytes(as_bytes("jsonl", ["three"]))
    (tmp_path / "Tales-valid.csv").write_bytes(as_bytes("csv", ["four"]))
    (tmp_path / "README.md").write_text("no story")
    (tmp_path / ".hidden.txt").write_text("no story")
    return tmp_path


def test_file_names_in_a_folder_determine_the_splits(folder: Path):
    assert stories(DataConfig(source=str(folder))) == {"train": ["one", "two", "three"], "valid": ["four"]}


def test_a_glob_is_read_like_a_folder_of_the_files_that_match(folder: Path):
    assert stories(DataConfig(source=f"{folder}/**/*train*")) == {"train": ["one", "two", "three"]}
    assert stories(DataConfig(source=f"{folder}/Tales-*")) == {"train": ["one", "two"], "valid": ["four"]}


def test_split_shares_leave_the_sources_own_evaluation_stories_unread(folder: Path):
    assert stories(DataConfig(source=str(folder), splits=(90, 10))) == {"train": ["one", "two", "three"]}


def test_named_sources_replace_the_sources_own(folder: Path):
    own = write_txt(folder / ".own.txt", ["mine", "yours"])
    found = stories(DataConfig(source=str(folder), valid=str(own), test=str(folder)))
    assert found["valid"] == ["mine", "yours"]
    assert found["test"] == ["one", "two", "three", "four"]  # it has no test stories of its own: all are meant


def test_limits_count_the_stories_that_are_read(folder: Path):
    config = DataConfig(source=str(folder), valid=str(folder / "Tales-train.txt"), limit=2, valid_limit=1)
    assert stories(config) == {"train": ["one", "two"], "valid": ["one"]}


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["train.txt"], {"train": 1}),
        (["valid.txt"], {"train": 1}),  # a file that is named itself is what one trains on
        (["train.txt", "val.txt", "dev.txt", "test.txt"], {"train": 1, "valid": 2, "test": 1}),
        (["a.txt", "validation-0001.txt"], {"train": 1, "valid": 1}),
        (["test.txt", "valid.txt"], {"train": 2}),  # nothing would be left to train on
        (["latest.txt", "invalid.txt", "strain.txt"], {"train": 3}),  # words within words say nothing
        (["train/a.txt", "test/a.txt", "test/train.txt"], {"train": 2, "test": 1}),
    ],
)
def test_which_split_a_name_contains(names: list[str], splits: dict[str, int]):
    assert {name: len(files) for name, files in by_split((name, None) for name in names).items()} == splits  # type: ignore[misc]


def test_the_bundled_stories_are_a_source():
    ten = stories(DataConfig(source="bundled:10"))["train"]
    assert len(set(ten)) == 10
    assert stories(DataConfig(source="bundled", limit=12))["train"][:10] == ten
    assert identify("bundled", DataConfig()) != identify("bundled:10", DataConfig())


def test_a_changed_file_is_another_source(tmp_path: Path):
    path = write_txt(tmp_path / "a.txt", ["one"])
    before = identify(str(path), DataConfig())
    assert identify(str(path), DataConfig()) == before
    write_txt(path, ["one", "two"])
    assert identify(str(path), DataConfig()) != before


def test_a_missing_source_is_named_with_similar_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_txt(tmp_path / "stories.txt", ["one"])
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    endings = ".txt, .jsonl, .json, .csv, .tsv and .parquet, each also as .gz or .zst or .bz2 or .xz, are read"
    messages = {
        "stories.txt": "no such file or folder: stories.txt. Did you mean --data ../stories.txt?",
        "../storys.txt": "no such file or folder: ../storys.txt. Did you mean --data ../stories.txt?",
        "none": "no such file or folder: none; --data takes a file, a folder, a glob, hub:OWNER/NAME or bundled",
        "empty": f'folder empty holds no story file; {endings}. A glob names others, such as --data "empty/*.md"',
        "*.txt": "no file matches *.txt",
        "bundled:many": "bundled:many does not name a number of stories; write for example bundled:20000",
        "bundled:"
        + "9" * 5000: f"bundled:{'9' * 5000} does not name a number of stories; write for example bundled:20000",
        "bundled:0": "bundled:0 does not name a number of stories; write for example bundled:20000",
        "hub:Tales": "hub:Tales is not a name on the hub; write hub:OWNER/NAME, such as hub:roneneldan/TinyStories",
    }
    for name, message in messages.items():
        with pytest.raises(UserError) as error:
            open_source(name, DataConfig())
        assert str(error.value) == message


def test_a_file_can_be_read_again(tmp_path: Path):
    path = write_txt(tmp_path / "a.txt", tales(20))
    (file,) = open_source(str(path), DataConfig()).files["train"]
    for _ in range(2):
        assert [text.strip() for text in file.read()] == tales(20)
