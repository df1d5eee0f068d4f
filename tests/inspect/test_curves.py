from __future__ import annotations

import struct
from pathlib import Path

import pytest

from talewright.errors import UserError
from talewright.inspect.curves import draw_curves
from talewright.train.log import RunLog


def write_log(run: Path, steps: int, evaluations: int) -> None:
    log = RunLog(run, tensorboard=False)
    for step in range(1, steps + 1):
        log.write("step", step=step, loss=5.0 / step, learning_rate=1e-3, tokens_per_second=1000.0, gradient_norm=1.0)
    for number in range(1, evaluations + 1):
        log.write("evaluation", step=number, loss=5.0, perplexity=148.4, bits_per_byte=2.0)
    log.close()


@pytest.mark.parametrize(("steps", "evaluations"), [(1, 0), (1, 1), (300, 3)])
def test_curves_are_drawn_from_the_log_however_short(tmp_path, steps, evaluations):
    write_log(tmp_path, steps, evaluations)
    path = draw_curves(tmp_path)
    assert path == tmp_path / "plots" / "training_curves.png"
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG")
    assert struct.unpack(">II", data[16:24]) == (1320, 840)


def test_a_run_without_a_step_is_told(tmp_path):
    (tmp_path / "log.jsonl").write_text("")
    with pytest.raises(UserError, match="has no step yet"):
        draw_curves(tmp_path)
