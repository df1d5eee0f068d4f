"""The tutorial in docs/tutorial, followed as a reader would: save each block, run each command, compare each output.

`python -m tests.test_tutorial FOLDER [CHAPTER ...]` follows it in that folder, and writes the outputs and pictures into
the pages.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "tutorial"
CHAPTERS = ["1-tokens", "2-attention", "3-training", "4-sampling", "5-looking-inside"]
PICTURES = ["loss.png", "head.png"]
QUOTED = "src/talewright/"
"""A block with a title that begins so is a quotation of that file."""
ABOVE = "../../"
"""From a page to the files of the repository."""
BORROWER = re.compile(r"^(from borrow |import borrow)", re.MULTILINE)
INCLUDED = ROOT / "src" / "talewright" / "included" / "recipe.yaml"
WORDS = 900
"""The most words of a chapter, without its blocks."""

_FENCE = re.compile(r'^```(\w+)(?: title="([^"]*)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


class Fenced(NamedTuple):
    """A fenced block of a page."""

    language: str
    title: str
    text: str
    start: int
    """Where its text begins in the page."""


def page(chapter: str) -> str:
    return (FOLDER / f"{chapter}.md").read_text(encoding="utf-8")


def blocks(chapter: str) -> list[Fenced]:
    found = _FENCE.finditer(page(chapter))
    return [Fenced(match[1], match[2] or "", match[3], match.start(3)) for match in found]


def commands(block: Fenced) -> list[str]:
    """The programs of the reader that a block of commands runs."""
    return re.findall(r"^python (\w+\.py)$", block.text, re.MULTILINE) if block.language == "console" else []


class Reader:
    """Somebody who follows the tutorial in a folder."""

    def __init__(self, folder: Path, borrows: bool) -> None:
        """Without `borrows` the reader leaves out what needs the included model."""
        self.folder, self.borrows = folder, borrows

    def follow(self, chapter: str) -> Iterator[tuple[Fenced, str]]:
        """Save and run what the chapter says; yields each block of output in the page, and what was really printed."""
        begun: set[str] = set()
        printed: str | None = None
        for block in blocks(chapter):
            if block.language == "python" and not block.title.startswith(QUOTED):
                file = self.folder / block.title
                before = file.read_text(encoding="utf-8") + "\n\n" if block.title in begun else ""
                file.write_text(before + block.text, encoding="utf-8")
                begun.add(block.title)
            for program in commands(block):
                printed = self.run(program)
            if block.title.startswith("Output"):
                if printed is not None:
                    yield block, printed
                printed = None

    def run(self, program: str) -> str | None:
        """What the program prints; None if it was left out."""
        if not self.borrows and self.uses_included(program):
            return None
        paths = [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONUTF8": "1"}
        command = [sys.executable, program]
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, encoding="utf-8"
        )
        assert done.returncode == 0, f"{program}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def uses_included(self, program: str) -> bool:
        return BORROWER.search((self.folder / program).read_text(encoding="utf-8")) is not None


def agree(title: str, shown: str, printed: str) -> bool:
    """Whether the page shows what was printed, as nearly as the title of its block says."""
    if title == "Output":
        return shown == printed
    if "a little" not in title:  # what the included model, or a model of the reader's own, says
        return len(shown.splitlines()) > 1 and len(printed.splitlines()) > 1
    if _NUMBER.sub("#", shown).split() != _NUMBER.sub("#", printed).split():
        return False
    pairs = zip(_NUMBER.findall(shown), _NUMBER.findall(printed), strict=True)
    return all(math.isclose(float(a), float(b), rel_tol=0.15, abs_tol=0.3) for a, b in pairs)


def follow(chapters: list[str], folder: Path, borrows: bool = INCLUDED.is_file()) -> None:
    reader = Reader(folder, borrows)
    for chapter in chapters:
        for block, printed in reader.follow(chapter):
            assert agree(block.title, block.text, printed), f"{chapter} shows\n{block.text}\nit printed\n{printed}"


def test_the_chapter_with_the_model_works_as_written(tmp_path: Path) -> None:
    follow(["2-attention"], tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_whole_tutorial_works_as_written(tmp_path: Path) -> None:
    """Without the included model, what borrows its weights is left out."""
    follow(CHAPTERS, tmp_path)
    pictures = PICTURES if INCLUDED.is_file() else PICTURES[:1]
    assert all((tmp_path / picture).stat().st_size > 10_000 for picture in pictures)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_what_a_chapter_quotes_stands_in_the_source(chapter: str) -> None:
    quotations = [block for block in blocks(chapter) if block.title.startswith(QUOTED)]
    assert quotations
    for block in quotations:
        assert "\n" + block.text in "\n" + (ROOT / block.title).read_text(encoding="utf-8"), block


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_reader_can_follow_the_chapter(chapter: str) -> None:
    """Where no titles of blocks are shown, as on GitHub, the text before a new file names it, and the text before a
    quotation links to its source. Each file that a command runs was given, and each output follows a command.
    """
    text, found, given = page(chapter), blocks(chapter), set()
    for i, block in enumerate(found):
        if block.language == "python":
            before, title = text[: block.start].rsplit("```", 2)[-2], block.title
            assert title in given or f"`{title}`" in before or f"({ABOVE}{title})" in before, title
            if not block.title.startswith(QUOTED):
                given.add(block.title)
        assert set(commands(block)) <= given, block
        assert not block.title.startswith("Output") or commands(found[i - 1]), block
    checks = {title for title in given if title.startswith("check_")}
    assert {f"exercise_{check[6:]}" for check in checks} <= given
    assert len(checks) >= 2


@pytest.mark.parametrize("chapter", ["index", *CHAPTERS])
def test_a_chapter_is_short(chapter: str) -> None:
    text = _FENCE.sub("", page(chapter))
    assert len(text.split()) <= WORDS
    assert max(len(line) for line in page(chapter).splitlines()) <= 120


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_each_block_of_python_is_valid(chapter: str) -> None:
    for block in blocks(chapter):
        if block.language == "python" and not block.title.startswith(QUOTED):
            compile(block.text, block.title, "exec")


def test_outputs_are_compared_as_nearly_as_their_titles_say() -> None:
    little = "Output (yours will differ a little)"
    assert agree("Output", "a 1.5\n", "a 1.5\n")
    assert not agree("Output", "a 1.5\n", "a 1.6\n")
    assert agree(little, "a 1.5\n", "a 1.6\n")
    assert not agree(little, "a 1.5\n", "a 2.6\n")
    assert not agree(little, "a 1.5\n", "b 1.5\n")
    assert not agree(little, "a 1.5\n", "a\n")
    assert not agree("Output (yours will differ)", "", "")


def write_outputs(folder: Path, chapters: list[str]) -> None:
    """Follow these chapters in the folder, and write what they print and draw into the pages."""
    reader = Reader(folder, borrows=True)
    for chapter in chapters:
        text = page(chapter)
        for block, printed in reversed(list(reader.follow(chapter))):
            text = text[: block.start] + printed + text[block.start + len(block.text) :]
        (FOLDER / f"{chapter}.md").write_text(text, encoding="utf-8")
    for picture in PICTURES:
        if (folder / picture).is_file():
            shutil.copy(folder / picture, FOLDER / picture)


if __name__ == "__main__":
    write_outputs(Path(sys.argv[1]), sys.argv[2:] or CHAPTERS)
