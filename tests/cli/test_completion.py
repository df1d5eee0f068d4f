"""Shell completion: what a Tab offers, in the shells that are installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from talewright.cli import main
from talewright.cli.arguments import arguments_of
from talewright.cli.commands import COMMANDS, TOP_LEVEL, function_of
from talewright.cli.completion import completion_script, completions
from talewright.config import recipe_names

ASK_BASH = """
COMP_WORDS=(talewright "$@"); COMP_CWORD=$#
_talewright
printf '%s\\n' "${COMPREPLY[@]}"
"""
RUNS = ["runs/demo-1", "runs/my run"]

CASES = [
    ("", TOP_LEVEL),
    ("de", ["demo"]),
    ("--", ["--completion", "--help", "--version"]),
    ("--completion ", ["bash", "fish", "zsh"]),
    ("data ", ["prepare", "tokenizer"]),
    ("data tokenizer s", ["show"]),
    ("data tokenizer train --ov", ["--overwrite"]),
    ("evaluate j", ["judge"]),
    ("evaluate judge --pr", ["--price-in", "--price-out", "--prompts"]),
    ("evaluate judge judge --hum", ["--human"]),
    ("evaluate --json ju", []),
    ("generate runs/demo-1 --precision ", ["bf16", "fp16", "fp32", "int8"]),
    ("generate --greedy runs/d", ["runs/demo-1"]),
    ("generate --seed ", []),
    ("inspect runs/demo-1 --only c", ["curves"]),
    ("train --recipe story-3", ["story-300k", "story-3m"]),
    ("train --model.drop", ["--model.dropout", "--model.dropout-sites"]),
    ("train --resume runs/d", ["runs/demo-1"]),
    ("recipes quick", ["quickstart"]),
    ("doctor bench ", ["generate", "machine", "train"]),
    ("export runs/demo-1 folder --to hf", ["hf", "hf-remote"]),
    ("nonsense ", []),
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with two runs and a folder that is none."""
    monkeypatch.chdir(tmp_path)
    for run in RUNS:
        (tmp_path / run).mkdir(parents=True)
        (tmp_path / run / "recipe.yaml").touch()
    (tmp_path / "runs" / "other").mkdir()
    return tmp_path


def offered(shell: str, line: str) -> list[str]:
    """What the shell offers for the last word of `talewright LINE`."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    script, words = completion_script(shell), line.split(" ")
    if shell == "bash":
        command = [program, "--norc", "-c", script + ASK_BASH, "bash", *words]
    else:
        command = [program, "--no-config", "-c", f"{script}\ncomplete -C 'talewright {line}'"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    return sorted(word.partition("\t")[0] for word in done.stdout.splitlines() if word)


@pytest.mark.parametrize("shell", ["bash", "fish"])
@pytest.mark.parametrize(("line", "expected"), CASES, ids=[line for line, _ in CASES])
def test_a_tab_offers_what_may_stand_there(shell: str, line: str, expected: list[str], place: Path) -> None:
    assert offered(shell, line) == sorted(expected)


def test_bash_offers_runs_wherever_they_are(place: Path) -> None:
    """A blank in a name is written as the command line needs it."""
    assert offered("bash", "inspect runs/") == ["runs/demo-1", "runs/my\\ run"]
    assert offered("bash", "evaluate ") == ["compare", "harness", "judge", "runs/demo-1", "runs/my\\ run"]
    (place / "else" / "where").mkdir(parents=True)
    (place / "else" / "where" / "recipe.yaml").touch()
    assert offered("bash", "generate else/w") == ["else/where"]


def test_bash_splits_an_option_from_its_value(place: Path) -> None:
    assert offered("bash", "generate --precision = i") == ["int8"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_every_shell_can_be_read(shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--completion", shell])
    script = capsys.readouterr().out
    assert all(f" {name} " in script.replace("'", " ") for name in (*TOP_LEVEL, *recipe_names()))
    if program := shutil.which(shell):
        (tmp_path / "script").write_text(script)
        subprocess.run([program, "-n", str(tmp_path / "script")], check=True)


def test_an_unknown_shell_is_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    for words, named in ((["tcsh"], "tcsh"), ([], "no shell"), (["bash", "zsh"], "bash zsh")):
        with pytest.raises(SystemExit) as exit_:
            main(["--completion", *words])
        assert exit_.value.code == 2
        expected = f"no completion for {named}; --completion bash, zsh or fish prints a script"
        assert capsys.readouterr().err == f"talewright: {expected}\n"


def test_every_option_of_every_command_is_completed() -> None:
    """And no word has a character that a shell would take for its own."""
    words = completions()
    for name, command in COMMANDS.items():
        options = [each for each in arguments_of(function_of(name)) if not each.positional] if command.alone else []
        assert set(words[f"{name} --"].split()) == {*(each.option for each in options), "--help"}
        assert all(f"{name} {each.option}" in words for each in options if each.takes_value)
    assert not any(set(text) & set("'\"$`\\*?[]{}()<>|&;") for text in (*words, *words.values()))
