"""The warning that a budget in minutes will not buy enough steps."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.run.checkpoint import TrainState
from talewright.train.pace import PaceMonitor
from talewright.train.schedule import Budget


def warnings_of(monitor: PaceMonitor, seconds_per_step: float, limit: float, first: float = 0.0) -> list[str]:
    state, found = TrainState(), []
    while state.seconds < limit and state.step < 2000:
        state.step += 1
        state.seconds += first if state.step == 1 and first else seconds_per_step
        found.append(monitor.log_step(state))
    return [warning for warning in found if warning]


@given(
    minutes=st.floats(0.5, 60),
    share=st.floats(0.0, 3.0),
    warmup=st.integers(0, 300),
    expected=st.one_of(st.none(), st.integers(50, 5000)),
)
def test_it_warns_exactly_if_the_steps_are_fewer_than_warmup_or_a_tenth_of_what_was_expected(
    minutes: float, share: float, warmup: int, expected: int | None
) -> None:
    limit, needed = 60 * minutes, max(warmup, (expected or 0) / 10)
    steps = max(5, round(share * needed) + 5)
    monitor = PaceMonitor(Budget(None, limit), warmup, expected)
    warnings = warnings_of(monitor, limit / steps, limit)
    few = steps <= warmup or (expected is not None and steps < expected / 10)
    if abs(steps - warmup) > 1 and abs(steps - (expected or -20) / 10) > 1:  # a step more or less is rounding
        assert len(warnings) == few
    for warning in warnings:
        assert f"{minutes:g} minutes are enough for" in warning
        more = float(re.findall(r"about ([\d.e+]+) minutes", warning)[0])
        assert more > minutes
        assert (f"{warmup:,} of warm-up" in warning) == (steps <= warmup) or abs(steps - warmup) <= 1


def test_the_first_step_which_may_compile_does_not_count() -> None:
    monitor = PaceMonitor(Budget(None, 600.0), 100, 1000)
    assert not warnings_of(monitor, 0.5, 600.0, first=60.0)


@pytest.mark.parametrize("budget", [Budget(1000, None), Budget(None, None), Budget(20, 3600.0)])
def test_a_budget_in_steps_is_no_cause_to_warn(budget: Budget) -> None:
    """Twenty steps were asked for, and the hour is long enough for them."""
    assert not warnings_of(PaceMonitor(budget, 0, None), 1.0, 100.0)


def test_it_says_that_other_programs_are_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(0, 10_000, 10))
    monkeypatch.setattr("time.perf_counter", lambda: float(next(now)))
    monkeypatch.setattr("time.thread_time", lambda: 0.0)
    (warning,) = warnings_of(PaceMonitor(Budget(None, 90.0), 50, None), 5.0, 90.0)
    assert "Other programs keep the processor busy: training gets a core 0% of the time." in warning
