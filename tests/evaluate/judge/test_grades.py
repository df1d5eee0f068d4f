"""Grades by a judge: parsed from its answers, kept on disk, requested again if they are missing, and summarized."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.errors import UserError
from talewright.evaluate.judge.endpoint import Endpoint
from talewright.evaluate.judge.grades import (
    Exercise,
    GradeFile,
    Grading,
    estimate,
    grade_all,
    summarize_grades,
    weighted_kappa,
)
from tests.evaluate.judge.judge_server import Server, completion, failed, grade, judge_server

EXERCISES = [Exercise(f"Once a cat number {number} had a", " hat. The end.") for number in range(6)]
GRADE = {"grammar": 7, "creativity": 5, "consistency": 7, "plot": 6, "age": "C"}


def endpoint(server: Server, **changes: Any) -> Endpoint:
    return Endpoint(
        **{"url": server.url, "model": "judge-1", "timeout": 5.0, "attempts": 3, "first_wait": 0.0, **changes}
    )


def test_the_judge_reads_the_prompt_and_the_continuation_separately():
    system, user = EXERCISES[3].messages
    assert user == {"role": "user", "content": "Once a cat number 3 had a *** hat. The end."}
    for word in ("grammar", "creativity", "consistency", "plot", "age", "A: 3 or under", "F: 13-16"):
        assert word in system["content"]


def test_all_are_graded_and_kept(tmp_path: Path):
    with judge_server(lambda number, body: completion(grade())) as server:
        found = grade_all(EXERCISES, 2, endpoint(server), GradeFile(tmp_path / "grades.jsonl"))
    assert found.grades == [[GRADE, GRADE]] * 6
    assert not found.reasons
    assert (found.tokens_in, found.tokens_out) == (1200, 120)
    assert len(server.bodies) == 12
    assert "secret" not in (tmp_path / "grades.jsonl").read_text()


def test_an_interrupted_grading_continues_where_it_was(tmp_path: Path):
    path = tmp_path / "grades.jsonl"

    def script(number: int, body: dict[str, Any]):
        return failed(401, "the key has run out") if number == 4 else completion(grade(number + 1))

    with judge_server(script) as server:
        with pytest.raises(UserError, match="key has run out"):
            grade_all(EXERCISES, 1, endpoint(server), GradeFile(path), concurrency=1)
        requests = len(server.bodies)  # one more may have been in flight
        path.write_text(path.read_text() + '{"key": "torn')  # as a killed process leaves it
        kept = GradeFile(path)
        left = estimate(EXERCISES, 1, endpoint(server), kept)["requests"]
        assert left == 6 - (requests - 1)
        found = grade_all(EXERCISES, 1, endpoint(server), kept, concurrency=1)
        assert len(server.bodies) == requests + left
    assert [row[0]["grammar"] for row in found.grades if row[0]][:4] == [1, 2, 3, 4]
    assert all(row[0] for row in found.grades)
    again = grade_all(
        EXERCISES, 1, Endpoint(url=server.url, model="judge-1"), GradeFile(path)
    )  # each is on its own line
    assert again.grades == found.grades


def test_an_error_does_not_wait_for_requests_that_wait_for_a_retry(tmp_path: Path):
    def script(number: int, body: dict[str, Any]):
        return failed(503) if "number 0" in body["messages"][1]["content"] else failed(401, "wrong key")

    began = time.monotonic()
    with judge_server(script) as server, pytest.raises(UserError, match="wrong key"):
        grade_all(EXERCISES[:2], 1, endpoint(server, first_wait=30.0), GradeFile(tmp_path / "g"), concurrency=2)
    assert time.monotonic() - began < 15


def test_existing_grades_are_used_but_not_those_of_another_judge(tmp_path: Path):
    path = tmp_path / "grades.jsonl"
    with judge_server(lambda number, body: completion(grade())) as server:
        for _ in range(2):
            grade_all(EXERCISES, 1, endpoint(server), GradeFile(path))
        assert len(server.bodies) == 6
        grade_all(EXERCISES, 2, endpoint(server), GradeFile(path))  # the first of the two exists
        assert len(server.bodies) == 12
        grade_all(EXERCISES, 1, endpoint(server, model="judge-2"), GradeFile(path))
        assert len(server.bodies) == 18


def test_grades_of_a_version_that_read_thoughts_are_not_used(tmp_path: Path):
    with judge_server(lambda number, body: completion(grade())) as server:
        judge = endpoint(server)
        content = [judge.url, judge.model, 0, EXERCISES[0].messages]  # what the key was made of
        key = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        file = GradeFile(tmp_path / "grades.jsonl")
        file.put(key, {**GRADE, "plot": 1})
        assert estimate(EXERCISES[:1], 1, judge, file)["requests"] == 1
        assert grade_all(EXERCISES[:1], 1, judge, file).grades[0][0] != file.get(key)


def test_no_more_requests_run_at_once_than_allowed(tmp_path: Path):
    with judge_server(lambda number, body: completion(grade()), takes=0.05) as server:
        grade_all(EXERCISES, 2, endpoint(server), GradeFile(tmp_path / "g"), concurrency=3)
    assert server.most_at_once == 3


def test_an_answer_without_grades_is_retried_up_to_the_limit(tmp_path: Path):
    with judge_server(lambda number, body: completion("Very nice!")) as server:
        found = grade_all(EXERCISES[:1], 1, endpoint(server), GradeFile(tmp_path / "g"))
    assert found.grades == [[None]]
    assert found.reasons == {"no answer in 3 attempts; the last error: the answer has no grades": 1}
    assert len(server.bodies) == 3
    assert found.tokens_in == 300  # useless answers are counted: they cost money too
    with judge_server(lambda number, body: completion("Nice!" if number == 0 else grade())) as server:
        assert grade_all(EXERCISES[:1], 1, endpoint(server), GradeFile(tmp_path / "g")).grades == [[GRADE]]


def test_a_refusal_and_a_failure_leave_one_story_ungraded(tmp_path: Path):
    def script(number: int, body: dict[str, Any]):
        story = body["messages"][1]["content"]
        return completion(None) if "number 1" in story else failed(500) if "number 2" in story else completion(grade())

    with judge_server(script) as server:
        found = grade_all(EXERCISES, 1, endpoint(server), GradeFile(tmp_path / "g"))
    assert [row[0] is not None for row in found.grades] == [True, False, False, True, True, True]
    assert sorted(found.reasons.values()) == [1, 1]
    assert "the judge refused" in found.reasons
    assert summarize_grades(found)["graded"] == 4


def test_progress_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "talewright")
    with judge_server(lambda number, body: completion(grade())) as server:
        grade_all(EXERCISES, 2, endpoint(server), GradeFile(tmp_path / "g"))
    assert caplog.messages == ["10 of 12 gradings done", "12 of 12 gradings done"]


def test_an_estimate_counts_what_is_missing(tmp_path: Path):
    expected = estimate(EXERCISES, 2, Endpoint(url="http://a", model="b"), GradeFile(tmp_path / "none"))
    letters = sum(len(message["content"]) for exercise in EXERCISES for message in exercise.messages)
    assert expected == {"requests": 12, "tokens_in": 2 * letters // 4, "tokens_out": 12 * 60}


def of_grades(*values: tuple[int, int]) -> Grading:
    rows: list[list[dict[str, Any] | None]] = [
        [{**GRADE, "grammar": one}, {**GRADE, "grammar": other}] for one, other in values
    ]
    return Grading(rows, reasons=Counter(), tokens_in=0, tokens_out=0)


def test_a_summary_has_means_errors_ages_and_agreement():
    found = summarize_grades(of_grades((2, 2), (4, 5), (9, 7)))
    assert found["grammar"]["mean"] == 5
    assert found["grammar"]["standard_error"] == pytest.approx(np.std([2, 4, 9], ddof=1) / 3**0.5)
    assert found["ages"] == {"A": 0, "B": 0, "C": 3, "D": 0, "E": 0, "F": 0}
    assert found["agreement"]["grammar"] == pytest.approx(weighted_kappa([2, 4, 9], [2, 5, 7]))
    assert found["agreement"]["plot"] is None  # all the same


@given(st.lists(st.tuples(st.integers(1, 10), st.integers(1, 10)), min_size=1, max_size=30))
def test_kappa_is_that_of_the_table_of_both_gradings(pairs):
    """Cohen's definition: 1 - sum(w O) / sum(w E), with E the product of the margins."""
    observed = np.zeros((11, 11))
    for one, other in pairs:
        observed[one, other] += 1 / len(pairs)
    expected = np.outer(observed.sum(1), observed.sum(0))
    weights = np.array([[(one - other) ** 2 for one in range(11)] for other in range(11)])
    kappa = weighted_kappa(*map(list, zip(*pairs, strict=True)))
    if (weights * expected).sum() == 0:
        assert kappa is None
    else:
        assert kappa == pytest.approx(1 - (weights * observed).sum() / (weights * expected).sum(), abs=1e-9)


def test_kappa_is_one_for_the_same_and_about_zero_by_chance():
    assert weighted_kappa([1, 5, 9], [1, 5, 9]) == 1
    crossed = list(itertools.product([1, 5, 9], [2, 6]))
    first, second = zip(*crossed, strict=True)
    assert weighted_kappa(first, second) == pytest.approx(0, abs=1e-12)


def test_a_file_that_cannot_be_read_or_written_is_named(tmp_path: Path):
    with pytest.raises(UserError, match="cannot be read"):
        GradeFile(tmp_path)
    with pytest.raises(UserError, match="cannot write"):
        GradeFile(tmp_path / "no" / "folder").put("key", GRADE)
