"""A check of the prose of Markdown pages. `python -m website.prose README.md docs` lists what to reword.

It finds words of this project's own that other programs' documentation does not use, and long sentences. Spelling is
codespell's task (pyproject.toml). Vale's package fetches a binary. Harper runs offline, but nearly all of the 1,800
errors that it finds in these pages are names, units and terms.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

LONGEST_SENTENCE = 45
"""Words. A reader who does not speak English every day loses a longer sentence."""
REWORDED = {
    r"(fore)?told|tell(s|ing|er|ers)?": "generate, say or predict",
    r"whoever|whosoever": "anyone who, a person who",
    r"anew": "again, a new ...",
    r"unless (it is )?(told|asked)": "by default",
    r"such as have": "those with",
    r"comes? along": "is included",
    r"(bits|bytes|tokens|steps|stories) an? (byte|token|second|minute|step)": "per: bits per byte, tokens per second",
    r"for ever": "always",
    r"half-made": "incomplete",
    r"whole or absent": "complete or absent; written atomically",
    r"shel(f|ves)|spool(s|ed)?": "a term of the field (retention, staging)",
    r"floors": "baselines",
    r"grown-?ups?": "adults",
    r"so many": "N, the number of",
    r"thereof|therein|hereof|thereby|wherein|whereof": "also, of it, in it",
    r"(?<!what\s)(goes|go) on": "continues",
    r"(?P<word>the|an?|of|is|are|to|in|and|with|for|it) (?P=word)": "the word once",
}
"""What not to write, as a regular expression for whole words, and what to write in its place."""
RULES = [
    (re.compile(rf"\b(?:{words})\b".replace(" ", r"\s+"), re.IGNORECASE), instead)
    for words, instead in REWORDED.items()
]
STORIES = "samples.md"
"""A page of stories that models wrote."""
NOT_PROSE = re.compile(
    r"^(?P<fence>`{3,}|~{3,}).*?^(?P=fence)`*$"  # code
    r"|\A---\n.*?^---$"  # front matter
    r"|^>.*?$"  # quotations, such as stories of a model
    r"|<!--.*?-->|<[^<>\n]+>|``.+?``|`[^`]*`"
    r'|"[^"\n]*(?:\n[^"\n]+)?"|“[^”]*”'  # what someone or something else says
    r"|(?<=\])\([^)]*\)|https?://\S+",
    re.MULTILINE | re.DOTALL,
)
BREAK = re.compile(r"\s*(?:[-*+]|\d+\.|[#|].*)\s")
"""What begins a list item, a heading or the row of a table."""
MARKER = re.compile(r"^(?:[-*+]|\d+\.)\s+")


class Finding(NamedTuple):
    line: int
    text: str
    advice: str


def findings(markdown: str) -> Iterator[Finding]:
    """What to reword in a page, in the order of the rules."""
    prose = NOT_PROSE.sub(lambda match: re.sub(r"[^\n]+", "_", match[0]), markdown)
    for words, instead in RULES:
        for match in words.finditer(prose):
            yield Finding(line_of(prose, match.start()), " ".join(match[0].split()), f"write: {instead}")
    for line, sentence in sentences(prose):
        if (length := len(sentence.split())) > LONGEST_SENTENCE:
            words = " ".join(sentence.split()[:6])
            yield Finding(line, f"{words} ...", f"{length} words in a sentence; at most {LONGEST_SENTENCE}")


def sentences(prose: str) -> Iterator[tuple[int, str]]:
    """The sentences of paragraphs and list items, each with the number of its paragraph's first line. Headings and
    tables have none.
    """
    paragraph: list[str] = []
    first = 0
    for number, line in enumerate([*prose.split("\n"), ""], 1):
        if not line.strip() or BREAK.match(line):
            for sentence in re.split(r"(?<=[.!?:])[*_)]*\s", " ".join(paragraph)):
                yield first, sentence
            paragraph = []
        if line.strip() and not line.lstrip().startswith(("#", "|")):
            first = first if paragraph else number
            paragraph.append(MARKER.sub("", line.strip()))


def line_of(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def pages(paths: list[str]) -> Iterator[Path]:
    for path in map(Path, paths):
        yield from sorted(each for each in path.rglob("*.md") if each.name != STORIES) if path.is_dir() else [path]


def main(paths: list[str]) -> int:
    """Print what is found in the pages, one line each; 1 if there is anything, else 0."""
    found = [(page, each) for page in pages(paths) for each in findings(page.read_text(encoding="utf-8"))]
    for page, finding in found:
        print(f"{page}:{finding.line}: {finding.text} ({finding.advice})")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
