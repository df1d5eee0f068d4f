"""The text files of the story grammar: what they may contain, and how a malformed one is refused."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources

import pytest

from talewright.data import bundled
from talewright.data.bundled.grammar import Choice, Slot, Template
from talewright.data.bundled.reading import StoryReader
from talewright.errors import UserError
from tests.data.bundled.cases import CAST, read, write


def slots(template: Template) -> Iterator[str]:
    for node in template:
        if isinstance(node, Slot):
            yield node.key
        elif isinstance(node, Choice):
            for option in node.options:
                yield from slots(option)


def test_every_file_is_read_and_every_table_is_used() -> None:
    folder = resources.files(bundled) / "stories"
    assert sorted(file.name for file in folder.iterdir()) == sorted(f"{name}.txt" for name in bundled.FILES)
    reader = StoryReader()
    for name in bundled.FILES:
        reader.read(name, (folder / f"{name}.txt").read_text(encoding="utf-8"))
    assert [plot.name for plot in reader.plots] == list(bundled.PLOTS)
    for plot in reader.plots:
        cells = [cell for table in plot.tables for row in table for cell in row.values()]
        used = {key for template in (plot.template, *cells) for key in slots(template)}
        columns = {column for table in plot.tables for column in table[0]}
        assert columns <= used, (plot.name, columns - used)


def test_players_are_groups_named_animals_or_nameless() -> None:
    plot = read(
        "group animals:\n    animal / he / Pip, Bo\n    animal / she / Dot\n# a comment\ngroup dogs: dog / he / Rex\n"
        "plot: a test\nrole hero: a mouse, an owl, dogs\nrole friend: the fox\n"
        "role elder:\n    man / he / Mr. Hill / Sir\ntext: {hero}"
    )
    assert plot.name == "a test"
    assert [(who.name, who.gender, who.kind) for who in plot.cast["hero"]] == [
        *((name, gender, "mouse") for name, gender in (("Pip", "male"), ("Bo", "male"), ("Dot", "female"))),
        *((name, gender, "owl") for name, gender in (("Pip", "male"), ("Bo", "male"), ("Dot", "female"))),
        ("Rex", "male", "dog"),
    ]
    assert plot.cast["friend"] == [("the fox", gender, "fox", "fox") for gender in ("male", "female")]
    assert plot.cast["elder"] == [("Mr. Hill", "male", "man", "Sir")]


def test_a_comment_inside_a_text_is_left_out_and_begins_no_paragraph() -> None:
    assert {write("one.\n# no: story\n    two.", seed) for seed in range(20)} == {"One. Two."}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("    a row", "line 1: 'a row' has no heading above it"),
        ("She ran.", "line 1: 'She ran.' is neither indented nor a heading"),
        ("story: She ran.", "line 1: 'story: She ran.' is neither indented nor a heading"),
        ("plot: a\nrole Hero: the fox", "line 2: 'role Hero: the fox' is neither"),
        ("phrase: a", "line 1: 'phrase: a' is neither"),
        ("role hero: the fox", "line 1: a plot is 'plot', then"),
        ("plot: a\ntext: b\ntable c:\n    d", "line 3: a plot is 'plot', then"),
        ("plot: a\nrole hero: the fox\nplot: b\ntext: c", "line 3: a plot is 'plot', then"),
        ("plot: a\nrole hero: the fox\n", "line 2: the last plot has no 'text'"),
        ("plot: a\nrole hero:\n\ntext: b", "line 2: nothing follows 'role'"),
        ("plot: a\ntext: b\nplot: a\ntext: b", "line 3: 'a' is defined twice"),
        ("phrase a: b\nphrase a: c", "line 2: 'a' is defined twice"),
        (CAST + "role friend: the fox\ntext: a", "line 6: 'friend' is defined twice"),
        (CAST + "table a / b / a:\n    c / d / e\ntext: f", "line 6: 'a' is defined twice"),
        (CAST + "table a / b:\n\n    c / d\n    e\ntext: {a}", "line 9: 1 cells for the 2 columns 'a / b'"),
        (CAST + "table a:\n    b\n    [c|d\ntext: {a}", r"line 8: this \[ has no \]"),
        (CAST + "text:\n    a\n\n    b] c", r"line 9: '\]' is not inside"),
        (CAST + "text:\n    a\n\n    b {freind.he}", "line 9: nothing defines {freind.he}"),
        (CAST + "table a:\n    b {c}\ntext: {a}", "line 7: nothing defines {c}"),
        ("phrase a: {b}\nphrase b: c", "line 1: nothing defines {b}"),
        ("group a: b / he / {friend}", "line 1: nothing defines {friend}"),
        ("group a: b / he / {hero.his", "line 1: '{' is no slot"),
        ("group a:\n    b / it / c", "line 2: a character is"),
        ("group a: b / he", "line 1: a character is"),
        ("group a: b / he / c / d / e", "line 1: a character is"),
        ("group a: b", "line 1: 'b' is no group"),
        ("group a: an owl", "line 1: 'animals' is no group"),
        (
            "plot: a\nrole hero: the fox\nrole b: the fox\ntext: c",
            "line 3: other roles may have every name of role 'b'",
        ),
    ],
)
def test_a_malformed_file_is_refused_with_its_name_and_line(wrong: str, reason: str) -> None:
    with pytest.raises(UserError, match=f"^test.txt, {reason}"):
        read(wrong)
