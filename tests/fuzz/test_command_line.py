"""Any command line gives an answer or one message, never a traceback, and every wrong setting is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talewright.cli.commands import OLD_NAMES
from talewright.config import setting_names
from tests.fuzz.targets import run_words

COMMANDS = ["demo", "recipes", "data", "train", "evaluate", "generate", "inspect", "doctor", *OLD_NAMES]
# fmt: off
OPTIONS = [
    "--recipe", "--data", "--valid", "--limit", "--out", "--resume", "--max-steps", "--max-minutes", "--seed", "--json",
    "--prompt", "--samples", "--top-k", "--temperature", "--checkpoint", "--separator", "--text-key", "--seconds",
    "--help", "-h", "--version", "--", "-", "", "--=", "--.=", "--a.b.c", "--no-json", "@file", "--train", "--model.",
]
ODD = [
    "mini-2m", "quickstart", "show", "train", "machine", "5", "-5", "1e999", "nan", "null", "true", "[90, 10]", "[",
    "{", "runs/none", "none.yaml", "..", "/", "\0", "\udcff", "é😀", "a" * 5000, "!!python/name:os.system", "&a [*a]",
    "prepare", "tokenizer", "judge", "bench", "None", "9" * 5000, "bundled:" + "9" * 5000,
]
# fmt: on
NAMES = [f"--{name.replace('_', '-')}" for name in setting_names()]
WORD = st.sampled_from([*OPTIONS, *ODD]) | st.sampled_from(NAMES) | st.text(max_size=6)
PAIR = st.builds(lambda name, value: f"{name}={value}", st.sampled_from([*NAMES, *OPTIONS]), WORD)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(tmp_path / "cache"))


LINES = st.tuples(st.sampled_from(COMMANDS) | WORD, st.lists(WORD | PAIR, max_size=6))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(line=LINES)
def test_no_words_crash_the_command_line(line: tuple[str, list[str]]):
    run_words([line[0], *line[1]])
    assert list(Path().iterdir()) == []


@pytest.mark.slow
@settings(max_examples=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(line=LINES)
def test_many_words_do_not_crash_the_command_line(line: tuple[str, list[str]]):
    run_words([line[0], *line[1]])
    assert list(Path().iterdir()) == []


WRONG: dict[str, Any] = {
    "--model.n-heads": "5",
    "--model.dropout": "1.5",
    "--model.n-layer": "2",
    "--model.norm": "batchnorm",
    "--train.micro-batch": "0",
    "--train.precision": "fp12",
    "--train.keep": "many",
    "--optimizer.betas": "[0.9]",
    "--optimizer.clip": "-1",
    "--schedule.final-fraction": "2",
    "--data.splits": "[1]",
    "--data.min-chars": "-1",
    "--data.limit": "few",
    "--tokenizer.kind": "words",
    "--seed": "-1",
    "--colour.red": "1",
}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(st.sampled_from(sorted(WRONG)), min_size=1, unique=True),
    command=st.sampled_from(["train", "data prepare", "recipes", "doctor bench"]),
    joined=st.booleans(),
)
def test_every_wrong_setting_is_named(names: list[str], command: str, joined: bool):
    more = {"recipes": ["mini-2m"], "doctor bench": ["train", "--recipe", "mini-2m"]}
    words = [*command.split(), *more.get(command, ["--recipe", "mini-2m"])]
    names = [name for name in names if name != "--seed" or command == "train"]
    for name in names:
        words += [f"{name}={WRONG[name]}"] if joined and name != "--seed" else [name, WRONG[name]]
    code, printed = run_words(words)
    if names:
        assert code == 2
        assert all(name.removeprefix("--").replace("-", "_") in printed for name in names)
        assert len(names) == 1 or f"has {len(names)} problems:" in printed
