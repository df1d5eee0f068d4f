"""Which command a command line names; the names of earlier versions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from talewright.cli import main
from talewright.cli.commands import COMMANDS, OLD_NAMES, find_command, replace_old_name
from talewright.errors import UserError
from talewright.tokenizer.bpe import train_bpe
from talewright.version import __version__


@pytest.mark.parametrize("name", COMMANDS)
def test_the_first_words_name_the_command_and_the_others_are_its_arguments(name: str) -> None:
    for rest in ([], ["--json"], ["./judge"], ["--out", "judge"]):
        if COMMANDS[name].alone or rest[:1] != ["./judge"]:
            assert find_command([*name.split(), *rest]) == (name, rest)


def test_a_second_word_is_one_whatever_the_folder_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run folder of that name is given as ./judge; one with a similar name is a run."""
    monkeypatch.chdir(tmp_path)
    for name in ("judge", "jugde"):
        (tmp_path / name).mkdir()
    assert find_command(["evaluate", "judge", "judge"]) == ("evaluate judge", ["judge"])
    assert find_command(["evaluate", "./judge"]) == ("evaluate", ["./judge"])
    assert find_command(["evaluate", "--json", "judge"]) == ("evaluate", ["--json", "judge"])
    assert find_command(["evaluate", "jugde"]) == ("evaluate", ["jugde"])
    (tmp_path / "jugde").rmdir()
    with pytest.raises(UserError, match="did you mean evaluate judge"):
        find_command(["evaluate", "jugde"])
    assert find_command(["evaluate", "runs/demo-1"]) == ("evaluate", ["runs/demo-1"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("prepare --data a.txt", "data prepare --data a.txt"),
        ("tokenizer train --data a.txt", "data tokenizer train --data a.txt"),
        ("tokenizer --data a.txt show run", "data tokenizer show --data a.txt run"),
        ("tokenizer", "data tokenizer"),
        ("scores a b --out c", "evaluate compare a b --out c"),
        ("judge run --url u", "evaluate judge run --url u"),
        ("harness folder", "evaluate harness folder"),
        ("plot run", "inspect run --only curves"),
        ("verify run", "doctor verify run"),
        ("bench train", "doctor bench train"),
    ],
)
def test_an_old_name_is_the_new_command(old: str, new: str) -> None:
    words, message = replace_old_name(old.split())
    assert words == new.split()
    assert message is not None
    assert f"`talewright {OLD_NAMES[old.split()[0]]}`; the old name goes in 0.3.0" in message
    find_command(words)
    assert replace_old_name(words) == (words, None)


def test_the_old_names_are_gone_from_the_version_that_the_message_names() -> None:
    assert tuple(map(int, __version__.split(".")[:2])) < (0, 3), "remove OLD_NAMES, as promised"


def test_an_old_name_runs_after_one_line_on_standard_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    main(["harness", "questions"])
    printed = capsys.readouterr()
    assert printed.out == "questions/talewright_understanding.yaml\n"
    assert printed.err == "talewright: harness is now `talewright evaluate harness`; the old name goes in 0.3.0\n"
    train_bpe(["Once upon a time."], 260).save(tmp_path / "tokenizer")
    event = {"event": "step", "step": 1, "loss": 2.0, "tokens": 5}
    (tmp_path / "log.jsonl").write_text("".join(json.dumps({**event, "step": n}) + "\n" for n in (1, 2)))
    (tmp_path / "recipe.yaml").write_text("train: {max_steps: 2}\n")
    main(["plot", "."])
    printed = capsys.readouterr()
    assert "plot is now `talewright inspect RUN --only curves`" in printed.err.splitlines()[0]
    assert (tmp_path / "plots" / "training_curves.png").read_bytes().startswith(b"\x89PNG")
