"""The bundled stories: the same for a seed, never repeated, and correct English as far as a program can check."""

from __future__ import annotations

import itertools
import os
import random
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from importlib import resources

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talewright.data import bundled
from talewright.data.bundled.grammar import Choice, Plot, Slot, Story, Template, parse
from talewright.data.bundled.reading import StoryReader
from talewright.errors import UserError

SAMPLE = 12_000
ECHO = "the voice in the mountain"  # the one plot in which what is said comes back word for word
OPENS_WITH_VOWEL_SOUND = re.compile(r"(?i)hour|honest|(?!one|once|uni|use|usual)[aeiou]")
SAYING = re.compile(r"said|say|asked|called|cried|shouted|whispered|thought|wondered|sang|told|went|answered")


@cache
def sample() -> list[Story]:
    return [bundled.story(seed=11, index=index) for index in range(SAMPLE)]


def texts() -> list[str]:
    return [story.text for story in sample()]


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+(?:[-'][a-z]+)*", re.sub(r"'s\b", "", text.lower()))


# --- the same for a seed, never repeated ---------------------------------------------------------------------------


@given(seed=st.integers(-(2**70), 2**70), count=st.integers(0, 12))
@settings(max_examples=30)
def test_the_same_seed_gives_the_same_stories_and_more_of_them_only_adds(seed: int, count: int) -> None:
    first = list(bundled.stories(count, seed))
    assert len(first) == count
    assert list(itertools.islice(bundled.stories(count + 5, seed), count)) == first
    assert first == [bundled.story(seed, index).text for index in range(count)]


def test_another_seed_gives_other_stories() -> None:
    drawn = [text for seed in (0, 1, -1, 10) for text in bundled.stories(300, seed)]
    assert len(set(drawn)) == len(drawn)


def test_the_stories_do_not_depend_on_the_process() -> None:
    program = "from talewright.data.bundled import stories; print('|'.join(stories(40, 5)))"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    }
    assert outputs == {"|".join(bundled.stories(40, 5))}


def test_the_stories_are_those_that_prepared_corpora_were_made_of() -> None:
    """Another hash means other stories: prepared corpora and their splits would no longer match."""
    digest = sha256("\0".join(bundled.stories(2000)).encode()).hexdigest()
    assert digest == "8ed3e562733e1eacfde69235e0418399f9d4dbeba265c1ccc47672e8177b449e"
    assert {bundled.story(0, index).plot for index in range(2000)} == set(bundled.PLOTS)


@pytest.mark.slow
def test_a_hundred_thousand_stories_are_all_different() -> None:
    assert len(set(bundled.stories(100_000))) == 100_000


def test_stories_repeat_so_rarely_that_hardly_any_is_drawn_again() -> None:
    assert len(set(texts())) >= SAMPLE - 2


def test_a_story_that_equals_an_earlier_one_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def poor(seed: int, index: int, attempt: int = 0) -> Story:
        return Story(" ".join(["tale"] * (60 + attempt)), "poor", {})

    monkeypatch.setattr(bundled, "story", poor)
    assert [len(text.split()) for text in bundled.stories(4)] == [60, 61, 62, 63]


def test_a_story_of_the_wrong_length_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def lengths(seed: int, index: int, attempt: int = 0) -> Story:
        return Story(f"{index} " + "tale " * ([58, 250, 59][attempt]), "lengths", {})

    monkeypatch.setattr(bundled, "story", lengths)
    assert [len(text.split()) for text in bundled.stories(2)] == [60, 60]


def test_every_plot_is_drawn_and_each_has_thousands_of_stories() -> None:
    """n draws of K equally likely stories repeat about n * n / (2 K) times: 150 with 4 repeats have K near 2,800."""
    assert len(bundled.PLOTS) == len(set(bundled.PLOTS)) >= 36
    nameless = defaultdict(list)
    for story in sample():
        named = re.sub(r"\b[A-Z]\w+\b(?<!\bThe)", lambda name, story=story: _erased(name[0], story), story.text)
        nameless[story.plot].append(named)
    assert set(nameless) == set(bundled.PLOTS)
    for plot, drawn in nameless.items():
        assert len(drawn) > 150, plot
        assert len(set(drawn[:150])) >= 146, plot


def _erased(name: str, story: Story) -> str:
    return "NAME" if any(name in who.name.split() for who in story.cast.values()) else name


# --- length and words ----------------------------------------------------------------------------------------------


def test_stories_have_60_to_250_words() -> None:
    lengths = [len(text.split()) for text in texts()]
    outside = sum(not 60 <= length <= 250 for length in lengths)
    assert outside <= SAMPLE / 1000
    assert min(lengths) < 100
    assert max(lengths) > 220


def test_some_1500_words_are_enough_and_none_is_rare() -> None:
    counts = Counter(word for text in texts() for word in words(text))
    assert 1200 <= len(counts) <= 2000
    assert sum(count < 5 for count in counts.values()) < 20


def test_stories_begin_and_end_in_many_ways() -> None:
    assert len({text.split(".")[0] for text in texts()}) > 1500
    assert len({re.split(r"(?<=[.!?]) ", text)[-1] for text in texts()}) > 800
    assert 0.5 < sum("\n\n" in text for text in texts()) / SAMPLE < 0.9


def test_most_stories_have_somebody_speak() -> None:
    assert sum('"' in text for text in texts()) > 0.95 * SAMPLE


# --- people --------------------------------------------------------------------------------------------------------

PRONOUNS = {"male": {"he", "him", "his", "himself"}, "female": {"she", "her", "hers", "herself"}}


def test_pronouns_are_those_of_somebody_in_the_story() -> None:
    """Where all are girls nobody is "he", where all are boys nobody is "she"."""
    of_one_gender = Counter()
    for story in sample():
        genders = {who.gender for who in story.cast.values()}
        if len(genders) == 1:
            (gender,) = genders
            of_one_gender[gender] += 1
            (other,) = PRONOUNS.keys() - genders
            assert not PRONOUNS[other] & set(words(story.text)), story.text
            assert PRONOUNS[gender] & set(words(story.text)), story.text
    assert min(of_one_gender.values()) > 1000


def test_girls_and_boys_are_equally_many_and_their_names_show_which_they_are() -> None:
    gender_of = {}
    for story in sample():
        for who in story.cast.values():
            if who.kind in ("girl", "boy"):
                assert who.gender == {"girl": "female", "boy": "male"}[who.kind]
                assert gender_of.setdefault(who.name, who.gender) == who.gender
    assert Counter(gender_of.values()) == {"female": 23, "male": 23}


def test_no_two_of_a_story_have_the_same_name() -> None:
    for story in sample():
        names = [who.name for who in story.cast.values()]
        assert len(set(names)) == len(names), story.plot


def test_only_those_of_the_cast_are_named() -> None:
    known = {who.name for story in sample() for who in story.cast.values() if who.name[0].isupper()}
    singles = {name for name in known if " " not in name}
    for story in sample():
        cast = {who.name for who in story.cast.values()}
        # names that are words as well stand here in small letters only, so a capital within a sentence is a name
        named = set(re.findall(r"(?<=[a-z,] )[A-Z]\w+", story.text)) & singles
        assert named <= cast | {"Snowy"}, (named - cast, story.text)


# --- correct English -----------------------------------------------------------------------------------------------


def problems(text: str) -> list[str]:
    """What is wrong with a story's letters, marks and spaces."""
    found = []
    patterns = {
        "left of the grammar": r"[\[\]{}|]",
        "space": r"  |^ | $| \n|\n | [.,!?]|\n\n\n|(?<!\n)\n(?!\n)",
        "two marks": r"[.,!?][.,!?]|\" \"[a-z]",
        "no space after a mark": r"[.,!?]\"?[A-Za-z]",
        "the same word twice": r"\b(?!peep|quack|meow)(\w+) \1\b",
        "a for an": r"(?i)\ba (?=[aeiou]|hour|honest)(?!one|once|uni|use|usual)\w+",
        "a small letter after a full stop": r"(?:^|\n\n|(?<!\bMr)(?<!\bMrs)[.] |\.\" )\"?[a-z]",
    }
    for what, pattern in patterns.items():
        found += [f"{what}: {text[max(0, hit.start() - 20) : hit.end() + 20]!r}" for hit in re.finditer(pattern, text)]
    for paragraph in text.split("\n\n"):
        found += _quotation_problems(paragraph)
        if not re.search(r"[.!?]\"?$", paragraph):
            found.append(f"no mark at the end: {paragraph[-30:]!r}")
    return found


def _quotation_problems(paragraph: str) -> list[str]:
    parts = paragraph.split('"')
    if len(parts) % 2 == 0:
        return [f"a quotation without its end: {paragraph!r}"]
    found = []
    for before, said, after in zip(parts[0::2], parts[1::2], parts[2::2], strict=False):
        if said != said.strip() or not said or (before and before[-1] != " ") or (after and after[0] not in " "):
            found.append(f"spaces around a quotation: {said!r}")
        ends_sentence = said.endswith("!") or said.endswith("?")
        if ends_sentence and re.match(r" [a-z]", after) and not SAYING.search(" ".join(after.split()[:6])):
            found.append(f"a small letter after a quotation: {said!r} {after!r}")
        if said.endswith(",") and not SAYING.search(after) and not re.match(r" (with|and) ", after):
            found.append(f"a comma, and nobody speaks: {said!r} {after!r}")
        if said.endswith(".") and re.match(r" \w+ (said|asked)\b", after):
            found.append(f"a full stop before who speaks: {said!r} {after!r}")
    return found


def test_every_story_is_well_formed() -> None:
    wrong = {story.plot: found for story in sample() if (found := problems(story.text))}
    assert not wrong


@pytest.mark.parametrize(
    "broken",
    [
        "She saw a owl.",
        "he ran.",
        "Tom ran. he fell.",
        'Tom said, "Go.',
        "Tom  ran.",
        "Tom ran .",
        "Tom {ran}.",
        "Tom ran",
        "Tom and and Ben ran.",
        '"Go!" the cat ran home to bed again.',
        '"Go," the cat ran home to bed again.',
        '"Go." she said.',
        'Tom ran. "Go. " He fell.',
    ],
)
def test_the_check_of_form_finds_what_is_wrong(broken: str) -> None:
    assert problems(broken)


def test_an_stands_before_a_vowel_sound_and_nowhere_else() -> None:
    seen = Counter()
    for text in texts():
        for article, word in re.findall(r"\b([Aa]n?) (\w+)", text):
            assert (article.lower() == "an") == bool(OPENS_WITH_VOWEL_SOUND.match(word)), f"{article} {word}"
            seen[article] += 1
    assert {"a", "A", "an"} <= seen.keys()


def test_no_sentence_is_said_twice_in_a_story() -> None:
    for story in sample():
        if story.plot != ECHO:
            sentences = re.split(r"(?<=[.!?])\"?\s+\"?", story.text)
            longer = [sentence for sentence in sentences if len(sentence.split()) > 3]
            twice = [sentence for sentence, count in Counter(longer).items() if count > 1]
            assert not twice, (story.plot, twice)


# --- the engine ----------------------------------------------------------------------------------------------------

CAST = """plot: test
role hero: girl / she / Ann
role friend: girl / she / Ann
    boy / he / Bob
role parent: dad / he / {hero.his} dad / Dad
"""


def read(text: str) -> Plot:
    reader = StoryReader()
    reader.read("test.txt", text)
    return reader.plots[-1]


def write(text: str, seed: int = 0, tables: str = "") -> str:
    plot = read(f"phrase glad: [glad|glad]\n{CAST}{tables}text: {text}")
    return plot.write(random.Random(seed).random, {"glad": parse("[glad|glad]")}).text


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


# --- the text files ------------------------------------------------------------------------------------------------


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
