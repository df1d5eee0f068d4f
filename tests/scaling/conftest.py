"""A stand-in for `talewright train`, which writes a run in a second: so that a test can have many trials."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

RECIPE = """
model: {n_layers: 1, n_heads: 2, d_model: 16, d_ff: 32, vocab_size: 300, context_length: 32}
train: {learning_rate: 1e-2, micro_batch: 4, max_steps: 6, evaluate_every: 3, checkpoint_every: 3, precision: fp32}
"""
TRAIN = '''
"""Six steps, an evaluation every second one, and a loss that falls with the learning rate; a rate above 1 fails."""
import json, os, signal, sys, time
from pathlib import Path

words = sys.argv[1:]
option = lambda name: words[words.index(name) + 1]
run = Path(option("--resume" if "--resume" in words else "--out"))
time.sleep(float(os.environ.get("STARTUP", 0)))
if "--resume" not in words:
    settings = dict(word[2:].split("=", 1) for word in words if "=" in word)
    rate = float(settings.get("train.learning_rate", 0.01))
    if rate > 1:
        sys.exit("the learning rate is above 1")
    run.mkdir(exist_ok=True)
    (run / "state.json").write_text(json.dumps([rate, int(option("--seed"))]))
    (run / "recipe.yaml").write_text(Path(option("--recipe")).read_text())
rate, seed = json.loads((run / "state.json").read_text())
log = (run / "log.jsonl").open("a")


def write(event, **values):
    print(json.dumps({"event": event, **values}), file=log, flush=True)


def stop(*signal):
    write("stop")
    sys.exit(143)


signal.signal(signal.SIGTERM, stop)
done = sum('"event": "step"' in line for line in (run / "log.jsonl").read_text().splitlines())
write("start", process=os.getpid())
for step in range(done + 1, 7):
    time.sleep(float(os.environ.get("PACE", 0.01)) * (50 if rate == 0.5 else 1))
    write("step", step=step, tokens=128 * step, seconds=step)
    if step % 2 == 0:
        write("evaluation", step=step, bits_per_byte=5 - 100 * rate * step + seed / 100, seconds=step)
'''
SWEEP = """
recipe: small.yaml
set: {data.source: stories.txt}
vary: {train.learning_rate: [1e-2, 1e-4, 5]}
seeds: [0, 1]
"""
COMMAND = """
import sys
from pathlib import Path
from talewright.scaling.sweep import study, worker
worker.TRAIN, worker.POLL, worker.REPORT = (sys.executable, str(Path("train.py").resolve())), 0.02, 0.02
from talewright.cli import main
main(["sweep", *sys.argv[1:]])
"""


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A folder with sweep.yaml; the command, as of `talewright sweep`, that trains its trials by the stand-in."""
    monkeypatch.chdir(tmp_path)
    for name, text in {"small.yaml": RECIPE, "train.py": TRAIN, "command.py": COMMAND, "sweep.yaml": SWEEP}.items():
        Path(name).write_text(text, encoding="utf-8")
    from talewright.scaling.sweep import worker

    monkeypatch.setattr(worker, "TRAIN", (sys.executable, str(tmp_path / "train.py")))
    monkeypatch.setattr(worker, "POLL", 0.02)
    monkeypatch.setattr(worker, "REPORT", 0.02)
    return [sys.executable, "command.py"]
