from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.config import ScheduleConfig, TrainConfig
from talewright.train.schedule import Budget, lr_multiplier

KINDS = st.sampled_from(["constant", "cosine", "linear", "wsd"])


def rates(schedule: ScheduleConfig, steps: int) -> list[float]:
    budget = Budget(steps, None)
    return [lr_multiplier(schedule, s, budget.progress(s, 0.0, schedule.warmup_steps)) for s in range(steps)]


@given(kind=KINDS, warmup=st.integers(0, 50), steps=st.integers(60, 300), final=st.floats(0, 1))
def test_property_4_schedule_is_monotone_where_it_should_be(kind, warmup, steps, final):
    found = rates(ScheduleConfig(kind=kind, warmup_steps=warmup, final_fraction=final), steps)
    rising, rest = found[:warmup], found[warmup:]
    assert all(a < b for a, b in itertools.pairwise(rising))
    assert all(a >= b for a, b in itertools.pairwise(rest))
    assert rest[0] == 1.0
    assert max(found) <= 1.0


def test_the_cosine_is_half_way_down_half_way_through_and_ends_at_its_fraction():
    schedule = ScheduleConfig(kind="cosine", warmup_steps=100, final_fraction=0.1)
    budget = Budget(1100, None)
    assert lr_multiplier(schedule, 600, budget.progress(600, 0, 100)) == pytest.approx(0.55)
    assert lr_multiplier(schedule, 1100, budget.progress(1100, 0, 100)) == pytest.approx(0.1)


def test_wsd_stays_and_then_falls_in_a_line_over_the_last_part():
    schedule = ScheduleConfig(kind="wsd", warmup_steps=100, final_fraction=0.1, decay_fraction=0.25)
    found = rates(schedule, 500)  # 400 steps after the warm-up, of which the last 100 fall
    assert found[100:401] == [1.0] * 301
    assert found[450] == pytest.approx(0.55)
    assert found[499] == pytest.approx(0.1 + 0.9 / 100)


def test_the_horizon_is_counted_in_optimizer_steps_not_in_forward_passes():
    train = TrainConfig(micro_batch=4, accumulation=8, max_epochs=2)
    assert Budget.of(train, 100, sequence_length=16).max_steps == math.ceil(200 / 32)


def test_tokens_and_epochs_are_rounded_up_and_the_first_limit_counts():
    train = TrainConfig(micro_batch=2, accumulation=1, max_tokens=65, max_epochs=10)
    assert Budget.of(train, 100, sequence_length=16).max_steps == 3


@given(seconds=st.floats(0, 1000), step=st.integers(0, 1000))
def test_a_budget_of_minutes_ends_the_schedule_with_them(seconds, step):
    budget = Budget(None, 600.0)
    assert budget.spent(step, seconds) == (seconds >= 600)
    assert budget.progress(step, seconds) == min(1.0, seconds / 600)
