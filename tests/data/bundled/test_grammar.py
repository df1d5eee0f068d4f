"""The engine of the story grammar: how templates are parsed and how stories are drawn from them."""

from __future__ import annotations

from collections import Counter

import pytest

from talewright.data.bundled.grammar import parse
from tests.data.bundled.cases import write
from tests.data.bundled.test_stories import problems


def test_a_template_names_characters_and_their_pronouns() -> None:
    assert write("{hero} the {kind} saw {parent}. {Friend.he} said {he} and {him} {himself}, {parent.call}.") == (
        "Ann the girl saw her dad. He said she and her herself, Dad."
    )
    assert write("{Parent} was {glad}.") == "Her dad was glad."


def test_alternatives_are_drawn_evenly_and_nest() -> None:
    drawn = Counter(write("[one|[two|three]].", seed) for seed in range(3000))
    assert set(drawn) == {"One.", "Two.", "Three."}
    assert drawn["One."] == pytest.approx(1500, abs=120)
    assert drawn["Two."] == pytest.approx(750, abs=120)


def test_an_option_that_is_left_out_leaves_no_space_behind() -> None:
    drawn = {write('She said, "Yes[, of course|]. [Come.|]" [Then|] she went [away|].', seed) for seed in range(200)}
    assert 'She said, "Yes." She went.' in drawn
    assert 'She said, "Yes, of course. Come." Then she went away.' in drawn
    assert not [text for text in drawn if problems(text)]


def test_the_cells_of_one_row_stay_together() -> None:
    table = "table thing / how:\n    a nut / hard\n    a egg\n        / soft\n"
    drawn = {write("{thing} {how}.", seed, table) for seed in range(50)}
    assert drawn == {"A nut hard.", "An egg soft."}


def test_articles_capitals_and_paragraphs_are_set_at_the_end() -> None:
    drawn = {write('a owl. a hour. a unicorn.\n\n    "a one," said a ant.', seed) for seed in range(50)}
    start = "An owl. An hour. A unicorn."
    assert drawn == {f'{start}\n\n"A one," said an ant.', f'{start} "A one," said an ant.'}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("[a|b", r"line 1: this \[ has no \]"),
        ("a]b", r"line 1: '\]' is not inside"),
        ("a|b", r"line 1: '\|' is not inside"),
        ("a\n[|]", r"line 2: \[ and \] have no words"),
        ("[a\n|[b\n|c\n]", "line 1: this"),
        ("a\n\n[b|c]\nd{", "line 4: '{' is no slot"),
        *((wrong, "line 1: .* is no slot") for wrong in ("{a", "a}", "{}", "{a b}", "{a.}")),
    ],
)
def test_a_malformed_template_is_refused_with_its_line(wrong: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse(wrong)
