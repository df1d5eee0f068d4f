"""The same seed gives the same files, in processes of their own, whatever their number of workers and hash seed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.killed import differences

from tests.train.conftest import write_stories

SMALL = """
model: {n_layers: 1, n_heads: 2, d_model: 16, d_ff: 32, vocab_size: 300, context_length: 32, dropout: 0.1}
data: {splits: [80, 20]}
train: {micro_batch: 4, max_steps: 8, evaluate_every: 4, checkpoint_every: 4, precision: fp32, accelerator: cpu}
"""


@pytest.mark.slow
def test_preparation_training_and_samples_do_not_depend_on_workers_or_hash_seeds(tmp_path: Path) -> None:
    write_stories(tmp_path / "stories.txt", 2000)
    (tmp_path / "small.yaml").write_text(SMALL)
    for number, workers in enumerate((1, 2, 5)):
        environment = {**os.environ, "TALEWRIGHT_CACHE": f"cache-{number}", "PYTHONHASHSEED": str(number)}
        environment |= {"RAYON_NUM_THREADS": str(workers), "TOKENIZERS_PARALLELISM": "true", "OMP_NUM_THREADS": "1"}
        words = ["train", "--recipe", "small.yaml", "--data", "stories.txt", "--out", f"run-{number}"]
        command = [sys.executable, "-m", "talewright", *words]
        subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
    caches = [files_of(tmp_path / f"cache-{number}") for number in range(3)]
    assert caches[0]
    assert caches[0] == caches[1] == caches[2]
    assert (
        differences(tmp_path / "run-0", tmp_path / "run-1") == differences(tmp_path / "run-0", tmp_path / "run-2") == []
    )


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
