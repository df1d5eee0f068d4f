"""Patterns that the shell expanded: never is one of several files left out in silence."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.cli import main
from talewright.cli.patterns import ONE_NAME, refuse_expanded_patterns
from talewright.errors import UserError

ADVICE = 'quote it, as in --data "stories/*.txt"'


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three stories, a folder of stories, a run and a tokenizer."""
    folder = tmp_path_factory.mktemp("place")
    for name in ("a.txt", "b.txt", "c d.txt"):
        (folder / name).write_text("A story.")
    for name in ("more", "run", "words"):
        (folder / name).mkdir()
    (folder / "run" / "recipe.yaml").touch()
    (folder / "words" / "tokenizer.json").touch()
    return folder


@given(
    option=st.sampled_from(ONE_NAME),
    names=st.lists(st.sampled_from(["a.txt", "b.txt", "c d.txt", "more"]), min_size=2, unique=True),
    before=st.lists(st.sampled_from(["--json", "--limit", "3", "run"]), max_size=3),
    after=st.sampled_from([[], ["--json"], ["run"]]),
)
def test_several_files_behind_an_option_for_one_are_refused(
    place: Path, option: str, names: list[str], before: list[str], after: list[str]
) -> None:
    files = [str(place / name) for name in names]
    with pytest.raises(UserError, match="takes one name") as error:
        refuse_expanded_patterns([*before, option, *files, *after])
    assert files[1] in str(error.value)
    assert ADVICE in str(error.value)
    refuse_expanded_patterns([*before, option, files[0], *after])


@pytest.mark.parametrize("other", ["run", "words", "not-there", "show"])
def test_a_run_or_a_tokenizer_may_follow(place: Path, other: str) -> None:
    refuse_expanded_patterns(["--data", str(place / "a.txt"), str(place / other)])


@pytest.mark.parametrize(
    "words",
    [
        ["data", "prepare", "--data", "a.txt", "b.txt"],
        ["train", "--data", "a.txt", "b.txt", "--minutes", "1"],
        ["plan", "--minutes", "1", "--data", "a.txt", "b.txt"],
        ["data", "tokenizer", "train", "--data", "a.txt", "b.txt"],
        ["data", "tokenizer", "show", "--data", "a.txt", "b.txt"],
        ["evaluate", "run", "--data", "a.txt", "b.txt"],
        ["inspect", "run", "--data", "a.txt", "b.txt"],
        ["generate", "run", "more"],
        ["inspect", "run", "more"],
        ["sweep", "a.txt", "b.txt"],
    ],
    ids=" ".join,
)
def test_every_command_advises_quotation_marks(
    place: Path, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    with pytest.raises(SystemExit) as exit_:
        main(words)
    assert exit_.value.code == 2
    assert ADVICE in capsys.readouterr().err


def test_an_export_into_a_run_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    (place / "run" / "recipe.yaml").write_text("train: {max_steps: 1}")
    with pytest.raises(SystemExit):
        main(["export", "run", "run", "--overwrite"])
    assert "run is a run too; export takes one run, and another folder to write" in capsys.readouterr().err


def test_files_that_are_values_of_options_are_no_pattern(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    with pytest.raises(SystemExit):
        main(["train", "--data", "a.txt", "--out", "run", "--nope", "3"])
    assert ADVICE not in capsys.readouterr().err
