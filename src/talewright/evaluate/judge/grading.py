"""Stories graded by a large language model: grammar, creativity, consistency, plot, and the age of who might have
written them (Eldan & Li 2023, arXiv:2305.07759, section 4; theirs was GPT-4).

The judge reads the beginning of a story and how the model goes on, and answers with one JSON object. Its grades are
opinions: they depend on the judge, and those of two judges are not to be set side by side. How far one judge agrees
with itself is measured by grading each story twice.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock
from typing import Any

import numpy as np

from talewright.errors import UserError
from talewright.evaluate.judge.endpoint import Answer, Endpoint, FailedError, ask

ASPECTS = ("grammar", "creativity", "consistency", "plot")
"""What is graded from 1 to 10."""
AGES = {"A": "3 or under", "B": "4-5", "C": "6-7", "D": "8-9", "E": "10-12", "F": "13-16"}
"""Age groups, by the letters that the judge answers with."""
MISREAD = 3
"""Times that a story is shown to a judge who answers without grades."""
ANSWER_TOKENS = 60
"""Tokens of an answer, to estimate what it costs."""
LETTERS_PER_TOKEN = 4
"""Of English text, to estimate what it costs."""

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
"""What the judge is told; the paper's words, asked for in one step and as JSON."""


@dataclass(frozen=True)
class Exercise:
    """A story's beginning, and how it was gone on with."""

    beginning: str
    told: str

    @property
    def messages(self) -> list[dict[str, str]]:
        """What the judge is shown."""
        shown = f"{self.beginning} *** {self.told.lstrip()}"
        return [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": shown}]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a grading would take, before it begins: what was graded before is not asked again."""

    requests: int
    tokens_in: int
    tokens_out: int

    def cost(self, price_in: float, price_out: float) -> float:
        """At these prices of a million tokens."""
        return (self.tokens_in * price_in + self.tokens_out * price_out) / 1e6


class Grades:
    """Grades in a file, each written as soon as it is given, so that an interrupted grading goes on where it was."""

    def __init__(self, path: Path) -> None:
        self.path, self._lock = path, Lock()
        self._found: dict[str, dict[str, Any]] = {}
        try:
            lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path} cannot be read: {error}") from None
        for line in lines:
            self._take(line)

    def get(self, key: str) -> dict[str, Any] | None:
        """The grade of that key, None where there is none yet."""
        return self._found.get(key)

    def put(self, key: str, grade: dict[str, Any]) -> None:
        """Keep a grade. Raises UserError where it cannot be written."""
        with self._lock:
            self._found[key] = grade
            try:
                with self.path.open("a", encoding="utf-8") as file:
                    file.write("\n" * self._torn() + json.dumps({"key": key, "grade": grade}) + "\n")
            except OSError as error:
                raise UserError(f"cannot write {self.path}: {error.strerror}") from None

    def _torn(self) -> bool:
        """Whether the file's last line was cut off as it was written."""
        with self.path.open("rb") as file:
            return file.seek(0, 2) > 0 and file.seek(-1, 2) >= 0 and file.read(1) != b"\n"

    def _take(self, line: str) -> None:
        try:
            found = json.loads(line)
            key, grade = found["key"], check_grade(found["grade"])
        except (ValueError, LookupError, TypeError):
            return  # torn, or not ours: asked for again
        self._found[str(key)] = grade


def read_grade(text: str) -> dict[str, Any]:
    """The grade in a judge's answer, whatever stands around it. Raises ValueError where there is none."""
    for match in re.finditer(r"\{[^{}]*\}", text):
        try:
            return check_grade(json.loads(match.group()))
        except (ValueError, LookupError, TypeError):
            continue
    raise ValueError(f"no grades in {text[:80]!r}")


def check_grade(found: Any) -> dict[str, Any]:
    """The same as whole numbers and a letter. Raises ValueError, LookupError or TypeError where it is no grade."""
    grade: dict[str, Any] = {aspect: _number(found[aspect]) for aspect in ASPECTS}
    letter = str(found["age"]).strip()[:1].upper()
    if letter not in AGES:
        raise ValueError(f"{letter} is no age group")
    return {**grade, "age": letter}


def _number(value: Any) -> int:
    """8 of 8, 8.0, "8" and "8/10"."""
    if isinstance(value, str):
        value = value.split("/")[0]
    number = float(value)
    if isinstance(value, bool) or not 1 <= number <= 10 or number != int(number):
        raise ValueError(f"{value} is no grade from 1 to 10")
    return int(number)


def estimate(exercises: Sequence[Exercise], gradings: int, endpoint: Endpoint, grades: Grades) -> Estimate:
    """What grading these would take."""
    left = [exercise for exercise, key in _asked(exercises, gradings, endpoint) if grades.get(key) is None]
    letters = sum(len(message["content"]) for exercise in left for message in exercise.messages)
    return Estimate(requests=len(left), tokens_in=letters // LETTERS_PER_TOKEN, tokens_out=ANSWER_TOKENS * len(left))


@dataclass(frozen=True)
class Graded:
    """What came of a grading."""

    grades: list[list[dict[str, Any] | None]]
    """Of each exercise its grades, in the order of the gradings; None where there is none."""
    reasons: Counter[str]
    """Why some have none."""
    tokens_in: int
    tokens_out: int


def grade_all(
    exercises: Sequence[Exercise],
    gradings: int,
    endpoint: Endpoint,
    grades: Grades,
    concurrency: int = 4,
    progress: Callable[[int, int], None] = lambda done, all_: None,
) -> Graded:
    """Grade each exercise `gradings` times, at most `concurrency` at once; those that have a grade are not asked again.

    Raises UserError where the server refuses to be asked at all; what was graded until then is kept.
    """
    asked = _asked(exercises, gradings, endpoint)
    left = [(exercise, key) for exercise, key in asked if grades.get(key) is None]
    reasons: Counter[str] = Counter()
    tokens = np.zeros(2, dtype=np.int64)
    stopped = Event()

    def grade(exercise: Exercise, key: str) -> tuple[str | None, np.ndarray]:
        return _grade(exercise, lambda found: grades.put(key, found), lambda shown: ask(endpoint, shown, pause))

    def pause(seconds: float) -> None:
        if stopped.wait(seconds):
            raise FailedError("stopped")

    pool = ThreadPoolExecutor(concurrency)
    try:
        waiting = [pool.submit(grade, exercise, key) for exercise, key in left]
        for done, future in enumerate(as_completed(waiting), 1):
            reason, used = future.result()
            tokens += used
            reasons.update([reason] if reason else [])
            progress(done, len(left))
    finally:  # an error, or Ctrl-C: what has not been asked is not asked any more
        stopped.set()
        pool.shutdown(cancel_futures=True)
    found = [grades.get(key) for _, key in asked]
    rows = [found[first : first + gradings] for first in range(0, len(found), gradings)]
    return Graded(rows, reasons, int(tokens[0]), int(tokens[1]))


def _asked(exercises: Sequence[Exercise], gradings: int, endpoint: Endpoint) -> list[tuple[Exercise, str]]:
    """Each exercise as often as it is graded, with what its grade is kept under."""
    return [(exercise, _key(exercise, n, endpoint)) for exercise in exercises for n in range(gradings)]


def _key(exercise: Exercise, grading: int, endpoint: Endpoint) -> str:
    whole = [endpoint.url, endpoint.model, grading, exercise.messages]
    return hashlib.sha256(json.dumps(whole).encode()).hexdigest()


def _grade(
    exercise: Exercise, keep: Callable[[dict[str, Any]], None], asked: Callable[[list[dict[str, str]]], Answer]
) -> tuple[str | None, np.ndarray]:
    """Grade one exercise once: why there is no grade, None where there is one, and the tokens read and written (2,)."""
    used = np.zeros(2, dtype=np.int64)
    for _ in range(MISREAD):
        try:
            answer = asked(exercise.messages)
        except FailedError as error:
            return str(error), used
        used += (answer.tokens_in, answer.tokens_out)
        if answer.text is None:
            return "the judge refused", used
        try:
            grade = read_grade(answer.text)
        except ValueError:
            continue
        keep(grade)
        return None, used
    return "the judge answered without grades", used


def summary(graded: Graded) -> dict[str, Any]:
    """Means, ages, and how far the first two gradings agree, as plain values."""
    whole = [row[0] for row in graded.grades if row and row[0] is not None]
    found: dict[str, Any] = {"stories": len(graded.grades), "graded": len(whole), "reasons": dict(graded.reasons)}
    for aspect in ASPECTS:
        values = np.array([grade[aspect] for grade in whole], dtype=np.float64)
        error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else None
        found[aspect] = {"mean": float(values.mean()) if len(values) else None, "standard_error": error}
    found["ages"] = {letter: sum(grade["age"] == letter for grade in whole) for letter in AGES}
    pairs = [(row[0], row[1]) for row in graded.grades if len(row) > 1 and row[0] and row[1]]
    if pairs:
        found["agreement"] = {
            aspect: weighted_kappa([one[aspect] for one, _ in pairs], [other[aspect] for _, other in pairs])
            for aspect in ASPECTS
        }
    return found


def weighted_kappa(first: Sequence[int], second: Sequence[int]) -> float | None:
    """Cohen's kappa with squared weights (Cohen 1968): 1 where two gradings agree, 0 where no more than by chance.

    1 less the mean squared difference over that of all pairs of a first and a second grade; None where all grades are
    the same, and there is nothing to agree on.
    """
    a, b = np.array(first, dtype=np.float64), np.array(second, dtype=np.float64)
    by_chance = float(((a[:, None] - b[None, :]) ** 2).mean())
    return 1 - float(((a - b) ** 2).mean()) / by_chance if by_chance else None
