"""Every command where the terminal's encoding is not UTF-8: characters that it lacks are replaced, nothing raises."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from talewright.cli import main
from talewright.cli.commands import COMMANDS as NAMES
from talewright.config import ModelConfig, load_recipe
from talewright.data import bundled
from talewright.export.importers import write_run
from talewright.tokenizer.bpe import train_bpe
from tests.model.shapes import lively_model

NAME = "r’🐱从$_{5$ {x}<b>&%s `_"
TEXT = '’🐱从$_{5$ {x}<b>&"%s\\ \x1b[31m \u202e \udce9'
STORIES = "tales’从{$.txt"
ENCODINGS = ["ascii", "cp1252", "cp437", "utf-16", "utf-8"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an untrained run and stories, all with names and texts that few encodings have."""
    folder = tmp_path_factory.mktemp("places")
    config = ModelConfig(n_layers=1, n_heads=2, d_model=8, d_ff=16, vocab_size=270, context_length=32)
    recipe = dataclasses.replace(load_recipe("quickstart"), model=config, name=NAME)
    tokenizer = train_bpe(bundled.stories(60), 270)
    write_run(folder / NAME, recipe, lively_model(config, 0), tokenizer)
    story = f"It wasn’t 🐱 从. {TEXT[:-1]}" + " A nice day, and all were glad." * 5
    (folder / STORIES).write_text("\n<|endoftext|>\n".join(f"{n} {story}" for n in range(40)), encoding="utf-8")
    (folder / "prompts’.txt").write_text(f"{TEXT[:-1]}\nTwo", encoding="utf-8")
    return folder


COMMANDS = [
    (["runs", "."], 0),
    (["runs", ".", "--json"], 0),
    (["recipes", "quickstart", "--explain"], 0),
    (["recipes", TEXT], 2),
    (["generate", NAME, "--prompt", TEXT[:-1], "--max-new-tokens", "4"], 0),
    (["generate", NAME, "--prompt", TEXT], 2),
    (["generate", NAME, "--prompts", "prompts’.txt", "--max-new-tokens", "4", "--json"], 0),
    (["generate", NAME, "--prompts", TEXT], 2),
    (["generate", NAME, "--checkpoint", TEXT], 2),
    (["generate", NAME, "--device", TEXT], 2),
    (["evaluate", NAME, "--data", STORIES, "--only", "likelihood", "--limit", "2"], 0),
    (["evaluate", "compare", NAME, "--data", STORIES], 0),
    (["evaluate", "compare", TEXT], 2),
    (["inspect", TEXT, "--only", "curves"], 2),
    (["inspect", NAME, "--data", TEXT], 2),
    (["doctor", "verify", TEXT], 2),
    (["data", "tokenizer", "show", NAME, "--data", STORIES], 0),
    (["data", "tokenizer", "train", "new’", "--data", STORIES, "--model.vocab-size", "262", "--overwrite"], 0),
    (["data", "prepare", "--data", STORIES], 0),
    (["data", "prepare", "--data", TEXT], 2),
    (["train", "--data", STORIES, "--recipe", TEXT], 2),
    (["train", "--resume", TEXT], 2),
    (["train", "--recipe", "quickstart", "--out", TEXT], 2),
    (["plan", "--minutes", "1", "--data", TEXT], 2),
    (["sweep", TEXT], 2),
    (["export", NAME], 2),
    (["export", NAME, "out’", "--to", TEXT], 2),
    (["import", TEXT, "imported’"], 2),
    (["evaluate", "harness", "questions’"], 0),
    (["evaluate", "judge", NAME, "--url", TEXT, "--model", TEXT], 2),
    (["studio", TEXT], 2),
    (["serve", NAME, "--host", TEXT], 2),
    (["doctor", "bench", TEXT], 2),
    (["doctor", TEXT], 2),
    (["demo", TEXT], 2),
    (["data", TEXT], 2),
    (["data", "tokenizer", TEXT], 2),
    (["evaluate", TEXT], 2),
    (["--completion", TEXT], 2),
    ([TEXT], 2),
]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_no_text_raises_in_any_command(
    made: Path, encoding: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(made)
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(tmp_path))
    lines = {" ".join(words) for words, _ in COMMANDS}
    assert all(any(line.startswith(f"{name} ") for line in lines) for name in NAMES)
    for words, expected in COMMANDS:
        code, out, err = run(words, encoding, monkeypatch)
        assert code == expected, (words, err)
        assert "Traceback" not in err
        assert "Logging error" not in err
        assert out or err
        if "--json" in words:
            json.loads(out)
    shutil.rmtree("new’")


def run(words: list[str], encoding: str, monkeypatch: pytest.MonkeyPatch) -> tuple[object, str, str]:
    """The exit code of a command, and what it writes on streams that take nothing but the encoding."""
    written = io.BytesIO(), io.BytesIO()
    streams = [io.TextIOWrapper(each, encoding=encoding, errors="strict") for each in written]
    with monkeypatch.context() as patch:
        for name, stream in zip(("stdout", "stderr"), streams, strict=True):
            patch.setattr(sys, name, stream)
        code: object = 0
        try:
            main(words)
        except SystemExit as ended:
            code = ended.code
    for stream in streams:
        stream.flush()
    out, err = (each.getvalue().decode(encoding) for each in written)
    return code, out, err


def test_a_name_that_the_terminals_encoding_lacks_is_one_sentence(tmp_path: Path) -> None:
    """As a recipe may hold one. What is typed arrives as bytes, and is no such name."""
    code = "from talewright.cli import main; main(['evaluate', 'harness', 'Zo\\xeb'])"
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"has characters that this terminal's encoding, ascii, lacks; set it to UTF-8" in done.stderr
    assert done.stderr.count(b"\n") == 1
