"""The same seeds give the same losses and stories as the version that recorded `golden.json`.

Each recipe trains 50 steps of its own model, optimizer and schedule in fp32 on bundled stories, in small batches. The
tolerance holds across processors, which round differently; a change of arithmetic shows far above it.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import talewright

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text(encoding="utf-8"))
SETTINGS = {
    "data.source": "bundled",
    "data.limit": "3000",
    "train.max_steps": "50",
    "train.micro_batch": "2",
    "train.accumulation": "1",
    "train.precision": "fp32",
    "train.compile": "false",
    "train.evaluate_every": "50",
    "train.evaluate_stories": "50",
    "train.accelerator": "cpu",
}


@pytest.mark.parametrize("name", GOLDEN)
def test_losses_and_stories_are_those_of_earlier_versions(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("golden")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TALEWRIGHT_CACHE", str(tmp_path_factory.getbasetemp() / "golden-cache"))
        settings = {**SETTINGS, **GOLDEN[name].get("settings", {})}
        run = talewright.fit(talewright.load_recipe(name, settings), folder / "run")
    events = [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    golden = GOLDEN[name]
    losses = [event["loss"] for event in events if event["event"] == "step"]
    assert losses == pytest.approx(golden["losses"], rel=1e-3)
    assert losses[:5] == pytest.approx(golden["losses"][:5], rel=1e-5)
    assert [e["loss"] for e in events if e["event"] == "evaluation" and e["step"]] == pytest.approx(
        golden["evaluation"], rel=1e-3
    )
    greedy = talewright.Sampling(temperature=0.0, max_new_tokens=40)
    assert run.generate("Once upon a time", greedy).text == golden["greedy"]
    sampled = talewright.Sampling(temperature=0.8, top_p=0.95, max_new_tokens=40, seed=1)
    assert run.generate("Once upon a time", sampled).text == golden["sampled"]
