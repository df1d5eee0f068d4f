"""Values that begin with a dash are taken, or the message says how they are written; the words of it work."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from talewright.cli import main
from talewright.cli.common import parse_overrides
from talewright.cli.dashes import join_dashed_values, looks_like_option
from talewright.cli.generate import generate
from talewright.cli.train import train
from talewright.errors import UserError

DASHED = st.text(max_size=10).map("-{}".format)
AFTER = ["--samples", "2", "--greedy"]


@given(
    value=st.one_of(DASHED, DASHED.map("-{}".format), st.sampled_from(["---", "--.--", "-5", "--", "- a", "-Hello"]))
)
def test_a_dashed_value_is_taken_or_the_message_says_how(value: str) -> None:
    try:
        words = join_dashed_values(["run", "--prompt", value, *AFTER], generate)
    except UserError as error:
        assert looks_like_option(value)
        assume(value.isprintable())  # a message shows control characters as pictures
        [written] = shlex.split(str(error).partition("is that value: ")[2])
        words = join_dashed_values(["run", written, *AFTER], generate)
    assert words == ["run", f"--prompt={value}", *AFTER]


@pytest.mark.parametrize("option", ["--prompt", "--max-new-tokens", "--top_k", "--checkpoint"])
def test_every_option_with_a_value_takes_one(option: str) -> None:
    assert join_dashed_values([option, "-3"], generate) == [f"{option}=-3"]
    with pytest.raises(UserError, match=f"{option} needs a value. If --json is that value: {option}=--json"):
        join_dashed_values([option, "--json"], generate)


def test_flags_and_the_words_behind_them_stay() -> None:
    words = ["--greedy", "-x", "--json", "--prompt=-a", "-b", "--prompt"]
    assert join_dashed_values(words, generate) == words


def test_options_of_stories_and_settings_take_dashed_values() -> None:
    words = join_dashed_values(["--separator", "--.--", "--data.separator", "---"], train)
    assert parse_overrides(words) == (["--separator=--.--"], {"data.separator": "---"})


def test_a_missing_value_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["generate", "run", "--prompt", "--hello"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "talewright: --prompt needs a value. If --hello is that value: --prompt=--hello\n"
    )
