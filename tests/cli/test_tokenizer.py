from __future__ import annotations

import json
from pathlib import Path

import pytest

from talewright.cli import main
from talewright.tokenizer import Tokenizer
from tests.train.conftest import write_stories

TRAIN = ["data", "tokenizer", "train", "--data", "stories.txt", "--model.vocab-size", "300"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(tmp_path / "cache"))
    write_stories(tmp_path / "stories.txt", 120)
    return tmp_path


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as exit_:
        main(words)
    assert exit_.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("words", [["mine"], ["--out", "mine"], ["mine", "--out", "mine"]])
def test_a_tokenizer_is_written_to_the_named_folder(words: list[str]):
    main([*TRAIN, *words])
    assert Tokenizer.load(Path("mine")).vocab_size == 300
    assert not Path("tokenizer").exists()


def test_a_tokenizer_is_replaced_only_if_asked(capsys: pytest.CaptureFixture[str]):
    main(TRAIN)
    before = Path("tokenizer/tokenizer.json").read_bytes()
    assert "tokenizer holds a tokenizer; --overwrite replaces it" in refused(TRAIN, capsys)
    assert Path("tokenizer/tokenizer.json").read_bytes() == before
    main([*TRAIN, "--overwrite", "--model.vocab-size", "290"])
    assert Tokenizer.load(Path("tokenizer")).vocab_size == 290


@pytest.mark.parametrize("owner", ["recipe.yaml", "manifest.json"])
@pytest.mark.parametrize("inside", ["own", "own/tokenizer"])
def test_the_tokenizer_of_a_run_or_a_corpus_is_never_replaced(
    owner: str, inside: str, capsys: pytest.CaptureFixture[str]
):
    main([*TRAIN, "own/tokenizer"])
    if owner == "recipe.yaml":
        Path("own/recipe.yaml").write_text("name: own\n")
    else:
        main(["data", "prepare", "--data", "stories.txt", "--model.vocab-size", "300", "--out", "corpus"])
        Path("own/tokenizer").rename("corpus/other")
        Path("own").rmdir()
        Path("corpus").rename("own")
    before = {path: path.read_bytes() for path in Path("own").rglob("*") if path.is_file()}
    message = refused([*TRAIN, inside, "--overwrite"], capsys)
    assert "needs its own tokenizer; name another folder" in message
    assert {path: path.read_bytes() for path in Path("own").rglob("*") if path.is_file()} == before


def test_a_folder_with_other_files_is_left_alone(capsys: pytest.CaptureFixture[str]):
    Path("notes").mkdir()
    Path("notes/mine.txt").write_text("kept")
    assert "notes holds other files (mine.txt)" in refused([*TRAIN[:3], "notes", *TRAIN[3:], "--overwrite"], capsys)
    assert "is a file; name a folder" in refused([*TRAIN[:3], "stories.txt", *TRAIN[3:]], capsys)
    assert "one folder: a or --out b" in refused([*TRAIN, "a", "--out", "b"], capsys)
    assert "Unrecognized options: --overwrite" in refused(["data", "tokenizer", "show", "notes", "--overwrite"], capsys)
    assert Path("notes/mine.txt").read_text() == "kept"


def test_the_size_that_a_corpus_could_fill_opens_it_again(capsys: pytest.CaptureFixture[str]):
    main(["data", "prepare", "--data", "stories.txt", "--model.vocab-size", "8000", "--out", "corpus"])
    size = json.loads(Path("corpus/manifest.json").read_text())["tokenizer"]["vocab_size"]
    assert size < 8000
    main(["data", "prepare", "--data", "corpus", "--model.vocab-size", str(size)])
    main(["data", "prepare", "--data", "corpus", "--model.vocab-size", "8000"])
    assert "has tokenizer.kind bpe of 8000" in refused(
        ["data", "prepare", "--data", "corpus", "--model.vocab-size", "300"], capsys
    )
