"""The list of runs."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from talewright import cli
from talewright.cli.runs import runs_table
from talewright.config import load_recipe, recipe_to_yaml
from talewright.run.listing import RunSummary, list_runs
from talewright.run.lock import lock_run


def write_run(path: Path, events: list[dict[str, object]], age: float = 0.0) -> Path:
    path.mkdir(parents=True)
    (path / "recipe.yaml").write_text(recipe_to_yaml(load_recipe("quickstart")))
    (path / "log.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    os.utime(path / "log.jsonl", (1e9 - age, 1e9 - age))
    return path


def step(number: int) -> dict[str, object]:
    return {"event": "step", "step": number, "loss": 3.0}


def evaluation(number: int, loss: float) -> dict[str, object]:
    return {"event": "evaluation", "step": number, "loss": loss, "bits_per_byte": loss / 2}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


def test_a_run_is_listed_with_its_last_step_and_its_best_evaluation() -> None:
    write_run(Path("runs/a"), [step(1), evaluation(1, 2.0), step(2), evaluation(2, 2.5)])
    (found,) = list_runs([Path("runs")])
    assert (found.path, found.recipe, found.parameters) == ("runs/a", "quickstart", 865_152)
    assert (found.step, found.loss, found.bits_per_byte, found.state) == (2, 2.0, 1.0, "finished")


def test_the_state_says_whether_a_run_trains_was_stopped_or_is_done() -> None:
    run = write_run(Path("runs/a"), [step(1), evaluation(1, 2.0), step(2)])
    assert list_runs([run])[0].state == "stopped"
    with lock_run(run):
        assert list_runs([run])[0].state == "training"
    with (run / "log.jsonl").open("a") as log:
        log.write(json.dumps(evaluation(2, float("nan"))) + "\n" + json.dumps(step(3))[:-9])  # torn
    found = list_runs([run])[0]
    assert (found.step, found.loss, found.state) == (2, 2.0, "stopped")


def test_a_damaged_run_is_listed_with_the_reason_and_hides_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    write_run(Path("runs/good"), [step(1), evaluation(1, 2.0)])
    write_run(Path("runs/bad"), [step(1)])
    Path("runs/bad/recipe.yaml").write_text("model: {n_layers: x}")
    Path("runs/empty/checkpoints").mkdir(parents=True)
    Path("runs/unrelated").mkdir()
    cli.main(["runs", "--json"])
    states = {run["path"]: run["state"] for run in json.loads(capsys.readouterr().out)}
    assert states == {"runs/good": "finished", "runs/bad": "damaged", "runs/empty": "damaged"}
    cli.main(["runs"])
    shown = capsys.readouterr().out
    assert "model.n_layers is x" in shown
    assert "runs/empty is not a run folder: it has no recipe.yaml" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_a_log_that_may_not_be_read_and_a_folder_that_may_not_be_entered_hide_no_other_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("open", "closed", "entered"):
        write_run(Path("runs") / name, [step(2), evaluation(2, 3.0)])
    exists, open_file = Path.exists, Path.open

    def refuse(path: Path, closed: str) -> None:
        if closed in path.parts:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", lambda path: refuse(path, "entered") or exists(path))
    monkeypatch.setattr(Path, "open", lambda path, *a, **k: refuse(path, "closed") or open_file(path, *a, **k))
    found = {run.path: run.problem for run in list_runs([Path("runs")])}
    assert found.pop("runs/open") is None
    assert found.keys() == {"runs/closed"}
    assert "Permission denied" in str(found["runs/closed"])


def test_runs_are_sorted_by_age_and_those_of_sweeps_are_found() -> None:
    write_run(Path("runs/old"), [step(1)], age=500)
    write_run(Path("sweeps/mine/runs/trial-000"), [step(1)], age=100)
    write_run(Path("sweeps/mine/runs/trial-001"), [step(1)], age=900)
    found = list_runs([Path("runs"), Path("sweeps/mine"), Path("runs/old")])
    assert [run.path for run in found] == ["sweeps/mine/runs/trial-000", "runs/old", "sweeps/mine/runs/trial-001"]


def test_a_narrow_terminal_leaves_out_columns_but_no_part_of_a_path() -> None:
    path = "sweeps/learning-rates-widths/runs/trial-000"
    run = RunSummary(
        path=path, recipe="story-125m", parameters=10**8, step=9_999, loss=2.0, bits_per_byte=1.0, changed=0.0,
        state="training",
    )  # fmt: skip
    wide, narrow = (runs_table([run], 90.0, width).splitlines() for width in (120, 80))
    assert wide[0].split() == ["run", "recipe", "size", "step", "loss", "bits/byte", "age", "state"]
    assert wide[1].split() == [path, "story-125m", "100M", "9,999", "2.000", "1.000", "90", "s", "training"]
    assert path in narrow[1]
    assert max(map(len, narrow)) <= 80
    assert narrow[0].split()[-3:] == ["bits/byte", "age", "state"]


def test_no_runs_and_no_folder_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["runs"])
    assert "no runs in runs/ and sweeps/. `talewright demo` makes a first one" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["runs", "absent"])
    assert "absent is not a folder" in capsys.readouterr().err


def test_a_hundred_runs_are_listed_without_reading_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(100):
        write_run(Path(f"runs/{number}"), [*map(step, range(1, 300)), evaluation(299, 2.0)])
    parsed, loads = [], json.loads
    monkeypatch.setattr("talewright.run.listing.json.loads", lambda line: parsed.append(line) or loads(line))
    assert len(list_runs([Path("runs")])) == 100
    assert len(parsed) == 200
