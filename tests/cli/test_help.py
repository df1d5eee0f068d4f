"""The help of the command line."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

from talewright import cli
from talewright.cli.commands import COMMANDS, GROUPS, OLD_NAMES, TOP_LEVEL, function_of, second_words
from talewright.cli.help import overview, words_help


def help_of(words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    try:
        cli.main(list(words))
    except SystemExit as exit_:
        assert exit_.code == 0  # noqa: PT017
    return capsys.readouterr().out


def test_the_fifteen_commands_are_listed_by_task() -> None:
    assert {title: " ".join(names) for title, names in GROUPS.items()} == {
        "Start": "demo train generate runs",
        "Data and choices": "data recipes plan sweep",
        "Understand": "evaluate inspect studio",
        "Take elsewhere": "serve export import",
        "Machine": "doctor",
    }
    assert [name for name in COMMANDS if " " not in name] == TOP_LEVEL
    lines = overview().splitlines()
    for name in TOP_LEVEL:
        [at] = [number for number, line in enumerate(lines) if line.startswith(f"  {name} ")]
        assert lines[at].endswith(COMMANDS[name].what)
        assert lines[at + 1].split()[:2] == ["talewright", name]
    assert set(GROUPS) <= set(lines)


def test_every_command_is_the_function_of_the_module_with_its_name() -> None:
    functions = {name: function_of(name) for name, command in COMMANDS.items() if command.alone}
    for name, function in functions.items():
        assert function.__module__ == f"talewright.cli.{function.__name__}"
        assert function.__name__.rstrip("_") == name.replace(" ", "_")
    shared = "__init__ arguments commands common completion dashes help patterns refusals settings tables words"
    modules = {path.stem for path in Path(cli.__file__).parent.glob("*.py")}
    assert modules == {*shared.split(), *(function.__name__ for function in functions.values())}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_is_a_command_line_of_its_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its words are those that the command's help knows. With `--help` behind them, nothing runs."""
    words = shlex.split(COMMANDS[name].example)
    assert words[: len(name.split())] == name.split()
    shown = help_of([*words, "--help"], capsys)
    options = [word for word in words if word.startswith("--")]
    assert all(f" {option}" in shown for option in options), options


@pytest.mark.parametrize("name", ["data", "data tokenizer", "evaluate", "doctor"])
def test_the_help_lists_second_words_with_a_line_and_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line.strip() for line in help_of([*name.split(), "--help"], capsys).splitlines()]
    for word, whole in second_words(name).items():
        assert f"{word:11}{COMMANDS[whole].what}" in lines
        assert f"talewright {COMMANDS[whole].example}" in lines


def test_a_command_that_does_nothing_alone_prints_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert help_of([], capsys) == help_of(["--help"], capsys) == f"{overview()}\n"
    for name in ("data", "data tokenizer"):
        assert help_of(name.split(), capsys) == help_of([*name.split(), "-h"], capsys) == f"{words_help(name)}\n"


@pytest.mark.parametrize("width", [80, 120])
def test_help_fits_the_terminal_and_shows_no_noise(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for words in ([], *(name.split() for name in COMMANDS)):
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
    for name in ("train", "data prepare", "recipes"):
        assert "`talewright recipes NAME --explain`" in " ".join(help_of([*name.split(), "--help"], capsys).split())
    assert "--explain" not in help_of(["generate", "--help"], capsys)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "no command trian; did you mean train?"),
        (["compare", "a", "b"], "no command compare; did you mean evaluate compare?"),
        (["verfy"], "no command verfy; did you mean doctor verify?"),
        (["xyzzy"], "no command xyzzy; `talewright --help` lists them"),
        (["data", "prepar"], "data has no command prepar; did you mean data prepare?"),
        (["data", "xyzzy"], "data has no command xyzzy; `talewright data --help` lists them"),
        (["data", "tokenizer", "shwo"], "data tokenizer has no command shwo; did you mean data tokenizer show?"),
        (["data", "--json"], "data needs a command: prepare or tokenizer"),
        (["evaluate", "jugde"], "evaluate has no command jugde; did you mean evaluate judge?"),
        (["doctor", "verfy", "run"], "doctor has no command verfy; did you mean doctor verify?"),
    ],
)
def test_an_unknown_word_is_one_message_with_the_nearest_name(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main(list(words))
    assert exit_.value.code == 2
    assert capsys.readouterr().err == f"talewright: {message}\n"


def test_the_help_ends_in_a_terminal_of_one_column(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "1")
    assert "--minutes" in help_of(["train", "--help"], capsys)


def test_no_word_of_the_command_line_is_styled_where_no_terminal_shows_it() -> None:
    assert "\x1b" not in overview()
    assert not set(OLD_NAMES) & set(TOP_LEVEL)
