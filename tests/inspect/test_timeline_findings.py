"""The sentences of a timeline, on series made for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.inspect.heads import ROLES, Head
from talewright.inspect.timeline import TimelinePoint
from talewright.inspect.timeline_findings import (
    baseline_findings,
    duration,
    loss_findings,
    question_findings,
    role_findings,
)

STEPS, SECONDS = (0, 1, 10, 100, 1000), (0.0, 1.5, 4.0, 40.0, 400.0)


def series(
    losses: Sequence[float] = (5, 4, 3, 2, 1),
    shares: Sequence[dict[str, float]] = ({},) * 5,
    intervals: Sequence[tuple[float, float]] = (),
    seconds: Sequence[float | None] = SECONDS,
) -> list[TimelinePoint]:
    """Points with these losses; shares of the role "induction" by head; and (accuracy, low) of "facts"."""

    def kinds(number: int) -> dict[str, Any]:
        if not intervals:
            return {}
        accuracy, low = intervals[number]
        return {"facts": {"accuracy": accuracy, "low": low, "high": 1.0, "questions": 40, "chance": 0.5}}

    def heads(number: int) -> list[Head]:
        shown = shares[number].items()
        return [Head(layer=int(n[0]), head=int(n[2]), distance=1.0, roles={"induction": s}) for n, s in shown]

    return [
        TimelinePoint(
            step=STEPS[n], tokens=None, seconds=seconds[n], loss=loss, heads=heads(n), kinds=kinds(n), sample=""
        )
        for n, loss in enumerate(losses)
    ]


@pytest.mark.parametrize(
    ("losses", "found"),
    [
        ((5, 4, 3, 2, 1), ["Passed the bigram model (loss 2.50) by step 100 (40 s); not yet at step 10."]),
        ((5, 4, 3, 3, 2.6), ["Never passed the bigram model (loss 2.50): its lowest loss is 2.60."]),
        ((5, 4, 3, 2.5, 2.5), ["Never passed the bigram model (loss 2.50): its lowest loss is 2.50."]),
        ((2, 2, 2, 2, 1), ["Was better than the bigram model (loss 2.50) from the first point, step 0 (0 s), on."]),
        (
            (5, 4, 2.4, 2.6, 2.7),
            [
                "Passed the bigram model (loss 2.50) by step 10 (4.0 s); not yet at step 1.",
                "At the end it is no better than the bigram model.",
            ],
        ),
    ],
)
def test_when_a_baseline_was_passed(losses: Sequence[float], found: list[str]) -> None:
    assert baseline_findings(series(losses), {"bigram": 2.5}) == found


def test_baselines_that_were_passed_between_the_same_points_are_one_sentence() -> None:
    baselines = {"unigram": 4.5, "trigram": 2.4, "bigram": 2.6, "4-gram": 1.0, "5-gram": 0.9}
    assert baseline_findings(series(), baselines) == [
        "Passed the unigram model (loss 4.50) by step 1 (1.5 s); not yet at step 0.",
        "Passed the bigram and trigram models (loss 2.60 and 2.40) by step 100 (40 s); not yet at step 10.",
        "Never passed the 4-gram and 5-gram models (loss 1.00 and 0.90): its lowest loss is 1.00.",
    ]


@given(
    losses=st.lists(st.floats(0.1, 9), min_size=5, max_size=5),
    baselines=st.dictionaries(st.sampled_from(["unigram", "bigram", "trigram", "5-gram"]), st.floats(0.1, 9)),
)
def test_every_baseline_is_in_one_sentence_about_passing(losses: list[float], baselines: dict[str, float]) -> None:
    found = [line for line in baseline_findings(series(losses), baselines) if not line.startswith("At the end")]
    for name, loss in baselines.items():
        (line,) = [line for line in found if name in line]
        first = next((i for i, own in enumerate(losses) if own < loss), None)
        if first is None:
            assert line.startswith("Never passed")
        else:
            assert f"step {STEPS[first]:,} (" in line


def test_without_a_log_only_steps_are_named() -> None:
    points = series(seconds=[0.0, None, None, None, None])
    assert baseline_findings(points, {"bigram": 2.5}) == [
        "Passed the bigram model (loss 2.50) by step 100; not yet at step 10."
    ]
    shares = [{"1.0": share} for share in (0, 0, 0.2, 0.6, 0.7)]
    found = role_findings(series(shares=shares, seconds=[0.0, None, None, None, None]))
    assert found == ["Head 1.0 became an induction head between steps 10 and 100."]


def test_when_half_of_the_fall_was_over() -> None:
    assert loss_findings(series((5, 4, 2.9, 2, 1))) == [
        "The loss fell from 5.00 to 1.00, half of that by step 10 (4.0 s); the last point is step 1,000 (6.7 min)."
    ]
    assert loss_findings(series((5, 4, 1, 2, 3))) == [
        "The loss fell from 5.00 to 1.00, half of that by step 10 (4.0 s); the last point is step 1,000 (6.7 min)."
    ]
    assert loss_findings(series((1, 2, 2, 2, 1))) == ["The loss never fell below its first value, 1.00."]


@pytest.mark.parametrize(
    ("shares", "found"),
    [
        ((0, 0, 0.1, 0.4, 0.5), "Head 1.0 became an induction head between steps 10 and 100 (4.0 to 40 s)."),
        ((0, 0, 0.4, 0.1, 0.5), "Head 1.0 became an induction head between steps 100 and 1,000 (40 s to 6.7 min)."),
        ((0.3, 0.4, 0.4, 0.4, 0.5), "Head 1.0 was an induction head from the first point on."),
        ((0.4, 0.4, 0.4, 0.4, 0.29), "At the end, no head has the role induction."),
    ],
)
def test_since_when_a_head_has_its_role(shares: Sequence[float], found: str) -> None:
    assert role_findings(series(shares=[{"1.0": share} for share in shares])) == [found]


def test_the_first_head_of_a_role_is_named_and_the_others_counted() -> None:
    shares = [{"0.1": 0, "1.0": 0, "1.1": 0.5}] * 2 + [{"0.1": 0.4, "1.0": 0.1, "1.1": 0.1}]
    shares += [{"0.1": 0.4, "1.0": 0.9, "1.1": 0.5}] * 2
    assert role_findings(series(shares=shares)) == [
        "Head 0.1 became an induction head between steps 1 and 10 (1.5 to 4.0 s); at the end, 2 more are."
    ]


def test_roles_that_were_not_measured_are_not_mentioned() -> None:
    assert role_findings(series()) == []
    shares = [{"1.0": 0.0}] * 5
    assert role_findings(series(shares=shares)) == ["At the end, no head has the role induction."]
    assert len(ROLES) > 1


def test_since_when_questions_are_answered_better_than_by_chance() -> None:
    def found(*intervals: tuple[float, float]) -> list[str]:
        return question_findings(series(intervals=intervals))

    rising = ((0.5, 0.3), (0.7, 0.55), (0.5, 0.3), (0.8, 0.6), (0.9, 0.75))
    assert found(*rising) == [
        "Better than chance at questions on facts from step 100 (40 s) on (90 % of 40 right at the end)."
    ]
    assert found(*((0.6, 0.5),) * 5) == [
        "Not clearly better than chance at questions on facts (60 % of 40 right), at the end."
    ]
    assert found(*((0.9, 0.8),) * 5) == [
        "Better than chance at questions on facts from the first point on (90 % of 40 right at the end)."
    ]
    lucky = (*((0.5, 0.3),) * 4, (0.9, 0.8))
    assert found(*lucky) == ["Not clearly better than chance at questions on facts (90 % of 40 right), at the end."]
    assert question_findings(series()) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.04, "0.0 s"),
        (9.9, "9.9 s"),
        (9.97, "10 s"),
        (119.4, "119 s"),
        (192, "3.2 min"),
        (18_360, "5.1 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
