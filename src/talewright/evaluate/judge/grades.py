"""Grades by a large language model: grammar, creativity, consistency, plot, and the age of a likely author (Eldan & Li
2023, arXiv:2305.07759, section 4; they used GPT-4).

The judge reads the start of a story and the model's continuation, and answers with one JSON object. Grades depend on
the judge: those of different judges cannot be compared. Grading each story twice measures how far one judge agrees with
itself.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock
from typing import Any

import numpy as np

from talewright.errors import UserError
from talewright.evaluate.judge.answers import AGES, ASPECTS, Grade, check_grade, parse_grade
from talewright.evaluate.judge.endpoint import Answer, Endpoint, ask
from talewright.files import json_text

logger = logging.getLogger(__name__)

ANSWER_TOKENS, LETTERS_PER_TOKEN = 60, 4
"""For estimates: tokens of an answer, and letters per token of English text."""

INSTRUCTIONS = """You grade a writing exercise of children. The student is given the beginning of a story, and goes \
on with it. The exercise tests the student's language abilities and creativity. The symbol *** parts the given \
beginning from what the student wrote. Grade only what comes after ***, as one JSON object and nothing else:
{"grammar": 1-10, "creativity": 1-10, "consistency": 1-10, "plot": 1-10, "age": "A"-"F"}
grammar: is it correct English? Look closely at how the sentence goes on that *** cuts in two.
creativity: does the student have ideas that are not in the beginning?
consistency: does it fit the beginning: its names, things and what happened?
plot: does what happens make sense, and come to an end?
age: your best guess of the student's age, from what was written: """ + ", ".join(
    f"{letter}: {age}" for letter, age in AGES.items()
)
"""The judge's prompt, after the paper's. Grades with another prompt could not be compared with earlier ones."""


ANSWERS_READ = 2
"""Part of the key of a grade. Earlier versions took grades from a judge's thoughts, so that theirs are not used."""


@dataclass(frozen=True)
class Exercise:
    """The start of a story, and its continuation."""

    prompt: str
    continuation: str

    @property
    def messages(self) -> list[dict[str, str]]:
        """What the judge reads."""
        text = f"{self.prompt} *** {self.continuation.lstrip()}"
        return [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": text}]


@dataclass(frozen=True)
class Grading:
    """The result of `grade_all`."""

    grades: list[list[Grade | None]]
    """The grades of each exercise, in the order of the gradings; None for one that is missing."""
    reasons: Counter[str]
    """Why some are missing."""
    tokens_in: int
    tokens_out: int


class GradeFile:
    """Grades in a JSON Lines file. Each is written at once, so that an interrupted grading continues where it was."""

    def __init__(self, path: Path) -> None:
        self.path, self._lock = path, Lock()
        self._grades: dict[str, Grade] = {}
        try:
            text = path.read_text(encoding="utf-8") if path.exists() else ""
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path} cannot be read: {error}") from None
        self._separator = "\n" if text and not text.endswith("\n") else ""  # the last line was cut off
        for line in text.splitlines():
            try:
                entry = json.loads(line)
                self._grades[str(entry["key"])] = check_grade(entry["grade"])
            except (ValueError, LookupError, TypeError):
                continue  # damaged: the judge is asked again

    def get(self, key: str) -> Grade | None:
        """The grade with that key, None if there is none yet."""
        return self._grades.get(key)

    def put(self, key: str, grade: Grade) -> None:
        """Keep a grade. Raises UserError if it cannot be written."""
        with self._lock:
            self._grades[key] = grade
            try:
                with self.path.open("a", encoding="utf-8", newline="\n") as file:
                    file.write(self._separator + json_text({"key": key, "grade": grade}) + "\n")
            except OSError as error:
                raise UserError(f"cannot write {self.path}: {error.strerror}") from None
            self._separator = ""


def estimate(exercises: Sequence[Exercise], gradings: int, endpoint: Endpoint, file: GradeFile) -> dict[str, int]:
    """The requests and tokens that grading these will take. Existing grades take none."""
    left = [exercise for exercise, key in _keyed(exercises, gradings, endpoint) if file.get(key) is None]
    letters = sum(len(message["content"]) for exercise in left for message in exercise.messages)
    return {
        "requests": len(left),
        "tokens_in": letters // LETTERS_PER_TOKEN,
        "tokens_out": ANSWER_TOKENS * len(left),
    }


def grade_all(
    exercises: Sequence[Exercise], gradings: int, endpoint: Endpoint, file: GradeFile, concurrency: int = 4
) -> Grading:
    """Grade each exercise `gradings` times, with at most `concurrency` requests at once. Existing grades are used.

    Raises UserError if the server rejects a request; the grades until then are kept.
    """
    keyed = _keyed(exercises, gradings, endpoint)
    left = [(exercise, key) for exercise, key in keyed if file.get(key) is None]
    reasons, tokens_in, tokens_out, stopped = Counter[str](), 0, 0, Event()

    def grade(exercise: Exercise, key: str) -> Answer:
        answer = ask(endpoint, exercise.messages, parse_grade, stopped.wait)
        if answer.error is None:
            file.put(key, answer.value)
        return answer

    pool = ThreadPoolExecutor(concurrency)
    try:
        futures = [pool.submit(grade, exercise, key) for exercise, key in left]
        for done, future in enumerate(as_completed(futures), 1):
            answer = future.result()
            tokens_in, tokens_out = tokens_in + answer.tokens_in, tokens_out + answer.tokens_out
            if answer.error is not None:
                reasons[answer.error] += 1
            if done == len(left) or done % 10 == 0:
                logger.info("%d of %d gradings done", done, len(left))
    finally:  # after an error or Ctrl-C, no further request is made
        stopped.set()
        pool.shutdown(cancel_futures=True)
    grades = [file.get(key) for _, key in keyed]
    rows = [grades[first : first + gradings] for first in range(0, len(grades), gradings)]
    return Grading(rows, reasons, tokens_in, tokens_out)


def _keyed(exercises: Sequence[Exercise], gradings: int, endpoint: Endpoint) -> list[tuple[Exercise, str]]:
    """Each exercise `gradings` times, with the key of its grade."""

    def key(exercise: Exercise, n: int) -> str:
        content = [ANSWERS_READ, endpoint.url, endpoint.model, n, exercise.messages]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    return [(exercise, key(exercise, n)) for exercise in exercises for n in range(gradings)]


def summarize_grades(grading: Grading) -> dict[str, Any]:
    """Means, ages, and the agreement of the first two gradings, as plain values."""
    first = [row[0] for row in grading.grades if row and row[0] is not None]
    summary: dict[str, Any] = {
        "stories": len(grading.grades),
        "graded": len(first),
        "reasons": dict(grading.reasons),
    }
    for aspect in ASPECTS:
        values = np.array([grade[aspect] for grade in first], dtype=np.float64)
        error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else None
        summary[aspect] = {"mean": float(values.mean()) if len(values) else None, "standard_error": error}
    summary["ages"] = {letter: sum(grade["age"] == letter for grade in first) for letter in AGES}
    pairs = [(row[0], row[1]) for row in grading.grades if len(row) > 1 and row[0] and row[1]]
    if pairs:
        summary["agreement"] = {
            aspect: weighted_kappa([one[aspect] for one, _ in pairs], [other[aspect] for _, other in pairs])
            for aspect in ASPECTS
        }
    return summary


def weighted_kappa(first: Sequence[int], second: Sequence[int]) -> float | None:
    """Cohen's kappa with quadratic weights (Cohen 1968): 1 for full agreement, 0 for no more than by chance. None if
    all grades are the same, so that chance agreement is full too.

    1 - mean squared difference / mean squared difference of all pairs of a first and a second grade.
    """
    a, b = np.array(first, dtype=np.float64), np.array(second, dtype=np.float64)
    by_chance = float(((a[:, None] - b[None, :]) ** 2).mean())
    return 1 - float(((a - b) ** 2).mean()) / by_chance if by_chance else None
