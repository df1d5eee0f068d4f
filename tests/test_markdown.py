"""Names and stories in Markdown: a reader of Markdown shows exactly them, and finds no markup."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from talewright.evaluate.tables import _as_markdown
from talewright.markdown import as_block, as_code, as_line, as_text

markdown_it = pytest.importorskip("markdown_it", reason="no reader of Markdown here")

HOSTILE = st.sampled_from("_*`~$<>&|\\[](){}!#+-=.:\"'% \n1ab’从🐱")
TEXTS = st.text(HOSTILE, min_size=1, max_size=20)


class Shown(HTMLParser):
    """The tags of a page, and the text that it shows."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(
            markdown_it.MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown)
        )
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def words(text: str) -> list[str]:
    return text.split()


@given(text=TEXTS)
@example(text="<img src=x onerror=alert(1)>")
def test_a_text_is_shown_as_it_is(text: str) -> None:
    page = Shown(f"> {'> '.join(as_text(text).splitlines(keepends=True))}")
    assert words(page.text) == words(text)
    assert {*page.tags} <= {"blockquote", "p", "br", "pre", "code"}


@given(text=TEXTS.filter(str.strip))
def test_a_line_is_shown_in_a_heading_and_in_a_sentence(text: str) -> None:
    page = Shown(f"# {as_line(text)}.\n\nOf {as_line(text)}.")
    assert words(page.text) == [*words(f"{text.strip()}."), *words(f"Of {text.strip()}.")]
    assert page.tags == ["h1", "p"]


@given(text=TEXTS.filter(str.strip))
def test_code_is_shown_in_a_sentence_and_in_a_block(text: str) -> None:
    page = Shown(f"Of {as_code(text)}.\n\n{as_block(text, 'yaml')}")
    assert words(page.text) == [*words(f"Of {' '.join(text.split())}."), *words(text)]
    assert page.tags == ["p", "code", "pre", "code"]


@given(names=st.lists(TEXTS.filter(str.strip), min_size=1, max_size=3))
def test_a_table_has_a_cell_for_each_name(names: list[str]) -> None:
    page = Shown(_as_markdown([["run", "loss"], *([name, "-0.1"] for name in names)]))
    assert page.tags.count("td") == 2 * len(names)
    assert {*page.tags} <= {"table", "thead", "tbody", "tr", "th", "td"}
    assert words(page.text) == ["run", "loss", *(word for name in names for word in (*words(name), "-0.1"))]


def test_ordinary_names_stay_as_they_are() -> None:
    assert as_line("runs/mini_2m-3, best (12.3 %)") == "runs/mini_2m-3, best (12.3 %)"
    assert as_code("talewright scores a_b") == "`talewright scores a_b`"
    assert as_text('"Hello," said Lily. She was 3.') == '"Hello," said Lily. She was 3.'
