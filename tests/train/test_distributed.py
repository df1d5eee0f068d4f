from __future__ import annotations

import os
import subprocess
import sys

import pytest

from talewright.run.log import read_log
from talewright.train.distributed import per_rank_batch
from tests.train.conftest import write_stories


def test_all_processes_together_make_the_recipes_batch(small):
    recipe = small(train={"micro_batch": 6, "accumulation": 4})
    assert per_rank_batch(recipe, 1) == (6, 4)
    assert per_rank_batch(recipe, 2) == (6, 2)
    assert per_rank_batch(recipe, 3) == (2, 4)


TWO = """
model: {n_layers: 1, n_heads: 2, d_model: 16, d_ff: 32, vocab_size: 300, context_length: 16}
data: {splits: [80, 20]}
train: {micro_batch: 4, accumulation: 2, max_steps: 6, evaluate_every: 3, checkpoint_every: 3, precision: fp32,
  accelerator: cpu, compile: false}
"""


@pytest.mark.slow
def test_two_processes_train_and_resume_like_one(tmp_path):
    """Real processes over gloo: the same losses but for rounding, one log, and a run that resumes."""
    write_stories(tmp_path / "stories.txt", 100)
    (tmp_path / "two.yaml").write_text(TWO)
    environment = {**os.environ, "TALEWRIGHT_CACHE": "cache", "OMP_NUM_THREADS": "1"}

    def train(*options):
        command = [sys.executable, "-m", "talewright", "train", *options]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    for processes in ("1", "2"):
        options = ["--recipe", "two.yaml", "--data", "stories.txt", "--out", processes]
        train(*options, "--train.devices", processes)
        train("--resume", processes, "--max-steps", "9")
    one, two = (
        [event["loss"] for event in read_log(tmp_path / name / "log.jsonl") if event["event"] in ("step", "evaluation")]
        for name in ("1", "2")
    )
    assert len(one) == 9 + 3
    assert two == pytest.approx(one, rel=1e-5)
