"""The checkpoints of a run, and what becomes of damage, on real folders."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from talewright.errors import UserError
from talewright.run.checkpoint import FILES, TrainState, check, save_checkpoint
from talewright.run.retention import apply_retention, find_checkpoint, recover, steps, whole_checkpoint
from tests.run.test_checkpoint import trained


@pytest.fixture(scope="module")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with checkpoints 2 (the best), 4 and 5."""
    run = tmp_path_factory.mktemp("run")
    model, optimizer = trained(0)
    for step in (1, 2, 3, 4, 5):
        state = TrainState(step=step, best_step=min(step, 2))
        save_checkpoint(run, model, optimizer, state)
        apply_retention(run, state, 2)
    return run


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    """A copy of it, to be spoiled."""
    shutil.copytree(trained_run, tmp_path / "run")
    return tmp_path / "run"


def spoil(folder: Path, name: str, damage: str) -> None:
    path = folder / name
    data = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "flipped":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    else:
        path.write_bytes(data[: len(data) // 2] if damage == "cut" else bytes(len(data)))


def test_best_and_last_are_named_and_old_ones_leave(run: Path) -> None:
    assert steps(run) == [2, 4, 5]
    assert find_checkpoint(run, "best").name == "step-2"
    assert find_checkpoint(run, "last").name == "step-5"
    assert find_checkpoint(run, "4").name == "step-4"
    with pytest.raises(UserError, match="no checkpoint 3; it has best, last, 2, 4, 5"):
        find_checkpoint(run, "3")
    names = {path.name for path in (run / "checkpoints").iterdir()}
    assert names == {"best", "last", "step-2", "step-4", "step-5"}


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
@pytest.mark.parametrize("damage", ["cut", "zeros", "flipped", "missing"])
def test_a_damaged_checkpoint_is_renamed_and_the_one_before_it_used(
    run: Path, name: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(run / "checkpoints" / "step-5", name, damage)
    assert recover(run) == run / "checkpoints" / "step-4"
    hash_changed = (name, damage) == ("manifest.json", "flipped")  # then it is the file that seems altered
    assert hash_changed or f"step-5 is damaged: {name}" in caplog.messages[0]
    assert "Renamed to damaged-step-5" in caplog.messages[0]
    assert caplog.messages[1] == "Resuming from step-4, the newest whole checkpoint"
    assert steps(run) == [2, 4]
    assert (run / "checkpoints" / "damaged-step-5").is_dir()
    assert find_checkpoint(run, "last").name == "step-4"
    assert find_checkpoint(run, "best").name == "step-2"


def test_a_damaged_best_is_replaced_by_the_newest_whole_one(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    spoil(run / "checkpoints" / "step-2", FILES[0], "flipped")
    assert whole_checkpoint(run, "best").name == "step-5"
    assert caplog.messages == [
        f"{run}/checkpoints/step-2 is damaged: model.safetensors was altered. Using step-5 instead"
    ]
    assert steps(run) == [2, 4, 5]  # who only looks moves nothing
    assert recover(run) == run / "checkpoints" / "step-5"
    assert (run / "checkpoints" / "best").read_text() == "step-5\n"


def test_a_damaged_step_that_was_asked_for_is_refused(run: Path) -> None:
    spoil(run / "checkpoints" / "step-4", FILES[0], "cut")
    with pytest.raises(UserError, match=r"step-4 is damaged: .* bytes, not .*\. Whole checkpoints of this run: 2, 5"):
        whole_checkpoint(run, "4")


def test_where_all_are_damaged_it_is_said_before_the_run_starts_from_step_0(run: Path) -> None:
    for step in steps(run):
        spoil(run / "checkpoints" / f"step-{step}", FILES[2], "zeros")
    with pytest.raises(UserError, match=r"every checkpoint of .* is damaged. The same command .* from step 0"):
        recover(run)
    assert recover(run) is None


def test_a_half_made_checkpoint_is_never_taken(tmp_path: Path) -> None:
    half = tmp_path / "checkpoints" / ".step-9.partial"
    half.mkdir(parents=True)
    with pytest.raises(UserError, match="no checkpoint yet"):
        find_checkpoint(tmp_path, "last")
    assert recover(tmp_path) is None
    assert not half.exists()


def test_one_that_was_about_to_be_replaced_stands_again(run: Path) -> None:
    folder = run / "checkpoints" / "step-5"
    folder.rename(folder.with_name(".step-5.replaced"))
    assert recover(run) == folder
    shutil.copytree(folder, folder.with_name(".step-5.replaced"))
    assert recover(run) == folder
    assert sorted(path.name for path in folder.parent.glob(".*")) == []


def test_a_best_or_last_that_is_missing_is_said_when_another_replaces_it(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(run / "checkpoints" / "step-2")
    assert whole_checkpoint(run, "best").name == "step-5"
    assert whole_checkpoint(run, "last").name == "step-5"
    assert caplog.messages == [f"{run}/checkpoints/step-2 is missing. Using step-5 instead"]
    caplog.clear()
    shutil.rmtree(run / "checkpoints" / "step-5")
    assert recover(run) == run / "checkpoints" / "step-4"
    assert caplog.messages == [
        f"{run}/checkpoints/step-5, the last checkpoint, is missing. It is now step-4",
        f"{run}/checkpoints/step-2, the best checkpoint, is missing. It is now step-4",
    ]
    assert (whole_checkpoint(run, "best").name, len(caplog.messages)) == ("step-4", 2)


def test_a_copy_with_another_name_is_no_checkpoint(run: Path) -> None:
    folder = run / "checkpoints" / "step-5"
    folder.rename(folder.with_name("step-05"))
    shutil.copytree(run / "checkpoints" / "step-4", folder.with_name("step-4 copy"))
    assert steps(run) == [2, 4]
    assert whole_checkpoint(run, "last").name == "step-4"
    assert recover(run) == run / "checkpoints" / "step-4"


@pytest.mark.parametrize("named", ["step-99\n", "", "\0\xff", "step-²\n"])
def test_best_that_names_nothing_that_is_there_is_put_right(run: Path, named: str) -> None:
    (run / "checkpoints" / "best").write_bytes(named.encode("latin-1"))
    assert find_checkpoint(run, "best").name == "step-5"
    recover(run)
    assert find_checkpoint(run, "best").name == "step-2"
    assert check(find_checkpoint(run, "best")) is None


def test_a_checkpoint_that_may_not_be_read_keeps_its_name(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be whole: set aside, it would be lost to a run that begins again."""
    spoil(run / "checkpoints" / "step-5", FILES[0], "cut")
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(UserError, match=r"may not be read, so whether it is damaged is unknown\. Make it readable"):
        recover(run)
    assert steps(run) == [2, 4, 5]


def test_a_folder_of_checkpoints_that_may_not_be_read_is_not_an_empty_one(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    for opens in (steps, find_checkpoint, recover):
        with pytest.raises(UserError, match=r"checkpoints cannot be (read|repaired): Permission denied"):
            opens(run)
