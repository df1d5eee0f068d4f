"""The study of a sweep: what it queues, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="the extra `sweep` is not installed")
import optuna
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from talewright.errors import UserError
from talewright.scaling.sweep.reading import Range, Sweep, read_sweep
from talewright.scaling.sweep.results import rows_of
from talewright.scaling.sweep.study import open_study, suggest, trials_of

RANGES: dict[str, tuple[str, ...] | Range] = {
    "train.learning_rate": Range(1e-4, 1e-2, True),
    "model.n_layers": Range(1.0, 3.0, whole=True),
}


def queued(study: optuna.Study) -> list[dict]:
    return [trial.system_attrs["fixed_params"] for trial in study.trials]


def test_a_grid_queues_every_seed_of_a_point_before_the_next_point(stub):
    sweep = read_sweep(Path("sweep.yaml"))
    expected = [{"train.learning_rate": rate, "seed": seed} for rate in ("1e-2", "1e-4", "5") for seed in (0, 1)]
    assert queued(open_study(sweep, Path("out"))) == expected
    more = expected + [{"train.learning_rate": rate, "seed": 2} for rate in ("1e-2", "1e-4", "5")]
    assert queued(open_study(replace(sweep, seeds=(0, 1, 2)), Path("out"))) == more


def test_random_points_are_the_same_every_time_and_more_come_after_them(stub):
    """Those of the last version that drew them by `Study.optimize`, which it wrote into its folders."""
    sweep = Sweep(recipe="small.yaml", set={}, vary=RANGES, sampler="random", trials=2)
    first = queued(open_study(sweep, Path("out")))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(lambda trial: suggest(trial, sweep) or 0.0, n_trials=3)
    drawn = [trial.params | {"seed": 0} for trial in study.trials]
    assert first == drawn[:2]
    assert queued(open_study(replace(sweep, trials=3), Path("out"))) == drawn


def test_tpe_learns_from_the_trials_before(stub):
    sweep = Sweep(recipe="small.yaml", set={}, vary=RANGES, sampler="tpe", trials=60)
    study = open_study(sweep, Path("out"))
    assert queued(study) == [{"seed": 0}] * 60
    rates = []
    for _ in range(60):
        trial = study.ask()
        suggest(trial, sweep)
        rates.append(trial.params["train.learning_rate"])
        study.tell(trial, -rates[-1])
    # A fifth of the range: random draws give 6 of 30. Workers must not draw alike, so the sampler has no seed.
    assert sum(rate > 4e-3 for rate in rates[30:]) > 14
    assert len(open_study(sweep, Path("out")).trials) == 60
    assert len(open_study(replace(sweep, seeds=(0, 1)), Path("out")).trials) == 120
    assert queued(open_study(replace(sweep, seeds=(0, 1), trials=61), Path("out")))[120:] == [{"seed": 0}]


def test_points_that_are_nearly_the_same_each_have_every_seed(stub):
    sweep = Sweep(recipe="small.yaml", set={}, vary=RANGES, sampler="tpe", trials=2)
    study = open_study(sweep, Path("out"))
    for rate in (0.01, 0.01 - 1e-9):
        study.enqueue_trial({"seed": 0, "train.learning_rate": rate, "model.n_layers": 1})
    for _ in range(4):
        trial = study.ask()
        suggest(trial, sweep)
        study.tell(trial, 1.0)
    points = len({tuple(sorted(trial.params.items())) for trial in study.trials})
    again = open_study(replace(sweep, seeds=(0, 1)), Path("out"))
    assert len([each for each in queued(again) if each["seed"] == 1]) == points


def test_a_folder_of_the_version_before_is_continued(stub):
    """Its plan is a file, `sampler` is called `search`, and its trials have no attributes."""
    from talewright.cli import main

    main(["sweep", "sweep.yaml", "--out", "out"])
    rows = rows_of(trials_of(open_study(read_sweep(Path("sweep.yaml")), Path("out")), Path("out")))
    for number, run in enumerate(sorted(Path("out/runs").glob("*/"))):
        run.with_name(f"{run.name}.out").rename(f"out/runs/trial-{number:03d}.out")
        run.rename(f"out/runs/trial-{number:03d}")
    Path("out/runs/trial-005").rmdir()  # not begun
    Path("out/runs/trial-005.out").unlink()
    out, points = Path("out"), [(rate, seed) for rate in ("1e-2", "1e-4", "5") for seed in (0, 1)]
    (out / "journal.log").unlink()
    study = optuna.create_study(storage=JournalStorage(JournalFileBackend("out/journal.log")), study_name="sweep")
    space = {
        "train.learning_rate": CategoricalDistribution(("1e-2", "1e-4", "5")),
        "seed": IntDistribution(0, 2**63 - 1),
    }
    for rate, seed in points:
        study.enqueue_trial({"train.learning_rate": rate, "seed": seed}, skip_if_exists=True)
    for number in range(5):  # the fifth was interrupted, the sixth waits
        trial = study.ask(space)
        if number < 4:
            log = (out / f"runs/trial-{number:03d}/log.jsonl").read_text().splitlines()
            study.tell(trial, json.loads(log[-1])["bits_per_byte"])
    plan = {"recipe": "small.yaml", "set": {"data.source": "stories.txt"}, "search": "grid", "trials": None}
    plan |= {"vary": {"train.learning_rate": ["1e-2", "1e-4", "5"]}, "points": {}, "seeds": [0, 1]}
    (out / "sweep.json").write_text(json.dumps(plan))
    stamps = [run.stat().st_mtime_ns for run in sorted(out.glob("runs/trial-00[0-3]*"))]
    main(["sweep", "sweep.yaml", "--out", "out"])
    again = trials_of(open_study(read_sweep(Path("sweep.yaml")), out), out)
    assert rows_of(again) == rows
    names = [*(f"trial-{number:03d}" for number in range(5)), "learning_rate-5-seed-1"]
    assert [trial.run.name for trial in again] == names
    assert {run.name for run in out.glob("runs/*/")} == set(names)
    assert [(trial.number, trial.state) for trial in again] == [(n, "complete" if n < 4 else "fail") for n in range(6)]
    assert [run.stat().st_mtime_ns for run in sorted(out.glob("runs/trial-00[0-3]*"))] == stamps


@pytest.mark.parametrize(
    ("change", "name"),
    [({"set": {}}, "set"), ({"recipe": "mini-2m"}, "recipe"), ({"vary": RANGES, "sampler": "random"}, "vary")],
)
def test_another_sweep_is_refused(stub, change, name):
    sweep = read_sweep(Path("sweep.yaml"))
    open_study(sweep, Path("out"))
    with pytest.raises(UserError, match=f"out holds a sweep with another `{name}`"):
        open_study(replace(sweep, **change), Path("out"))
    open_study(replace(sweep, pruner={"kind": "median"}, seeds=(4,)), Path("out"))


def test_what_cannot_be_opened_is_reported_in_one_sentence(stub, tmp_path):
    sweep = read_sweep(Path("sweep.yaml"))
    Path("full").mkdir()
    Path("full/letter.txt").touch()
    with pytest.raises(UserError, match="full holds something else"):
        open_study(sweep, Path("full"))
    with pytest.raises(UserError, match=r"cannot open the study in nosuch://db: .*nosuch"):
        open_study(sweep, Path("a"), "nosuch://db")
    with pytest.raises(UserError, match=r"cannot write .*none/b\.log"):
        open_study(sweep, Path("b"), "none/b.log")
    with pytest.raises(UserError, match=r"pruner: .*n_start"):
        open_study(replace(sweep, pruner={"kind": "median", "n_start": 3}), Path("c"))
    Path("damaged.log").write_text("{\n{}\n")
    with pytest.raises(UserError, match=r"cannot open the study in damaged\.log"):
        open_study(sweep, Path("d"), "damaged.log")
    Path("out/runs/trial-000").mkdir(parents=True)
    Path("out/base.yaml").touch()
    with pytest.raises(UserError, match="the runs in out belong to another storage"):
        open_study(sweep, Path("out"))


@pytest.mark.parametrize(
    ("earlier", "number", "said"), [(1, 20, True), (1, None, False), (0, 20, False), (4, 20, False)]
)
def test_trials_that_an_earlier_version_scored_on_other_stories_are_named(stub, caplog, earlier, number, said):
    from talewright.cli import main

    main(["sweep", "sweep.yaml", "--out", "out"])
    logs = [log for log in sorted(Path("out/runs").glob("*/log.jsonl")) if '"evaluation"' in log.read_text()]
    assert len(logs) == 4
    for index, log in enumerate(logs):
        start = {"event": "run", "recipe": {"train": {"evaluate_stories": number}}}
        newer = {} if index < earlier else {"evaluated": {"stories": 20, "of": 100}}
        log.write_text(json.dumps(start | newer) + "\n" + log.read_text())
    caplog.clear()
    main(["sweep", "sweep.yaml", "--out", "out"])
    assert any("they cannot be compared" in message for message in caplog.messages) == said
