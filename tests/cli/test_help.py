"""The help of the command line."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from talewright import cli
from talewright.cli.help import COMMANDS, command_names, overview


def help_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    try:
        cli.main(words)
    except SystemExit as exit_:
        assert exit_.code == 0  # noqa: PT017
    return capsys.readouterr().out


def test_every_command_is_in_one_group_of_the_overview_and_has_a_function() -> None:
    names = command_names()
    assert len(names) == len(set(names))
    for name in names:
        module = "import_" if name == "import" else name
        assert callable(getattr(import_module(f"talewright.cli.{module}"), module))
        assert f"\n  {name} " in overview()
    modules = {path.stem for path in Path(cli.__file__).parent.glob("*.py")}
    assert modules - {"__init__", "common", "tables", "help", "words", "settings", "dashes", "patterns"} == {
        {"import": "import_"}.get(name, name) for name in names
    }
    assert all(f"\n{group}\n" in overview() for group in COMMANDS)


@pytest.mark.parametrize("width", [80, 120])
def test_help_fits_the_terminal_and_shows_no_noise(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for words in ([], *([name] for name in command_names())):
        shown = help_of([*words, "--help"], capsys)
        assert max(map(len, shown.splitlines())) <= width, words
        assert not any(noise in shown for noise in ("(default: None)", "(default: )", "STR", "FLOAT", "INT")), words


def test_no_word_of_a_description_is_broken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    words = help_of(["evaluate", "--help"], capsys).split()
    assert {"`scores.json`", "`talewright", "generate.", "held-out"} <= set(words)


def test_the_help_of_a_command_with_a_recipe_says_where_its_settings_are(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("train", "prepare", "recipes"):
        assert "`talewright recipes NAME --explain`" in " ".join(help_of([name, "--help"], capsys).split())
    assert "--explain" not in help_of(["generate", "--help"], capsys)


def test_an_unknown_command_is_one_message_with_the_nearest_name(capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        (["trian"], "talewright: no command trian; did you mean train?\n"),
        (["xyzzy"], "talewright: no command xyzzy; `talewright --help` lists them\n"),
        ([], "talewright: give a command; `talewright --help` lists them\n"),
    ):
        with pytest.raises(SystemExit) as exit_:
            cli.main(words)
        assert exit_.value.code == 2
        assert capsys.readouterr().err == message
