"""Flaws that cleaning leaves: found, counted, said, and left out if that is wished."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.data import Corpus, read_stories
from talewright.data.preparation.clean import clean
from talewright.data.preparation.flaws import find_flaws
from talewright.data.summary import summary, summary_line
from tests.data.cases import tales, texts
from tests.data.preparation.test_clean import CORRECT

SIGNS = {
    "lost": ["\ufffd", "ï¿½", "\ud83d"],
    "misread": ["a wordâ€? and", "voilÃ  la", "don鈥檛", "don+IBk-t"],
    "control": ["\x1b[31m", "\x07", "\x08", "\x0c", "\x7f", "\x9b31m"],
    "invisible": ["a\u200bb", "so\xadft", "\u2060", "\u202e", "in\ufeffside", "a\u200eb"],
    "markup": ["&amp;", "&#39;", "&quot;", "<br>", "</p>", '<a href="x">', "\\u2019", "=E2=80=99"],
}
PLAIN = [
    *CORRECT,
    "5 < 6 & 7 > 2",
    "<3",
    "AT&T; R&B",
    "a \\ b",
    "می\u200cخواهم",
    "x = 5 + 3 %",
    "tab\there",
    "क्\u200dष",
]


def found(text: str) -> list[str]:
    cleaned = clean(text)[0]
    return find_flaws(cleaned, cleaned.encode())


@given(
    flaw=st.sampled_from([(name, sign) for name, signs in SIGNS.items() for sign in signs]),
    before=st.sampled_from(["Once a cat. ", "It’s a cat… ", "Château. "]),
    after=st.sampled_from([" The end.", " “The end.”"]),
)
def test_every_flaw_is_found_by_its_name(flaw: tuple[str, str], before: str, after: str):
    name, sign = flaw
    assert found(before + sign + after) == [name]


@given(st.lists(st.sampled_from(PLAIN), min_size=1).map(" ".join))
def test_correct_text_has_no_flaw(text: str):
    assert found(text) == []


STORIES = [
    *tales(30),
    *("The dog didn\ufffdt want to go.", "The cat didnï¿½t want to go.", "It was voilÃ  la mer, they said."),
    *("He said \x1b[31mred to them all.", "He ate so\xadft cheese all day.", "Tom &amp; Tim went to the park."),
    "It was Tomâ€™s ball, and it was red.",
]


def test_flaws_are_counted_and_said_in_both_summaries(make: Callable[..., Corpus]):
    manifest = make(STORIES).manifest
    assert manifest["source"]["flaws"]["train"] == {
        **{"lost": 2, "misread": 1, "control": 1, "invisible": 1, "markup": 1}
    }
    assert manifest["source"]["read"]["train"]["repaired"] == 1  # what is lost is not repaired
    assert f"{len(STORIES)} stories read, {len(STORIES)} kept; removed: 0 empty, 0 shorter" in summary_line(manifest)
    for text in (summary(manifest, "."), summary_line(manifest)):
        assert "2 stories with lost characters (U+FFFD); 1 with signs of a wrong encoding; " in text
        assert text.count("--data.drop-damaged true") == 1


def test_damaged_stories_are_left_out_and_counted_if_that_is_wished(make: Callable[..., Corpus]):
    corpus = make(STORIES, drop_damaged=True)
    assert corpus.manifest["source"]["read"]["train"]["damaged"] == 3
    kept = texts(corpus, *corpus.splits)
    assert len(kept) == len(STORIES) - 3
    assert not [story for story in kept if "\ufffd" in story or "Ã" in story]
    assert ", 3 damaged, 0 duplicates" in summary_line(corpus.manifest)
    assert "drop-damaged" not in summary(corpus.manifest, ".")


def test_a_source_without_flaws_says_nothing_of_them(make: Callable[..., Corpus]):
    manifest = make(tales(30)).manifest
    assert "\nflaws" not in summary(manifest, ".")
    assert "; flaws: " not in summary_line(manifest)


@pytest.mark.parametrize("drop", [False, True])
def test_evaluation_leaves_out_what_training_does(make: Callable[..., Corpus], drop: bool, tmp_path):
    from talewright.config import DataConfig

    make(STORIES)
    read = list(read_stories(DataConfig(source=str(tmp_path / "stories.txt"), drop_damaged=drop)))
    assert len(read) == len(STORIES) - 3 * drop
