"""Text wrapped between words while it is generated."""

from __future__ import annotations

import io
import sys
import textwrap
from contextlib import redirect_stderr, redirect_stdout

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from talewright.cli.words import print_message, print_pieces, replace_unknown_characters, show, wrap_pieces
from talewright.errors import UserError, visible
from talewright.train.progress import TrainingProgress

PIECES = st.lists(st.text("ab.  \n", max_size=7), max_size=20)


@given(pieces=PIECES, width=st.integers(1, 12))
def test_only_line_breaks_change_and_only_a_long_word_exceeds_the_width(pieces: list[str], width: int) -> None:
    text, shown = "".join(pieces), "".join(wrap_pieces(pieces, width))
    assert shown.split() == text.split()
    assert all(len(line) <= width or len(line.split()) == 1 for line in shown.split("\n"))
    assert [each.split() for each in shown.split("\n\n")] == [each.split() for each in _clean(text).split("\n\n")]


def _clean(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.split("\n"))


@given(words=st.lists(st.text("abc", min_size=1, max_size=9), min_size=1), width=st.integers(9, 30), cut=st.integers())
def test_a_paragraph_is_wrapped_as_textwrap_does_however_it_is_cut(words: list[str], width: int, cut: int) -> None:
    text = " ".join(words)
    cut %= len(text)
    assert "".join(wrap_pieces([text[:cut], text[cut:]], width)) == textwrap.fill(text, width)


def test_a_word_is_shown_as_soon_as_it_is_complete() -> None:
    shown = wrap_pieces(iter(["One d", "ay", ", a dog ", "ran"]), 80)
    assert [next(shown), next(shown)] == ["One", " day,"]


def test_text_for_a_file_stays_as_it_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    text = "word " * 40
    monkeypatch.setenv("COLUMNS", "40")
    print_pieces([text])
    assert capsys.readouterr().out == text + "\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    print_pieces([text])
    assert max(map(len, capsys.readouterr().out.splitlines())) == 39


def test_a_message_is_wrapped_in_a_terminal_but_not_its_commands(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    message = "one two three four five six\n  talewright generate runs/a --prompt now"
    print_message(message)
    assert capsys.readouterr().err == message + "\n"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    print_message(message)
    wrapped = "one two three four\nfive six\n  talewright generate runs/a --prompt now\n"
    assert capsys.readouterr().err == wrapped


@given(st.text(st.characters(max_codepoint=0x2FF) | st.sampled_from("\u202e\u2066\x1b\x9b\r\x08\x07")))
def test_nothing_that_a_terminal_obeys_is_printed(text: str) -> None:
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        show(text)
        print_pieces([text])
        print_message(text)
    obeyed = {chr(code) for code in (*range(32), *range(0x7F, 0xA0), 0x202E, 0x2066)} - {*"\t\n"}
    assert not obeyed & {*out.getvalue(), *err.getvalue(), *str(UserError(text))}
    assert show_progress(text).count("\x1b") == 0
    plain = "".join(letter for letter in text if letter not in obeyed)
    assert visible(plain) == plain


def show_progress(text: str) -> str:
    """What the display of a training run prints of a message."""
    out = io.StringIO()
    TrainingProgress(Console(file=out, force_terminal=False)).print(text)
    return out.getvalue()


REPLACED = [("cp1252", "Zoë ? ?"), ("cp932", "Zo? あ ?"), ("utf-8", "Zoë あ 🐉")]


@pytest.mark.parametrize(("encoding", "expected"), REPLACED)
def test_only_what_the_terminal_lacks_is_replaced(
    encoding: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding=encoding))
    replace_unknown_characters()
    print("Zoë あ 🐉", end="", flush=True)
    assert shown.getvalue().decode(encoding) == expected


@given(text=st.text(st.characters()), encoding=st.sampled_from(["ascii", "cp1252", "cp437", "utf-8", "utf-16"]))
@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_any_text_is_printed_in_any_encoding(errors: str, text: str, encoding: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        shown = io.BytesIO()
        patch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding=encoding, errors=errors, newline="\n"))
        replace_unknown_characters()
        print_pieces([text])
        known = visible(text).encode(encoding, "replace").decode(encoding)
        assert shown.getvalue().decode(encoding) == known + "\n"


@pytest.mark.parametrize("fails", [False, True])
def test_a_message_waits_until_the_text_has_ended(capsys: pytest.CaptureFixture[str], fails: bool) -> None:
    shown: list[str] = []

    def pieces():
        yield "Once upon "
        print_message("it is long")
        shown.append(capsys.readouterr().err)
        if fails:
            raise KeyboardInterrupt
        yield "a time"

    try:
        print_pieces(pieces())
    except KeyboardInterrupt:
        assert fails
    assert shown == [""]
    assert capsys.readouterr().err == "it is long\n"
    print_message("and now")
    assert capsys.readouterr().err == "and now\n"
