"""Disks that are full or not to be written, for real: what was there stays, partial files go, training continues."""

from __future__ import annotations

import io
import json
import re
import shutil
from pathlib import Path

import pytest
from benchmarks.killed import differences

from talewright.cli import main
from talewright.run.checkpoint import UnsavedError, check
from talewright.run.log import LineFile, RunLog
from talewright.run.retention import checkpoint_folder, steps
from talewright.run.trackers import Trackers
from talewright.train.preflight import state_bytes
from tests.disk import fill, mounted
from tests.train.conftest import train_small, write_stories

RUN = {"max_steps": 24, "evaluate_every": 4, "checkpoint_every": 4, "keep": 9}


@pytest.fixture(scope="module")
def whole(small_values, small_corpus, tmp_path_factory) -> Path:
    """The run of which nothing was ever in the way."""
    from talewright.config import recipe_from_dict

    folder = tmp_path_factory.mktemp("whole") / "run"
    train_small(recipe_from_dict({**small_values, "train": {**small_values["train"], **RUN}}), small_corpus, folder)
    return folder


def test_a_disk_that_is_full_for_a_while_costs_checkpoints_and_nothing_else(small, small_corpus, tmp_path, whole):
    shown = io.StringIO()
    with mounted(tmp_path / "disk", "size=2m") as disk:

        def at_evaluation(number: int) -> None:
            if number == 2:
                fill(disk)
            elif number == 4:
                (disk / "filler").unlink()

        train_small(small(train=RUN), small_corpus, disk / "run", at_evaluation=at_evaluation, shown=shown)
        found = re.search(
            r"cannot save \S+step-8: .*[Nn]o space left.*It needs ([\d,]+) bytes, and ([\d,]+) are free;",
            shown.getvalue(),
        )
        assert found, shown.getvalue()
        needed, free = (int(number.replace(",", "")) for number in found.groups())
        estimated = state_bytes(small())
        assert estimated < needed < 1.05 * estimated  # and the optimizer's step counts
        assert free < needed
        assert "Training continues, and the next save tries again" in shown.getvalue()
        assert steps(disk / "run") == [4, 16, 20, 24]
        assert [check(checkpoint_folder(disk / "run", step)) for step in steps(disk / "run")] == [None] * 4
        assert not list((disk / "run" / "checkpoints").glob(".*"))
        assert differences(whole, disk / "run") == []
        events = [json.loads(line) for line in (disk / "run" / "log.jsonl").read_text().splitlines()]
        assert [event["step"] for event in events if event["event"] == "unsaved"] == [8, 12]


def test_a_disk_that_is_full_at_the_end_is_said_and_the_run_goes_on_from_before(small, small_corpus, tmp_path, whole):
    with mounted(tmp_path / "disk", "size=2m") as disk:

        def at_evaluation(number: int) -> None:
            if number == 5:
                fill(disk)

        with pytest.raises(UnsavedError, match=r"cannot save .*step-24: .*; earlier checkpoints are unharmed"):
            train_small(small(train=RUN), small_corpus, disk / "run", at_evaluation=at_evaluation)
        assert steps(disk / "run") == [4, 8, 12, 16]
        assert not list((disk / "run" / "checkpoints").glob(".*"))
        (disk / "filler").unlink()
        train_small(small(train=RUN), small_corpus, disk / "run", resume=True)
        assert differences(whole, disk / "run") == []


def test_checkpoints_that_cannot_be_written_for_a_while(small, small_corpus, tmp_path, whole):
    """A read-only file system comes over the folder of checkpoints, and goes."""
    shown, run, over = io.StringIO(), tmp_path / "run", None

    def at_evaluation(number: int) -> None:
        nonlocal over
        if number == 2:
            over = mounted(run / "checkpoints", "ro")
            over.__enter__()
        elif number == 4 and over is not None:
            over.__exit__(None, None, None)
            over = None

    try:
        train_small(small(train=RUN), small_corpus, run, at_evaluation=at_evaluation, shown=shown)
    finally:
        if over is not None:
            over.__exit__(None, None, None)
    assert "step-8: Read-only file system" in shown.getvalue()
    assert steps(run) == [4, 16, 20, 24]
    assert differences(whole, run) == []


def test_lines_that_a_full_disk_does_not_take_are_kept_and_none_is_torn(tmp_path, caplog):
    with mounted(tmp_path / "disk", "size=64k") as disk:
        log = RunLog(disk)
        filler = fill(disk)
        for step in range(3000):
            log.write("step", step=step, loss=0.5)
        assert caplog.messages == [
            "cannot write the log: No space left on device. Training continues; its lines are kept"
        ]
        assert (disk / "log.jsonl").read_bytes()[-1:] in (b"\n", b"")
        assert log.events.pending
        filler.unlink()
        log.events.pending[:] = log.events.pending[:20_000]  # the disk has 64 KB in all
        log.events.pending[:] = log.events.pending[: log.events.pending.rindex(b"\n") + 1]
        log.write("end")
        log.close()
        events = [json.loads(line) for line in (disk / "log.jsonl").read_text().splitlines()]
        assert [event["step"] for event in events[:-1]] == list(range(len(events) - 1))
        assert len(events) > 300
        assert len(caplog.messages) == 1


def test_lines_that_never_fit_the_disk_are_counted_at_the_end(tmp_path, caplog):
    with mounted(tmp_path / "disk", "size=16k") as disk:
        log = RunLog(disk)
        fill(disk)
        for step in range(100):
            log.write("step", step=step, text="x" * 100)
        log.close()
        written = (disk / "log.jsonl").read_text().count("\n")
        assert caplog.messages[1] == f"the last {100 - written} lines of {disk / 'log.jsonl'} could not be written"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_tensorboard_on_a_full_disk_stops_nothing(tmp_path, caplog):
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    with mounted(tmp_path / "disk", "size=128k") as disk:
        (disk / "tensorboard").mkdir()
        log = RunLog(disk, Trackers(["tensorboard"], disk))
        for step in range(400):
            if step == 10:
                fill(disk)
            log.write("step", step=step, loss=0.5)
            if step % 50 == 0:
                log.sync()
        log.close()
    assert sum("tensorboard gets no more metrics" in message for message in caplog.messages) == 1


def test_a_file_is_never_shortened_below_what_was_there(tmp_path):
    (tmp_path / "lines").write_text('{"step": 1}\n')
    lines = LineFile(tmp_path / "lines")
    lines.append({"step": 2})
    lines.sync()
    lines.close()
    assert (tmp_path / "lines").read_text() == '{"step": 1}\n{"step": 2}\n'


SMALL = """
model: {n_layers: 1, n_heads: 2, d_model: 64, d_ff: 128, vocab_size: 300, context_length: 32}
train: {micro_batch: 4, max_steps: 3, evaluate_every: 1, checkpoint_every: 1, precision: fp32, compile: false}
"""


@pytest.fixture
def command(tmp_path, monkeypatch):
    """A command that trains, without the name of the run folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(tmp_path / "cache"))
    Path("small.yaml").write_text(SMALL)
    write_stories(Path("stories.txt"), 120)
    return ["train", "--recipe", "small.yaml", "--data", "stories.txt", "--out"]


def refused(command: list[str], capsys) -> str:
    with pytest.raises(SystemExit) as left:
        main(command)
    assert left.value.code == 2
    return capsys.readouterr().err


def test_a_run_that_would_not_fit_the_disk_is_refused_before_it_begins(command, tmp_path, capsys):
    with mounted(tmp_path / "disk", "size=1m") as disk:
        said = refused([*command, str(disk / "run")], capsys)
        found = re.search(r"needs ([\d,]+) bytes for its checkpoints and its log, and ([\d,]+) are free", said)
        assert found, said
        assert int(found[2].replace(",", "")) == shutil.disk_usage(disk).free
        assert list(disk.iterdir()) == []
        main([*command, str(disk / "run"), "--model.d-model", "8", "--model.d-ff", "16"])


def test_curves_that_cannot_be_written_do_not_fail_a_run_that_is_trained(command, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "plots").write_text("a file where the folder should be")
    main([*command, "run"])
    shown = capsys.readouterr()
    assert "the curves cannot be drawn: cannot write" in shown.err
    assert "best validation loss" in shown.err
    assert shown.out.strip() == "run"


def test_a_folder_that_is_read_only_is_refused_before_anything_is_trained(command, tmp_path, capsys):
    with mounted(tmp_path / "disk", "ro") as disk:
        assert "Read-only file system; name another by --out" in refused([*command, str(disk / "run")], capsys)
