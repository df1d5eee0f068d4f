from __future__ import annotations

import json
import math

import pytest

from talewright.run.log import RunLog, read_log, rewind
from talewright.run.trackers import Trackers


def test_a_torn_last_line_is_skipped(tmp_path):
    log = RunLog(tmp_path)
    for step in (1, 2, 3):
        log.write("step", step=step, loss=1.0 / step)
    log.close()
    path = tmp_path / "log.jsonl"
    path.write_bytes(path.read_bytes()[:-7])
    assert [event["step"] for event in read_log(path)] == [1, 2]


def test_rewind_deletes_what_came_after_the_checkpoint(tmp_path):
    log = RunLog(tmp_path)
    log.write("run", recipe={})
    for step in range(1, 6):
        log.write("step", step=step)
        log.sample(step, "Once", f"Once {step}")
    log.close()
    rewind(tmp_path, 3)
    assert [event.get("step") for event in read_log(tmp_path / "log.jsonl")] == [None, 1, 2, 3]
    assert [event["step"] for event in read_log(tmp_path / "samples.jsonl")] == [1, 2, 3]


def test_tensorboard_gets_the_same_figures(tmp_path):
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="TensorBoard is not installed"
    )
    log = RunLog(tmp_path, Trackers(["tensorboard"], tmp_path))
    log.write("step", step=7, loss=0.5)
    log.close()
    board = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    assert [(event.step, event.value) for event in board.Scalars("step/loss")] == [(7, 0.5)]
    assert json.loads((tmp_path / "log.jsonl").read_text())["loss"] == 0.5


def test_numbers_that_are_not_finite_are_null_and_named_also_after_a_resume(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"event": "step", "step": 1, "loss": NaN}\n')  # of an earlier version
    rewind(tmp_path, 1)
    log = RunLog(tmp_path)
    log.write("step", step=2, loss=math.inf, gradient_norm=1.0)
    log.close()
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    events = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    assert [(event["loss"], event["not_finite"]) for event in events] == [(None, ["loss"])] * 2
