"""`talewright evaluate judge` with a judge on this machine; and where stories are cut for it."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.cli import main
from talewright.evaluate.judge.judge import MAX_PROMPT_WORDS, cut_story
from tests.evaluate.judge.judge_server import completion, failed, grade, judge_server
from tests.test_cli import SMALL

KEY = "sk-very-secret"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a trained run, whose stories are long enough to be cut."""
    home = tmp_path_factory.mktemp("judged")
    lines = [f"Tom had {n} red balls. " + "He saw a cat and the cat saw him. " * 9 for n in range(80)]
    (home / "stories.txt").write_text("\n<|endoftext|>\n".join(lines) + "\n<|endoftext|>\n")
    (home / "small.yaml").write_text(SMALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setenv("TALEWRIGHT_CACHE", str(home / "cache"))
        main(["train", "--recipe", "small.yaml", "--data", "stories.txt", "--out", "run"])
    return home


@pytest.fixture
def run(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(trained)
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(trained / "cache"))
    monkeypatch.setenv("JUDGE_KEY", KEY)
    for name in ("judge.json", "judge.jsonl"):
        (trained / "run" / name).unlink(missing_ok=True)
    return trained / "run"


def judge(url: str, *words: str) -> None:
    main(["evaluate", "judge", "run", "--url", url, "--model", "judge-1", "--key-variable", "JUDGE_KEY", *words])


def test_a_run_is_graded_and_the_key_is_written_nowhere(run, capsys, caplog):
    caplog.set_level(logging.INFO, "talewright")
    with judge_server(lambda number, body: completion(grade(4 + number % 2))) as server:
        judge(server.url, "--stories", "3", "--gradings", "2", "--price-in", "5", "--price-out", "20")
    printed = capsys.readouterr()
    messages = printed.err + caplog.text
    assert "6 requests" in messages
    assert "at your prices" in messages
    assert "grammar" in printed.out
    assert "agreement" in printed.out
    assert "3 of 3 stories graded by judge-1" in printed.out
    assert {head["Authorization"] for head in server.headers} == {f"Bearer {KEY}"}
    found = json.loads((run / "judge.json").read_text())
    assert found["used"] == {"tokens_in": 600, "tokens_out": 60, "cost": pytest.approx((600 * 5 + 60 * 20) / 1e6)}
    assert [len(exercise["grades"]) for exercise in found["exercises"]] == [2, 2, 2]
    shown = {body["messages"][1]["content"] for body in server.bodies}
    assert shown == {f"{exercise['prompt']} *** {exercise['continuation'].lstrip()}" for exercise in found["exercises"]}
    assert KEY not in printed.out + messages
    files = [path for path in run.rglob("*") if path.is_file()]
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_the_held_out_stories_themselves_are_graded(run, capsys):
    with judge_server(lambda number, body: completion(grade())) as server:
        judge(server.url, "--stories", "2", "--human", "--json")
    found = json.loads(capsys.readouterr().out)
    stories = (run.parent / "stories.txt").read_text()
    for exercise in found["exercises"]:
        assert (exercise["prompt"] + exercise["continuation"]).strip() in stories
    assert found["author"] == "human"


def test_an_estimate_makes_no_request(run, capsys):
    with judge_server(lambda number, body: completion(grade())) as server:
        judge(server.url, "--stories", "2", "--estimate", "--json")
        assert json.loads(capsys.readouterr().out)["estimate"]["requests"] == 2
        judge(server.url, "--stories", "2", "--estimate")
    assert server.bodies == []
    assert "requests" in capsys.readouterr().out
    assert not (run / "judge.json").exists()


def test_given_prompts_are_continued(run, capsys):
    Path("mine.txt").write_text("Sue had a\nBen saw the\n")
    with judge_server(lambda number, body: completion(grade())) as server:
        judge(server.url, "--prompts", "mine.txt")
    shown = sorted(body["messages"][1]["content"] for body in server.bodies)
    assert [text.split(" ***")[0] for text in shown] == ["Ben saw the", "Sue had a"]


def test_missing_grades_are_counted_with_their_reason(run, capsys):
    with judge_server(lambda number, body: completion(None) if number == 0 else completion(grade())) as server:
        judge(server.url, "--stories", "3")
    printed = capsys.readouterr().out
    assert "2 of 3 stories graded" in printed
    assert "1 times: the judge refused" in printed


def test_a_judge_that_grades_nothing_is_an_error_and_leaves_the_last_result(run, capsys):
    with judge_server(lambda number, body: completion(grade())) as server:
        judge(server.url, "--stories", "2")
    before = (run / "judge.json").read_bytes()
    with judge_server(lambda number, body: completion(None)) as server, pytest.raises(SystemExit) as exit_:
        judge(server.url, "--stories", "2", "--json")
    assert exit_.value.code == 2
    printed = capsys.readouterr()
    assert "graded nothing; 2 times: the judge refused" in printed.err
    assert (run / "judge.json").read_bytes() == before


WRONG: list[tuple[list[str], str]] = [
    (["--stories", "0"], "--stories is 0"),
    (["--gradings", "0"], "--gradings is 0"),
    (["--concurrency", "-1"], "--concurrency is -1"),
    (["--timeout", "0"], "--timeout is 0"),
    (["--timeout", "nan"], "--timeout is nan"),
    (["--timeout", "1e300"], "--timeout is 1e+300"),
    (["--price-in", "1"], "--price-in and --price-out together"),
    (["--human", "--prompts", "mine.txt"], "give one of them"),
    (["--prompts", "absent.txt"], "absent.txt cannot be read"),
    (["--stories", "3", "--gradings", "2", "--max-requests", "5"], "takes 6 requests, and --max-requests is 5"),
    (["--stories", "1"], "rejects the request: 401 wrong key"),
]


@pytest.mark.parametrize(("words", "message"), WRONG, ids=[" ".join(words) for words, _ in WRONG])
def test_a_mistake_is_one_message(run, words: list[str], message: str, capsys):
    with judge_server(lambda number, body: failed(401, "wrong key")) as server, pytest.raises(SystemExit) as exit_:
        judge(server.url, *words)
    assert exit_.value.code == 2
    printed: Any = capsys.readouterr()
    assert message in printed.err
    assert "Traceback" not in printed.err


def test_an_invalid_address_is_an_error(run, capsys):
    with pytest.raises(SystemExit):
        judge("localhost:8000")
    assert "must begin with http:// or https://" in capsys.readouterr().err


def test_the_harness_command_writes_a_task(tmp_path, capsys):
    main(["evaluate", "harness", str(tmp_path / "task")])
    assert Path(capsys.readouterr().out.strip()).name == "talewright_understanding.yaml"


@given(st.lists(st.sampled_from(["Tom", "ran.", "a\n\nThe", '"Go!"', "cat", "Why?", "so,"]), min_size=60, max_size=300))
def test_a_story_is_cut_within_a_sentence_and_whole_again(words):
    text = " ".join(words)
    prompt, rest = cut_story(text)
    assert prompt + rest == text
    assert rest.startswith(" ")
    assert 1 <= len(prompt.split(" ")) <= min(MAX_PROMPT_WORDS, len(words) // 3)
    last = prompt.split(" ")[-1]
    assert last in ("Tom", "cat", "so,") or prompt == words[0]
