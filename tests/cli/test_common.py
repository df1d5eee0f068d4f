"""What the commands share: recipe settings on the command line, options for stories, messages, prompts."""

from __future__ import annotations

import io
import json
import logging
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.cli.common import (
    DataOptions,
    FileOptions,
    parse_overrides,
    program,
    read_prompts,
    show_messages,
    to_json,
    typed_text,
)
from talewright.config import load_recipe, recipe_from_dict, recipe_to_dict, setting_names
from talewright.errors import UserError

ENCODINGS = ["ascii", "cp1252", "cp437", "latin-1", "cp932", "utf-8", "utf-16"]

SETTINGS = st.dictionaries(
    st.sampled_from([name for name in setting_names() if "." in name]),
    st.text(max_size=8).filter(lambda value: not value.startswith("--")),
)


@given(settings=SETTINGS, dashes=st.booleans(), joined=st.booleans())
def test_settings_are_found_in_both_spellings_among_other_words(
    settings: dict[str, str], dashes: bool, joined: bool
) -> None:
    words = ["train"]
    for name, value in settings.items():
        option = f"--{name.replace('_', '-') if dashes else name}"
        words += [f"{option}={value}", "--json"] if joined else [option, value, "--json"]
    assert parse_overrides(words) == (["train", *["--json"] * len(settings)], settings)


def test_a_setting_without_a_value_is_an_error() -> None:
    with pytest.raises(UserError, match=r"--a\.b and --c\.d need a value, as in --a\.b VALUE"):
        parse_overrides(["train", "--a.b", "--c.d"])
    assert parse_overrides(["--a.b="]) == ([], {"a.b": ""})


def test_words_with_a_dot_that_are_no_options_stay() -> None:
    words = ["data", "prepare", "--data", "stories.txt", "-1.5"]
    assert parse_overrides(words) == (words, {})


@pytest.mark.parametrize("text", ["5", "null", "[draft", "a: b", '"', "é # 2", "true"])
def test_a_text_option_stays_a_text(text: str) -> None:
    data = load_recipe("mini-2m", DataOptions(data=text, separator=text).added_to({})).data
    assert (data.source, data.separator) == (text, text)


def test_other_stories_have_no_limit_unless_one_is_given() -> None:
    assert load_recipe("mini-2m", DataOptions().added_to({})).data.limit == 50_000
    assert load_recipe("mini-2m", DataOptions(data="a.txt").added_to({})).data.limit is None
    assert load_recipe("mini-2m", DataOptions(data="a.txt", limit=7).added_to({})).data.limit == 7
    assert load_recipe("mini-2m", DataOptions(data="a.txt").added_to({"data.limit": "9"})).data.limit == 9


def test_other_stories_are_recognized_whatever_the_recipes_own_have(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        'data: {source: mine.txt, format: separator, separator: "***"}\ntrain: {max_steps: 1}'
    )
    own = str(tmp_path / "own.yaml")
    assert load_recipe(own, DataOptions().added_to({})).data.separator == "***"
    other = load_recipe(own, DataOptions(data="a.txt").added_to({})).data
    assert (other.format, other.separator) == ("auto", None)


@given(
    own=st.fixed_dictionaries(
        {"text_key": st.sampled_from(["story", "content"]), "separator": st.sampled_from(["***", "====="])}
    ),
    dotted=st.booleans(),
)
def test_how_a_recipes_own_stories_are_read_says_nothing_of_others(own: dict[str, str], dotted: bool) -> None:
    recipe = recipe_from_dict({"data": {"source": "mine.csv", **own}, "train": {"max_steps": 1}})
    given = DataOptions().added_to({"data.source": "a.txt"}) if dotted else DataOptions(data="a.txt").added_to({})
    other = recipe_from_dict(recipe_to_dict(recipe), overrides=given).data
    assert (other.source, other.text_key, other.separator) == ("a.txt", "text", None)
    moved = recipe_from_dict(recipe_to_dict(recipe), overrides=DataOptions(data="a.txt").added_to({}, moved=True)).data
    assert (moved.source, moved.text_key, moved.separator) == ("a.txt", own["text_key"], own["separator"])


def test_options_for_reading_need_stories_to_read() -> None:
    options = FileOptions(separator="***", text_key="story")
    assert options.reading("a.txt") == {"separator": "***", "text_key": "story"}
    assert FileOptions().reading(None) == {}
    with pytest.raises(UserError, match=r"^--separator and --text-key say how the stories of --data are read"):
        options.reading(None)


def test_every_data_option_is_a_setting() -> None:
    options = DataOptions(data="a", valid="b", test="c", text_key="d", separator="e", limit=1, format="lines")
    data = recipe_to_dict(load_recipe("mini-2m", options.added_to({})))["data"]
    values = (data[name] for name in ("source", "valid", "test", "text_key", "separator", "limit", "format"))
    assert tuple(values) == ("a", "b", "c", "d", "e", 1, "lines")


def test_logged_messages_are_plain_lines_on_stderr_only_within_the_context(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("talewright.anything")
    for _ in range(2):
        with show_messages():
            logger.info("100 %% of %d", 3)
            logger.debug("not shown")
    assert not logging.getLogger("talewright").handlers
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "100 % of 3\n" * 2)


def test_prompts_are_the_lines_that_are_not_blank(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("One day\n\n  \nTom and Lily\n")
    assert read_prompts(str(file)) == ["One day", "Tom and Lily"]
    file.write_text("\n")
    with pytest.raises(UserError, match="is empty; it must hold one prompt on each line"):
        read_prompts(str(file))
    with pytest.raises(UserError, match="cannot be read"):
        read_prompts(str(tmp_path / "absent"))


def test_the_program_is_named_as_the_shell_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "an environment" / "bin"
    folder.mkdir(parents=True)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    assert shlex.split(program()) == [str(folder / "python"), "-m", "talewright"]
    (folder / "talewright").write_text("#!/bin/sh\necho here\n")
    (folder / "talewright").chmod(0o755)
    assert program() == "'an environment/bin/talewright'"
    assert subprocess.run(["/bin/sh", "-c", program()], capture_output=True, text=True, check=True).stdout == "here\n"
    monkeypatch.chdir(folder.parent.parent.parent)
    assert program() == f"'{tmp_path.name}/an environment/bin/talewright'"
    monkeypatch.chdir("/usr")
    assert shlex.split(program()) == [str(folder / "talewright")]
    monkeypatch.setenv("PATH", str(folder))
    assert program() == "talewright"


LINE = st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0\ufeff"), min_size=1).filter(lambda s: s.strip())


@given(prompts=st.lists(LINE, min_size=1, max_size=5), end=st.sampled_from(["\n", "\r\n"]), mark=st.booleans())
def test_only_line_ends_separate_prompts(prompts: list[str], end: str, mark: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "prompts.txt"
        file.write_bytes((("\ufeff" if mark else "") + end.join(prompts) + end).encode())
        assert read_prompts(str(file)) == prompts


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252"])
def test_prompts_in_another_encoding_are_refused(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "prompts.txt").write_bytes("Zoë saw a cat\nTom ran\n".encode(encoding))
    with pytest.raises(UserError, match=r"prompts\.txt is not UTF-8 text.*save it as UTF-8"):
        read_prompts(str(tmp_path / "prompts.txt"))


def test_typed_text_is_utf_8_whatever_python_takes_it_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert typed_text("--prompt", "It wasn’t 🐱") == "It wasn’t 🐱"
    typed = "It wasn’t 🐱".encode().decode("ascii", "surrogateescape")  # as with the locale C and PYTHONUTF8=0
    assert typed_text("--prompt", typed) == "It wasn’t 🐱"
    with pytest.raises(UserError, match="--prompt is not UTF-8 text"):
        typed_text("--prompt", b"caf\xe9".decode("utf-8", "surrogateescape"))


@given(text=st.text(st.characters()), encoding=st.sampled_from(ENCODINGS))
def test_json_loses_no_character_in_any_encoding(text: str, encoding: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        shown = io.BytesIO()
        patch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding=encoding, newline="\n"))
        print(to_json({"text": text}), flush=True)
        assert json.loads(shown.getvalue().decode(encoding)) == {"text": text}


def test_notices_of_matplotlib_are_not_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with show_messages():
        logging.getLogger("matplotlib").warning("created a temporary cache directory")
        logging.getLogger("matplotlib.font_manager").warning("is building the font cache")
        logging.getLogger("talewright.cli").warning("ours")
    assert capsys.readouterr().err == "ours\n"
