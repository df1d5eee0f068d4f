"""Adapting to other processes: when threads sleep or spin, and that it reaches OpenMP."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.machine import busy
from talewright.machine.busy import WAIT_VARIABLES

SHARES = st.lists(st.tuples(st.floats(0, 1), st.floats(0.0, 100.0)), max_size=40)
"""Of each window: how much of the time the thread had a core, and the seconds since the window before."""


class Waiting:
    """Records the decision."""

    def __init__(self) -> None:
        self.sleeping = False

    def sleep(self) -> None:
        assert not self.sleeping, "it sleeps already"
        self.sleeping = True

    def spin(self) -> None:
        assert self.sleeping, "it spins already"
        self.sleeping = False


@given(SHARES)
def test_threads_sleep_while_the_machine_is_busy_and_spin_again_after_it(shares: list[tuple[float, float]]) -> None:
    now, waiting = 0.0, Waiting()
    slept_at, failures = 0.0, 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: now)
        watch = busy._Watch()
        for share, pause in shares:
            now += pause
            before = waiting.sleeping
            watch.measured(busy.WINDOW, share * busy.WINDOW, waiting)  # type: ignore[arg-type]
            if not before:
                assert waiting.sleeping == (share < busy.BUSY_SHARE)
                failures = failures + 1 if waiting.sleeping else 0
                slept_at = now
            elif not waiting.sleeping:
                waited = now - slept_at - (0 if share >= busy.IDLE_SHARE else busy.LONGEST_RETRY)
                assert waited >= min(busy.RETRY * 2 ** (failures - 1), busy.LONGEST_RETRY)
        for _ in range(2):  # an idle machine: within a minute they spin again
            now += busy.LONGEST_RETRY
            watch.measured(busy.WINDOW, busy.WINDOW, waiting)  # type: ignore[arg-type]
    assert not waiting.sleeping


def test_short_computations_are_measured_together() -> None:
    watch, waiting = busy._Watch(), Waiting()
    for _ in range(299):
        watch.measured(busy.WINDOW / 300, 0.0, waiting)  # type: ignore[arg-type]
    assert not waiting.sleeping
    for _ in range(2):
        watch.measured(busy.WINDOW / 300, 0.0, waiting)  # type: ignore[arg-type]
    assert waiting.sleeping


SCRIPT = """
import os, threading, torch, talewright
from talewright.machine.busy import _Waiting, adapt_to_load, _watch
import talewright.machine.busy as busy
torch.set_num_threads(2)
with adapt_to_load():
    torch.ones(1 << 20).add_(1)
print(busy._waiting is not None)
if os.environ.get("SLEEP") and busy._waiting and not busy._waiting.sleeping:
    busy._waiting.sleep()
was_sleeping = busy._waiting and busy._waiting.sleeping
with adapt_to_load(one_thread=True):
    inside = torch.get_num_threads()
print(inside == (1 if busy._waiting and was_sleeping and "OMP_NUM_THREADS" not in os.environ else 2))
waiting = busy._waiting or _Waiting()
if waiting.sleeping:
    waiting.spin()
before = threading.active_count()
waiting.sleep()
print(threading.active_count() - before, torch.get_num_threads())
waiting.spin()
waiting.sleep()
waiting.spin()
import time
deadline = time.monotonic() + 30
while threading.active_count() > before and time.monotonic() < deadline:
    time.sleep(0.01)
print(threading.active_count() - before, torch.get_num_threads())
"""


def run_script(**variables: str) -> list[list[str]]:
    environment = {
        name: value for name, value in os.environ.items() if name not in (*WAIT_VARIABLES, "OMP_NUM_THREADS")
    }
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, env=environment | variables, capture_output=True, text=True, check=True)
    return [line.split() for line in done.stdout.splitlines()]


def test_sleeping_and_spinning_leave_the_number_of_threads_as_it_is() -> None:
    adapts, fewer, sleeping, spinning = run_script()
    assert adapts == fewer == ["True"]
    assert sleeping[1] == spinning[1] == "2"
    assert int(sleeping[0]) <= 1  # GNU's OpenMP needs one more thread that waits, LLVM's none
    assert spinning[0] == "0"


def test_generation_on_a_busy_machine_uses_one_thread_unless_their_number_was_set() -> None:
    assert run_script(SLEEP="1")[1] == ["True"]
    assert run_script(SLEEP="1", OMP_NUM_THREADS="2")[1] == ["True"]


@pytest.mark.parametrize("variables", [{"OMP_WAIT_POLICY": "passive"}, {"GOMP_SPINCOUNT": "5"}, {"KMP_BLOCKTIME": "0"}])
def test_a_wait_policy_of_the_user_is_left_alone(variables: dict[str, str]) -> None:
    assert run_script(**variables)[0] == ["False"]
