from __future__ import annotations

import csv
import gzip
import io
import json
import logging
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.config import EOT, DataConfig
from talewright.data.sources import open_source
from talewright.data.sources.formats import read_records
from talewright.data.sources.recognize import recognize
from talewright.errors import UserError

ACTIONS = ("found a red ball", "met a small dog", "went to the old park", "lost a blue hat", "made a big cake")


def story(draw: random.Random, lines: int = 1) -> str:
    """Several sentences on each line, as in a story for children."""
    name = draw.choice(["Lily", "Tom", "Mia", "Ben"])
    texts = []
    for number in range(lines):
        first = [] if number else [f"One day, {name} {draw.choice(ACTIONS)}."]
        more = [f"{name} {draw.choice(ACTIONS)} with friend {draw.randrange(10**6)}." for _ in range(4)]
        texts.append(" ".join([*first, *more]))
    return "\n".join(texts)


collections = st.builds(
    lambda seed, count, lines: [story(random.Random(seed + n), lines) for n in range(count)],
    st.integers(0, 10**6),
    st.integers(10, 60),
    st.integers(1, 3),
)


def found(name: str, data: bytes, **settings) -> tuple[str, list[str]]:
    """What is recognized, and the stories that are read."""

    def open_file() -> io.BytesIO:
        return io.BytesIO(data)

    form, message = recognize(name, open_file, DataConfig(**settings), size=len(data))
    return message, [record.strip() for record in read_records(name, open_file, form) if record.strip()]


BETWEEN = {
    "<|endoftext|>": f"\n{EOT}\n",
    "<|endoftext|> within": EOT,
    "</s>": "\n</s>\n",
    "<|im_end|>": "<|im_end|>\n",
    "<|end_of_text|> within": "<|end_of_text|>",
    "<|ENDOFTEXT|>": "\n<|ENDOFTEXT|>\n",
    "[EOS]": " [EOS] ",
    "<END>": "\n<END>\n",
    "===": "\n===\n",
    "blank lines": "\n\n",
    "two blank lines": "\n\n\n",
    "---": "\n---\n",
    "* * *": "\n\n* * *\n\n",
    "###": "\n\n###\n\n",
}


@pytest.mark.parametrize("name", BETWEEN)
@given(stories=collections, windows=st.booleans())
def test_stories_are_read_back_whatever_stands_between_them(name: str, stories: list[str], windows: bool):
    if name in ("two blank lines", "---", "* * *", "###", "==="):
        stories = [each.replace("\n", "\n\n") for each in stories]  # paragraphs
    text = BETWEEN[name].join(stories)
    message, read = found("a.txt", text.replace("\n", "\r\n" if windows else "\n").encode())
    assert read == stories
    assert f"{len(stories)} stories separated by " in message


@given(stories=collections)
def test_a_story_per_line_is_read_back(stories: list[str]):
    lines = [" ".join(each.split()) for each in stories]
    for name in ("a.txt", "a", "stories.md", "a.text"):
        message, read = found(name, "\n".join(lines).encode())
        assert read == lines
        assert message.startswith(f"{name}: {len(lines)} stories, one per line")


def test_the_second_likely_reading_is_named_with_its_count():
    stories = [story(random.Random(n), 4) for n in range(400)]
    data = "\n\n".join(stories).encode()
    message, read = found("my_stories.txt", data)
    assert message == (
        "my_stories.txt: 400 stories separated by blank lines; as one story per line, it would be 1,600: "
        "--format lines (--format, --separator change this)"
    )
    assert read == stories
    assert len(found("a.txt", data, format="lines")[1]) == 1600  # the advice works


def play(draw: random.Random) -> str:
    speeches = []
    for _ in range(400):
        lines = [f"And {draw.choice(ACTIONS)}, my lord," for _ in range(draw.randint(0, 3))]
        speeches.append("\n".join([f"{draw.choice(['First Citizen', 'MENENIUS'])}:", *lines, "So it is. Speak. Go!"]))
    return "\n\n".join(speeches)


def book(draw: random.Random) -> str:
    """Chapters of paragraphs, many of dialogue, wrapped at a width."""
    paragraphs = []
    for number in range(300):
        if number % 30 == 0:
            paragraphs.append(f"CHAPTER {number // 30 + 1}")
        said = draw.random() < 0.4
        paragraphs.append(f"“I {draw.choice(ACTIONS)},” he said." if said else story(draw).replace(". ", ".\n"))
    return "\n\n".join(paragraphs)


@pytest.mark.parametrize("write", [play, book])
@given(seed=st.integers(0, 1000))
def test_a_book_or_a_play_is_cut_into_documents_without_a_loss(write, seed: int):
    text = write(random.Random(seed))
    message, read = found("a.txt", text.encode())
    assert f"a.txt: plain text, cut into {len(read)} documents" in message
    assert "".join("".join(read).split()) == "".join(text.split())
    assert all(1990 <= len(each) <= 4000 for each in read[:-1])
    assert all(each in text for each in read)


@given(text=st.text(alphabet=st.sampled_from("ab .\n"), max_size=9000))
def test_plain_text_is_never_lost_and_every_document_is_short(text: str):
    _, read = found("a.txt", text.encode(), format="text")
    assert "".join("".join(read).split()) == "".join(text.split())
    assert all(len(each) <= 4000 for each in read)


def as_csv(rows: list[list[str]], delimiter: str = ",") -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue().encode()


@given(stories=collections, delimiter=st.sampled_from(",;\t"))
def test_the_only_text_of_a_table_is_read(stories: list[str], delimiter: str):
    rows = [[str(n), f"Story {n}", each] for n, each in enumerate(stories)]
    message, read = found("a.csv", as_csv([["id", "title", "tale"], *rows], delimiter))
    assert read == stories
    assert message == 'a.csv: no "text"; the only text of 3, "tale", is read (--text-key changes this)'
    lines = "".join(json.dumps({"id": n, "title": "x", "tale": each}) + "\n" for n, each in enumerate(stories)).encode()
    for name in ("a.jsonl", "a.json"):
        assert found(name, lines)[1] == stories


@given(stories=collections, quoted=st.booleans(), header=st.booleans())
def test_a_file_of_one_column_loses_no_story_and_no_part_of_one(stories: list[str], quoted: bool, header: bool):
    lines = [" ".join(each.split()) for each in stories]
    data = as_csv([[each] for each in lines]) if quoted else "\n".join(lines).encode()
    message, read = found("a.csv", b"story\n" * header + data)
    assert read == lines
    assert ('"story"' if header else "no header") in message


def test_several_columns_of_text_need_a_key():
    rows = [["a", "b"], *[[story(random.Random(n)), story(random.Random(-n - 1))] for n in range(9)]]
    with pytest.raises(ValueError, match=r'has no "text"; it has "a", "b"\. Name the right one with --text-key'):
        found("a.csv", as_csv(rows))
    assert len(found("a.csv", as_csv(rows), text_key="b")[1]) == 9


def test_an_explicit_separator_or_format_is_followed():
    text = "One story.\n\nOf two.\n%%\nAnother."
    assert found("a.txt", text.encode(), separator="%%") == ("", ["One story.\n\nOf two.", "Another."])
    for separator in ("", "blank line", "blank-line"):
        assert len(found("a.txt", text.encode(), separator=separator)[1]) == 2
    assert len(found("a.csv", text.encode(), format="lines")[1]) == 4
    assert found("a.txt", text.encode(), separator=EOT)[1] == [text]  # as in recipes of earlier versions


@given(
    count=st.integers(10, 200),
    between=st.sampled_from(["\n", "\n\n"]),
    two=st.booleans(),
)
def test_short_stories_are_read_back(count: int, between: str, two: bool):
    second = ("\n" if between == "\n\n" else " ") + "It has a second sentence."
    stories = [f"Story {n} is here, and it is long enough.{second * two}" for n in range(count)]
    message, read = found("a.txt", between.join(stories).encode())
    assert read == stories
    assert f"{count} stories" in message


@given(lines=st.lists(st.booleans(), min_size=1, max_size=40), last=st.booleans())
def test_no_end_of_text_mark_stays_within_a_story(lines: list[bool], last: bool):
    """True: the mark stands on a line of its own; False: within one."""
    stories = [f"Once upon a time, number {n} came." for n in range(len(lines) + 1)]
    text = "".join(story + (f"\n{EOT}\n" if own else EOT) for story, own in zip(stories, lines, strict=False))
    text += stories[-1] + f"\n{EOT}\n" * last
    assert found("a.txt", text.encode())[1] == stories


@pytest.mark.parametrize(
    ("separator", "expected"),
    [
        *((blank, "blank") for blank in ("", r"\n\n", "\n\n", r"\r\n\r\n", "blank line")),
        *((line, "lines") for line in (r"\n", "\n")),
        *((two, "two") for two in (r"\n\n\n", "\n\n\n", "two blank lines")),
        *((text, "rule") for text in ("=====", r"\n=====\n", "\n=====\n", " ===== ")),
    ],
)
def test_a_separator_means_what_it_is_written_like(separator: str, expected: str):
    texts = {
        "blank": ("a\nb\n\nc", ["a\nb", "c"]),
        "lines": ("a\nb\n\nc", ["a", "b", "c"]),
        "two": ("a\n\nb\n\n\nc", ["a\n\nb", "c"]),
        "rule": ("a\n\nb\n=====\nc", ["a\n\nb", "c"]),
    }
    text, stories = texts[expected]
    assert found("a.txt", text.encode(), separator=separator) == ("", stories)


def test_a_separator_that_the_file_lacks_is_said():
    message, read = found("a.txt", b"One.\n\nTwo.", separator="%%")
    assert read == ["One.\n\nTwo."]
    assert message == (
        "a.txt: no line %% in the file, so it is one story; without --separator, the file is examined for others"
    )
    message, read = found("a.txt", b"One.%%Two.%%Three.", separator="%%")
    assert read == ["One.", "Two.", "Three."]
    assert message == "a.txt: stories separated by %% within lines, because no line holds it alone"


def test_settings_that_contradict_each_other_are_refused():
    for settings in ({"format": "lines", "separator": "%%"}, {"format": "text", "separator": ""}):
        with pytest.raises(UserError, match=rf"^--format {settings['format']} takes no --separator; leave one"):
            found("a.txt", b"One.", **settings)
    with pytest.raises(
        UserError, match=r"names one line between stories, not several; write one of '---' and '\*\*\*'$"
    ):
        found("a.txt", b"One.", separator="---\n***")
    message, _ = found("a.csv", b"text\nOnce.\n", separator=";")
    assert message == "a.csv: --separator is for text files and has no effect here"


def test_a_mark_that_stays_within_a_story_is_counted(caplog: pytest.LogCaptureFixture):
    text = f"One.\n***\nTwo {EOT} and {EOT}\n***\nThree."
    with caplog.at_level(logging.WARNING, "talewright"):
        assert len(found("a.txt", text.encode(), separator="***")[1]) == 3
    assert caplog.messages == [
        f"a.txt: {EOT} occurs inside stories 2 times and does not separate them; leave --separator out if it should"
    ]


@pytest.mark.parametrize("kind", ["text", "lines", "blank-lines"])
def test_a_mark_after_the_examined_beginning_is_counted_and_the_advice_works(kind, caplog: pytest.LogCaptureFixture):
    text = f"One.\n{EOT}\nTwo.\n{EOT}\nThree."
    with caplog.at_level(logging.WARNING, "talewright"):
        found("a.txt", text.encode(), format=kind)
    assert caplog.messages == [
        f"a.txt: {EOT} occurs inside stories 2 times and does not separate them; add --format separator if it should"
    ]
    assert len(found("a.txt", text.encode(), format="separator")[1]) == 3


def test_the_reading_of_a_few_stories_between_rules_is_named_and_the_advice_works():
    text = "\n---\n".join(f"“It {n} is,” he said.\n\nBut she went on." for n in range(4))
    message, read = found("a.txt", text.encode())
    assert "as stories separated by ---, it would be 4: --separator=--- (" in message
    assert len(read) == 1
    assert len(found("a.txt", text.encode(), separator="---")[1]) == 4


def test_stories_of_a_large_file_are_estimated():
    data = "\n\n".join(story(random.Random(n)) for n in range(2000)).encode()
    part = len(data) // 10
    message = recognize("a.txt", lambda: io.BytesIO(data), DataConfig(), part, len(data)).message
    assert message.startswith("a.txt: about 2,000 stories separated by blank lines")
    packed = gzip.compress(data)
    assert "more than " in recognize("a.txt.gz", lambda: io.BytesIO(packed), DataConfig(), part).message


def test_files_that_are_one_story_each_stay_so(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    for number in range(15):
        (tmp_path / f"{number:02}.txt").write_text(story(random.Random(number), 10).replace("\n", "\n\n")[:3000])
    with caplog.at_level(logging.INFO, "talewright"):
        files = open_source(str(tmp_path), DataConfig()).files["train"]
        open_source(str(tmp_path), DataConfig())
    assert [len(list(file.read())) for file in files] == [1] * 15
    assert caplog.messages == [
        f"{tmp_path}: 15 files of plain text, cut into documents (--format, --separator change this)"
    ]


def test_the_same_contents_are_announced_once_by_whatever_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "some.txt").write_text("\n\n".join(f"Story {i}. It is short. It ends." for i in range(40)))
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.INFO, "talewright"):
        for name in ("some.txt", "./some.txt", str(tmp_path / "some.txt")):
            open_source(name, DataConfig())
        assert len(caplog.messages) == 1
        open_source("some.txt", DataConfig(format="lines"))
        open_source("some.txt", DataConfig())
    assert len(caplog.messages) == 1
