"""Experiment trackers, with fake modules in place of theirs. Real ones: tests/train/test_trackers.py."""

from __future__ import annotations

import json
import math
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from talewright.errors import UserError
from talewright.run.log import RunLog
from talewright.run.trackers import Trackers, check_trackers


class FakeWandb:
    """Stands in for the module and for its run."""

    offline, url = False, "https://example.org/run"

    def __init__(self) -> None:
        self.options: list[dict[str, Any]] = []
        self.logged: list[dict[str, Any]] = []
        self.axis: tuple[str, str] | None = None
        self.finished, self.sync_dir = 0, ""

    def init(self, **options: Any) -> FakeWandb:
        self.options.append(options)
        return self

    def define_metric(self, name: str, step_metric: str) -> None:
        self.axis = (name, step_metric)

    def log(self, values: dict[str, Any]) -> None:
        self.logged.append(values)

    def finish(self) -> None:
        self.finished += 1

    @staticmethod
    def Settings(**options: Any) -> dict[str, Any]:  # noqa: N802
        return options

    @staticmethod
    def Html(text: str, inject: bool) -> str:  # noqa: N802
        assert not inject
        return text


@pytest.fixture
def wandb(monkeypatch) -> FakeWandb:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    return fake


def test_a_tracker_gets_the_numbers_the_recipe_and_the_samples(tmp_path, wandb):
    run = tmp_path / "story-0"
    run.mkdir()
    log = RunLog(run, Trackers(["wandb"], run, {"name": "story"}))
    log.write("run", recipe={})
    log.write("step", step=3, loss=0.5, gradient_norm=math.nan, note="text")
    log.sample(3, "Once", "Once <b>\nupon")
    log.close()
    options = wandb.options[0]
    assert (options["project"], options["name"], options["config"]) == ("talewright", "story-0", {"name": "story"})
    assert (options["resume"], options["dir"], options["settings"]["console"]) == ("allow", str(run), "off")
    assert wandb.axis == ("*", "training_step")
    numbers, sample = wandb.logged
    assert math.isnan(numbers.pop("step/gradient_norm"))
    assert numbers == {"step/loss": 0.5, "training_step": 3}
    assert sample == {"sample": "<pre>Once &lt;b&gt;\nupon</pre>", "training_step": 3}
    assert wandb.finished == 1


def test_a_resumed_run_continues_the_remote_run_of_its_folder(tmp_path, wandb, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    for name in ("a", "a", "b"):
        (tmp_path / name).mkdir(exist_ok=True)
        Trackers(["wandb"], tmp_path / name, after=5).close()
    first, again, other = (options["id"] for options in wandb.options)
    assert first == again != other
    assert json.loads((tmp_path / "a" / "trackers.json").read_text()) == {"wandb": first}
    assert {options["project"] for options in wandb.options} == {"mine"}


@pytest.mark.parametrize("method", ["init", "define_metric", "log", "finish"])
def test_a_tracker_that_fails_is_reported_once_and_left_out(method, tmp_path, wandb, monkeypatch, caplog):
    def fail(*args: Any, **options: Any) -> None:
        raise ConnectionError("no\nserver")

    monkeypatch.setattr(wandb, method, fail)
    log = RunLog(tmp_path, Trackers(["wandb"], tmp_path))
    for step in (1, 2, 3):
        log.write("step", step=step, loss=1.0)
        log.sample(step, "a", "ab")
        log.sync()
    log.close()
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == ["wandb gets no more metrics: no server. Training continues"]
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 3


def test_one_that_fails_does_not_take_another_with_it(tmp_path, wandb, monkeypatch):
    monkeypatch.setitem(sys.modules, "trackio", SimpleNamespace())  # has no init
    trackers = Trackers(["trackio", "wandb"], tmp_path)
    trackers.log_metrics({"step/loss": 1.0}, 1)
    assert wandb.logged == [{"step/loss": 1.0, "training_step": 1}]


def test_trackio_starts_a_new_run_in_a_new_folder_and_continues_it_in_the_same(tmp_path, monkeypatch, capfd):
    calls: list[Any] = []

    class Run:
        def log(self, values: dict[str, Any], step: int) -> None:
            calls.append((values, step))

        def finish(self) -> None:
            calls.append("finish")

    def init(project: str, **options: Any) -> Run:
        print("* Trackio project initialized")
        calls.append((project, options["name"], options["resume"]))
        return Run()

    monkeypatch.setitem(sys.modules, "trackio", SimpleNamespace(init=init, Markdown=lambda text: f"*{text}*"))
    run = tmp_path / "story-0"
    run.mkdir()
    for _ in range(2):
        trackers = Trackers(["trackio"], run)
        trackers.log_metrics({"step/loss": 0.5}, 2)
        trackers.log_text("Once", 2)
        trackers.close()
    logged = [({"step/loss": 0.5}, 2), ({"sample": "*Once*"}, 2), "finish"]
    assert calls[:4] == [("talewright", "story-0", "never"), *logged]
    assert calls[4:] == [("talewright", "story-0", "allow"), *logged]
    assert capfd.readouterr().out == ""  # the command's own output may be read by a program


def test_nothing_is_imported_that_was_not_asked_for(tmp_path, monkeypatch, caplog):
    for name in ("wandb", "trackio", "mlflow"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('imported')")
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    check_trackers(["wandb", "trackio", "mlflow"])
    log = RunLog(tmp_path, Trackers())
    log.write("step", step=1, loss=1.0)
    log.close()
    assert not (tmp_path / "trackers.json").exists()
    assert not caplog.messages
    Trackers(["mlflow"], tmp_path)
    assert caplog.messages == ["mlflow gets no more metrics: imported. Training continues"]


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr("talewright.run.trackers.find_spec", lambda name: None if name in ("wandb", "mlflow") else name)
    check_trackers([])
    check_trackers(["trackio"])
    with pytest.raises(UserError) as caught:
        check_trackers(["wandb", "trackio", "mlflow"])
    assert str(caught.value) == 'train.loggers needs wandb, mlflow: pip install "talewright[wandb,mlflow]"'
