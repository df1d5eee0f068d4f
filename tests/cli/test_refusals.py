"""Empty words, and settings without their section, are refused by name before a command sees them."""

from __future__ import annotations

import pytest

from talewright.cli import main
from talewright.cli.refusals import MAY_BE_EMPTY, SOURCES, refuse_empty_words


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["generate", ""], 'a word of the command is empty ("")'),
        (["evaluate", "run", " "], 'a word of the command is empty ("")'),
        (["runs", ""], 'a word of the command is empty ("")'),
        (["import", "model", ""], 'a word of the command is empty ("")'),
        (["data", "tokenizer", "train", ""], 'a word of the command is empty ("")'),
        (["data", "prepare", "--out", ""], "--out is empty"),
        (["sweep", "sweep.yaml", "--out="], "--out is empty"),
        (["demo", "--out", ""], "--out is empty"),
        (["evaluate", "run", "--prompts", ""], "--prompts is empty"),
        (["train", "--minutes", "1", "--ladder", ""], "--ladder is empty"),
        (["train", "--vocab-size", "300"], "no option --vocab-size; the recipe has the setting --model.vocab-size"),
        (["plan", "--minutes", "1", "--kind=x"], "--tokenizer.kind and --optimizer.kind and --schedule.kind"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_such_a_word_is_named(words: list[str], message: str, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_options_that_may_be_empty_are() -> None:
    for option in (*MAY_BE_EMPTY, *SOURCES):
        refuse_empty_words([option, "", f"{option}=", option.replace("-", "_").replace("__", "--"), ""])
