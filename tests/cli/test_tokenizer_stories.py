"""The commands `data tokenizer`: which stories and settings it takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from talewright.cli import main
from tests.data.cases import tales, write_txt


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tokenizer in the working folder, beside stories that rules of `=====` separate, in a column `story`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(tmp_path / "cache"))
    write_txt(tmp_path / "a.txt", tales(40), separator="=====")
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"id": "x" * 60, "story": s}) + "\n" for s in tales(30)))
    main(["data", "tokenizer", "train", "--data", "a.jsonl", "--data.text-key", "story", "--model.vocab-size", "300"])
    return tmp_path


def show(capsys: pytest.CaptureFixture[str], *words: str) -> float:
    capsys.readouterr()
    main(["data", "tokenizer", "show", "tokenizer", "--json", *words])
    return json.loads(capsys.readouterr().out)["tokens_per_word"]


def test_settings_say_how_the_shown_stories_are_read(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show(capsys, "--data", "a.jsonl", "--text-key", "story") == show(
        capsys, "--data", "a.jsonl", "--data.text_key", "story"
    )
    assert show(capsys, "--data", "a.jsonl", "--text-key", "id") > 20  # a long word
    separated = show(capsys, "--data", "a.txt", "--data.separator", "=====")
    assert separated == show(capsys, "--data", "a.txt", "--separator", "=====")
    assert separated != show(capsys, "--data", "a.txt", "--format", "lines")  # the rules are words of theirs
    assert separated != show(capsys, "--data", "a.txt", "--separator", "=====", "--limit", "1")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--separator", "***"], "that --data names, and has no use for --separator here"),
        (["--data", "a.txt", "--valid", "a.txt"], "reads all stories of --data, and has no use for --valid here"),
        (["--data", "a.txt", "--model.d-model", "8"], "no use for --model.d-model here"),
    ],
)
def test_a_setting_that_would_do_nothing_is_refused(
    words: list[str], message: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["data", "tokenizer", "show", "tokenizer", *words])
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err
