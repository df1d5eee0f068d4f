"""The demo: trains once, is used again, and says when the model has not learned."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from talewright import cli
from talewright.config import Recipe, load_recipe
from talewright.run.folder import RunFolder
from tests.train.conftest import write_stories

SMALL = """
model: {n_layers: 1, n_heads: 1, d_model: 16, d_ff: 32, vocab_size: 300, context_length: 32}
train: {learning_rate: 1e-2, micro_batch: 4, max_steps: 4, max_minutes: 1.5, precision: fp32, prompts: [Tom]}
"""


@pytest.fixture(autouse=True)
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo with a tiny model that trains for four steps."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(tmp_path / "cache"))
    write_stories(tmp_path / "stories.txt", 60)
    (tmp_path / "small.yaml").write_text(SMALL)

    def load(name: str, values: Mapping[str, str]) -> Recipe:
        assert (name, values["name"]) == ("quickstart", "demo")
        load_recipe(name, values)  # the values fit the real recipe
        recipe = load_recipe("small.yaml", {"name": "demo", "data.source": "stories.txt"})
        minutes = {"max_minutes": float(values["train.max_minutes"])} if "train.max_minutes" in values else {}
        return dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, **minutes))

    monkeypatch.setattr("talewright.cli.demo.load_recipe", load)


def run_demo(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[str, str]:
    cli.main(["demo", *options])
    printed = capsys.readouterr()
    return printed.out, printed.err


def test_a_demo_scores_generates_and_says_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = run_demo(capsys)
    goal, _, rest = err.partition("Now yours, from scratch")
    assert "The model that comes with Talewright learned from TinyStories for" in goal
    assert rest
    assert len(out.split("How it learned")[0].split()) > 40  # its story
    assert {"untrained", "trained"} <= {line.split()[0] for line in out.splitlines() if line.strip()}
    assert all(f"\n{prompt}" in out for prompt in ("Once upon a time", "One day, a small dog found"))
    assert "validation stories, before and after training" in err
    assert 'generate runs/demo-1 --prompt "One day, a dragon"' in err
    assert "train --data stories.txt --minutes 20" in err
    assert Path("runs/demo-1/plots/training_curves.png").exists()


def test_a_model_that_has_not_learned_is_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    _, err = run_demo(capsys)
    assert "This model has not learned enough: it made 4 steps" in err
    assert "demo --minutes 10\n" in err


def test_a_second_demo_uses_the_first_ones_model_unless_another_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    run_demo(capsys)
    log = Path("runs/demo-1/log.jsonl").read_bytes()
    _, err = run_demo(capsys)
    assert "runs/demo-1 is the model of an earlier demo. To train another: " in err
    assert "comes with Talewright" not in err
    assert "demo --again\n" in err
    assert Path("runs/demo-1/log.jsonl").read_bytes() == log
    run_demo(capsys, "--again")
    assert Path("runs/demo-2").is_dir()
    _, err = run_demo(capsys, "--minutes", "9")  # what a demo recommends when its model has not learned
    assert "runs/demo-2 was given" in err
    assert RunFolder("runs/demo-3").recipe.train.max_minutes == 9
    _, err = run_demo(capsys, "--out", "elsewhere")
    assert RunFolder.is_run(Path("elsewhere"))
    assert "runs/demo-3" not in err


def test_a_stopped_demo_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    run_demo(capsys)
    log = Path("runs/demo-1/log.jsonl")
    events = [json.loads(line) for line in log.read_text().splitlines()]
    kept = [event for event in events if not (event["event"] == "evaluation" and event["step"] == 4)]
    log.write_text("".join(json.dumps(event) + "\n" for event in kept))
    _, err = run_demo(capsys)
    assert "runs/demo-1 was stopped; its training continues" in err
