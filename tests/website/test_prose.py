"""The check of the prose of pages."""

from __future__ import annotations

import pytest

from website.prose import LONGEST_SENTENCE, findings, main


def found(text: str) -> list[tuple[int, str]]:
    return [(each.line, each.text) for each in findings(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("So tells a model.\n", [(1, "tells")]),
        ("One\n\nline 0.7 bits\na byte.\n", [(3, "bits a byte")]),
        ("It is the\nthe same.\n", [(1, "the the")]),
        ("- Whoever reads it.\n", [(1, "Whoever")]),
        ("| a | unless told |\n|---|---|\n", [(1, "told"), (1, "unless told")]),
    ],
)
def test_words_that_the_field_does_not_use_are_found(text: str, expected: list[tuple[int, str]]) -> None:
    assert found(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "```\nhe told her\n```\n",
        "````\n```\nhe told her\n```\nand told\n````\n",
        "> She told him.\n",
        'The story says "he told\nher" here.\n',
        "The option `--told` and [a page](told.md).\n",
        "Look at what goes on inside.\n",
        "<!-- told --> 0.7 bits per byte, storyteller\n",
    ],
)
def test_code_quotations_and_links_are_not_prose(text: str) -> None:
    assert found(text) == []


def test_a_long_sentence_is_found_where_its_paragraph_begins() -> None:
    allowed = " ".join(["word"] * LONGEST_SENTENCE)
    assert found(f"{allowed}.\n\n**Short.** {allowed}.\n") == []
    assert found(f"# Title\n\n{allowed}\nmore.\n") == [(3, "word word word word word word ...")]
    assert found(f"- {allowed}\n- {allowed}\n") == []
    assert found(f"1. {allowed}\n2. {allowed} more\n") == [(2, "word word word word word word ...")]
    assert found(f"| {allowed} | {allowed} |\n") == []


def test_the_command_names_page_and_line_and_exits_with_1(tmp_path, capsys) -> None:
    (tmp_path / "good.md").write_text("A model generates stories.\n")
    assert main([str(tmp_path)]) == 0
    (tmp_path / "bad.md").write_text("Fine.\n\nIt begins anew.\n")
    assert main([str(tmp_path)]) == 1
    assert f"{tmp_path / 'bad.md'}:3: anew (write: again" in capsys.readouterr().out
