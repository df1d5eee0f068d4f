"""A short training with each real experiment tracker, offline, and a resumed one: what it stored is read back."""

from __future__ import annotations

import html
import importlib
import json
import sqlite3
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from talewright.run.log import read_log
from tests.train.conftest import train_small


@dataclass
class Stored:
    """What a tracker has on the disk."""

    numbers: dict[tuple[str, int], float] = field(default_factory=dict)
    """By metric and step."""
    samples: set[str] = field(default_factory=set)
    runs: set[tuple[str, str]] = field(default_factory=set)
    """Name and id."""
    width: Any = None
    """The model's, in the recipe."""


def wandb_records(run: Path) -> Iterator[Any]:
    """The records of offline runs. A .wandb file holds blocks of 32 KiB of records: checksum, size, kind, bytes."""
    record = importlib.import_module("wandb.proto.wandb_internal_pb2").Record
    for file in sorted(run.glob("wandb/offline-run-*/*.wandb")):
        data, at, whole = file.read_bytes(), 7, b""
        while at + 7 <= len(data):
            if (left := 32768 - at % 32768) < 7:
                at += left
                continue
            _, size, kind = struct.unpack("<IHB", data[at : at + 7])
            whole, at = whole + data[at + 7 : at + 7 + size], at + 7 + size
            if kind in (1, 4):  # a whole record, or the last part of one
                yield record.FromString(whole)
                whole = b""


def stored_by_wandb(run: Path) -> Stored:
    stored = Stored()
    for record in wandb_records(run):
        if record.run.run_id:
            stored.runs.add((record.run.display_name, record.run.run_id))
            config = {update.key: json.loads(update.value_json) for update in record.run.config.update}
            stored.width = config["model"]["d_model"]
        values = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        stored.numbers |= {(name, values["training_step"]): value for name, value in values.items()}
    pages = [path.read_text() for path in run.glob("wandb/*/files/media/html/*.html")]
    stored.samples = {html.unescape(page.partition("<pre>")[2].partition("</pre>")[0]) for page in pages}
    return stored


def stored_by_trackio(run: Path) -> Stored:
    stored = Stored()
    with sqlite3.connect(run.parent / "trackio" / "talewright.db") as database:
        for name, number, step, text in database.execute("SELECT run_name, run_id, step, metrics FROM metrics"):
            values = json.loads(text)
            stored.runs.add((name, number))
            stored.samples |= {values.pop("sample")["_value"]} if "sample" in values else set()
            stored.numbers |= {(key, step): value for key, value in values.items()}
        (config,) = database.execute("SELECT config FROM configs").fetchone()
    stored.width = json.loads(config)["model"]["d_model"]
    return stored


def stored_by_mlflow(run: Path) -> Stored:
    client = importlib.import_module("mlflow").MlflowClient()
    stored = Stored()
    for each in client.search_runs([client.get_experiment_by_name("talewright").experiment_id]):
        assert each.info.status == "FINISHED"
        stored.runs.add((each.info.run_name, each.info.run_id))
        stored.width = int(each.data.params["model.d_model"])
        for name in each.data.metrics:
            history = client.get_metric_history(each.info.run_id, name)
            stored.numbers |= {(name, metric.step): metric.value for metric in history}
    stored.samples = {path.read_text() for path in run.parent.rglob("samples/step-*.txt")}
    return stored


READERS: dict[str, Callable[[Path], Stored]] = {
    "wandb": stored_by_wandb,
    "trackio": stored_by_trackio,
    "mlflow": stored_by_mlflow,
}


@pytest.mark.parametrize("name", READERS)
def test_a_tracker_stores_the_figures_of_a_run_and_its_continuation(name, small, small_corpus, tmp_path, monkeypatch):
    variables = {
        "WANDB_MODE": "offline",
        "TRACKIO_DIR": str(tmp_path / "trackio"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
    }
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    for variable in ("WANDB_PROJECT", "TRACKIO_PROJECT", "TRACKIO_SPACE_ID", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)  # MLflow writes texts below
    pytest.importorskip(name, reason=f"{name} is not installed (the extra {name})", exc_type=ImportError)
    train_small(small(train={"max_steps": 4, "loggers": [name]}), small_corpus, tmp_path / "story")
    train_small(small(train={"max_steps": 8, "loggers": [name]}), small_corpus, tmp_path / "story", resume=True)

    stored = READERS[name](tmp_path / "story")
    events = [event for event in read_log(tmp_path / "story" / "log.jsonl") if event["event"] in ("step", "evaluation")]
    assert {event["step"] for event in events} == set(range(9))
    for event in events:
        for figure in event.keys() & {"loss", "learning_rate", "perplexity"}:
            found = stored.numbers[f"{event['event']}/{figure}", event["step"]]
            assert found == pytest.approx(event[figure], rel=1e-6)
    assert len(stored.runs) == 1  # the resumed training went on with the same run
    assert next(iter(stored.runs))[0] == "story"
    assert stored.width == 16
    samples = [json.loads(line)["text"] for line in (tmp_path / "story" / "samples.jsonl").read_text().splitlines()]
    assert len(samples) == 3
    assert stored.samples == set(samples)
