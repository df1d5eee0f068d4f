"""Opening runs that are damaged, still training, imported, moved, or of another version."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch

import talewright
from talewright import api
from talewright.config import ModelConfig, OptimizerConfig, Recipe, TrainConfig, recipe_to_dict, recipe_to_yaml
from talewright.errors import UserError
from talewright.export.folder import check_free
from talewright.export.importers import write_run
from talewright.model.gpt import GPT
from talewright.run import RunFolder
from talewright.run import folder as folder_module
from talewright.run.checkpoint import TrainState, load_training, save_checkpoint
from talewright.run.draft import DRAFT
from talewright.run.folder import create_run
from talewright.run.new_folder import TakenError, new_run_path
from talewright.run.retention import apply_retention
from talewright.tokenizer import Tokenizer
from talewright.train.optimizer import make_optimizer

EARLIER = Path(__file__).parent / "run_of_0_1_0"
"""A run that version 0.1.0 trained, whose recipe has settings that were removed since."""
SHAPE = ModelConfig(n_layers=1, n_heads=2, d_model=8, d_ff=8, vocab_size=260, context_length=8)
RECIPE = Recipe(name="small", model=SHAPE, train=TrainConfig(max_steps=4))


def save(path: Path, step: int, best: int, newest: int = 2) -> None:
    """Save a checkpoint whose norm weights are all the step's number."""
    model = GPT(SHAPE)
    model.norm.weight.data.fill_(step)
    optimizer = make_optimizer(model, OptimizerConfig(), 1e-3)
    model(torch.zeros(1, 4, dtype=torch.long)).sum().backward()
    optimizer.step()
    model.norm.weight.data.fill_(step)
    state = TrainState(step=step, best_step=best)
    save_checkpoint(path, model, optimizer, state)
    apply_retention(path, state, newest)


def corpus_of(tokenizer: Tokenizer) -> Any:
    """What a new run reads of its corpus."""
    ids = np.array([5, 6, 5, 6])
    split = SimpleNamespace(n_tokens=len(ids), tokens=lambda start, stop: ids[start:stop])
    return SimpleNamespace(tokenizer=tokenizer, fingerprint="f", manifest={}, split=lambda name: split)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with checkpoints 2 (the best), 4 and 6."""
    path = tmp_path / "run"
    assert create_run(path, RECIPE, corpus_of(Tokenizer.load(EARLIER / "tokenizer"))) == RECIPE
    for step in (2, 4, 6):
        save(path, step, best=2)
    return path


def loaded_step(run: RunFolder, which: str = "best") -> tuple[int, str]:
    """The step that the weights are of, and the checkpoint that they are said to be of."""
    model, checkpoint = run.load_model(which, torch.device("cpu"))
    assert not model.training
    return int(model.norm.weight[0]), checkpoint.name


def test_checkpoints_are_opened_by_their_names(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    opened = RunFolder(run)
    assert opened.steps == [2, 4, 6]
    assert loaded_step(opened) == (2, "step-2")
    assert loaded_step(opened, "last") == (6, "step-6")
    assert loaded_step(opened, "4") == (4, "step-4")
    assert opened.recipe == RECIPE
    assert opened.metadata == {"source": RECIPE.data.source, "fingerprint": "f", "recognized": {}}
    assert caplog.messages == []
    with pytest.raises(UserError, match="no checkpoint 5; it has best, last, 2, 4, 6"):
        opened.load_model("5")


def test_what_is_not_a_run_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="absent is not a run folder: there is no such folder"):
        RunFolder(tmp_path / "absent")
    with pytest.raises(UserError, match=r"is not a run folder: it has no recipe\.yaml"):
        RunFolder(tmp_path)
    (tmp_path / "recipe.yaml").write_text(recipe_to_yaml(RECIPE))
    with pytest.raises(UserError, match="has no checkpoint yet; let it train to its first evaluation"):
        RunFolder(tmp_path).load_model()
    assert RunFolder(tmp_path).history().steps == 0
    assert RunFolder(tmp_path).metadata == {}


@pytest.mark.parametrize("which", ["best", "last"])
def test_a_damaged_best_or_last_is_replaced_by_the_newest_whole_checkpoint(
    run: Path, which: str, caplog: pytest.LogCaptureFixture
) -> None:
    step, other = {"best": (2, 6), "last": (6, 4)}[which]
    weights = run / "checkpoints" / f"step-{step}" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    before = sorted(run.rglob("*"))
    assert loaded_step(RunFolder(run), which) == (other, f"step-{other}")
    assert len(caplog.messages) == 1
    assert f"step-{step} is damaged: model.safetensors has" in caplog.messages[0]
    assert f"Using step-{other} instead" in caplog.messages[0]
    assert sorted(run.rglob("*")) == before  # a reader changes nothing


def test_a_damaged_step_is_refused_with_the_whole_ones(run: Path) -> None:
    (run / "checkpoints" / "step-4" / "manifest.json").write_text("{}")
    with pytest.raises(UserError, match=r"step-4 is damaged: manifest\.json was altered\. Whole .*: 2, 6"):
        RunFolder(run).load_model("4")
    for step in (2, 6):
        (run / "checkpoints" / f"step-{step}" / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"step-2 is damaged: model\.safetensors is missing\. .*: none"):
        RunFolder(run).load_model()


def test_a_run_that_grows_is_read_at_its_newest_state(run: Path) -> None:
    opened = RunFolder(run)
    assert loaded_step(opened, "last") == (6, "step-6")
    (run / "log.jsonl").write_text('{"event": "step", "step": 7, "loss": 2.0}\n{"event": "step", "st')
    save(run, 8, best=8)
    assert opened.steps == [6, 8]  # the oldest are deleted
    assert loaded_step(opened) == loaded_step(opened, "last") == (8, "step-8")
    assert (opened.history().steps, opened.history().torn) == (7, True)


@pytest.mark.parametrize("moment", ["checked", "read"])
def test_a_checkpoint_that_vanishes_while_it_is_read_is_looked_up_again(
    run: Path, moment: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A training run saves step 8, its new best, and deletes steps 2 and 4, just before they are checked or read."""
    module, name = {"checked": (folder_module.retention, "check"), "read": (folder_module, "load_weights")}[moment]
    function, calls = getattr(module, name), []

    def call(*values: object) -> object:
        calls.append(values)
        if len(calls) == 1:
            save(run, 8, best=8)
        return function(*values)

    monkeypatch.setattr(module, name, call)
    assert loaded_step(RunFolder(run)) == (8, "step-8")
    assert len(calls) >= 2
    assert caplog.messages == []
    calls.clear()
    monkeypatch.setattr(module, name, lambda *values: (shutil.rmtree(run / "checkpoints/step-6"), function(*values))[1])
    with pytest.raises(UserError, match=r"has no checkpoint 6; it has best, last, 8$"):
        RunFolder(run).load_model("6")


def test_a_run_without_its_tokenizer_says_where_another_copy_is(run: Path) -> None:
    (run / "tokenizer" / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"no other tokenizer fits this model\. Copy it from another copy of the run"):
        _ = RunFolder(run).tokenizer


def test_a_damaged_draft_is_left_out_with_a_warning(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = api.load(run, device="cpu").generate("a").text
    assert "draft" not in caplog.text
    (run / DRAFT).write_bytes(b"torn")
    opened = api.load(run, device="cpu")
    assert [opened.generate("a").text for _ in range(2)] == [whole, whole]
    (warning,) = [record.message for record in caplog.records if "draft" in record.message]
    assert warning.startswith(f"{run / DRAFT} cannot be read: ")
    assert warning.endswith("Delete it; it only makes generation faster")


def test_a_data_json_that_was_cut_is_not_taken_for_other_stories(run: Path) -> None:
    opened = RunFolder(run)
    corpus = corpus_of(opened.tokenizer)
    opened.check_same_stories(corpus)
    path = run / "data.json"
    path.write_text(path.read_text()[:20])
    with pytest.raises(
        UserError, match=r"data\.json is damaged, so whether the stories are the same cannot be checked"
    ):
        opened.check_same_stories(corpus)
    path.unlink()
    opened.check_same_stories(corpus)


def test_an_imported_run_is_opened_though_it_has_no_data_and_no_log(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model, tokenizer = GPT(SHAPE), Tokenizer.load(EARLIER / "tokenizer")
    write_run(tmp_path / "imported", RECIPE, model, tokenizer, step=5)
    run = RunFolder(tmp_path / "imported")
    assert run.metadata == {}
    assert (run.history().steps, run.steps) == (0, [5])
    found = run.load_model(device=torch.device("cpu"))[0]
    assert all(torch.equal(a, b) for a, b in zip(found.parameters(), model.parameters(), strict=True))
    assert run.tokenizer.fingerprint == tokenizer.fingerprint


def test_a_moved_run_finds_its_own_tokenizer(run: Path, tmp_path: Path) -> None:
    text = recipe_to_yaml(RECIPE).replace("kind: bpe", "kind: saved")
    text = text.replace("source: openai-community/gpt2", f"source: {run}/tokenizer")
    (run / "recipe.yaml").write_text(text)
    moved = run.rename(tmp_path / "moved")
    opened = RunFolder(moved)
    assert opened.recipe.tokenizer.source == str(moved / "tokenizer")
    assert opened.name == "moved"
    assert loaded_step(opened) == (2, "step-2")


def test_a_run_of_an_earlier_version_opens_with_its_weights_state_and_history() -> None:
    run = RunFolder(EARLIER)
    model, _ = run.load_model(device=torch.device("cpu"))
    logits = model(torch.tensor([[1, 2, 3]]))[0, -1, :4]
    torch.testing.assert_close(logits, torch.tensor([-0.0483, 0.0150, 0.0515, 0.1000]), atol=1e-4, rtol=0)
    model = GPT(run.recipe.model)
    optimizer = make_optimizer(model, run.recipe.optimizer, run.recipe.train.learning_rate)
    state = load_training(run.checkpoint("last"), model, optimizer)
    assert (state.step, state.best_step, state.tokens, state.evaluated) == (2, 2, 32, 2)
    history = run.history()
    assert history.training["loss"] == [5.572656154632568, 5.569265365600586]
    assert history.evaluations["bits_per_byte"] == [7.421189550821574]
    assert history.samples[0]["prompt"] == "Once"


def test_a_removed_setting_that_was_used_is_named_in_one_sentence(tmp_path: Path) -> None:
    shutil.copytree(EARLIER, tmp_path / "run")
    recipe = tmp_path / "run" / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("short_steps: 0", "short_steps: 5"))
    with pytest.raises(UserError) as caught:
        RunFolder(tmp_path / "run")
    version = talewright.version.__version__
    assert str(caught.value) == (
        f"{recipe} does not fit talewright {version}; it may be another version's: "
        "train.short_steps is 5, but this setting was removed in version 0.2; version 0.1 has it"
    )


def test_a_state_of_a_newer_version_is_refused_by_its_unknown_names(run: Path) -> None:
    path = run / "checkpoints" / "step-6" / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "phase": 3}))
    model = GPT(SHAPE)
    with pytest.raises(UserError, match=r"state\.json holds phase, unknown to this version: a newer version wrote it"):
        load_training(path.parent, model, make_optimizer(model, OptimizerConfig(), 1e-3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_heads": 4}, "model.n_heads was 2, and is 4. Put it back"),
        ({"positions": "sinusoidal", "norm_eps": 1e-6}, "model.norm_eps was 1e-05, and is 1e-06; model.positions was"),
        ({"dropout": 0.1}, None),
    ],
)
def test_a_model_edited_after_the_run_began_is_refused(run: Path, changes: dict[str, Any], message: str | None) -> None:
    """Heads change what weights mean, not their shapes."""
    event = {"event": "run", "recipe": recipe_to_dict(RunFolder(run).recipe)}
    (run / "log.jsonl").write_text(json.dumps(event) + "\n", encoding="utf-8")
    edited = dataclasses.replace(RECIPE, model=dataclasses.replace(SHAPE, **changes))
    (run / "recipe.yaml").write_text(recipe_to_yaml(edited), encoding="utf-8")
    if message is None:
        RunFolder(run).load_model()
    else:
        with pytest.raises(UserError, match=re.escape(message)):
            RunFolder(run).load_model()


def test_a_new_run_needs_a_folder_without_one(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert new_run_path(RECIPE) == Path("runs/small-1")
    (tmp_path / "runs/small-1").mkdir(parents=True)
    assert new_run_path(RECIPE) == Path("runs/small-2")
    with pytest.raises(UserError, match=f"{run} holds a run already; resume it with --resume {run}"):
        new_run_path(RECIPE, run)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file is a file; --out names a folder for the run"):
        new_run_path(RECIPE, tmp_path / "file")
    with pytest.raises(UserError, match="file is a file; --out names a folder for the run"):
        new_run_path(RECIPE, tmp_path / "file" / "run")


@pytest.mark.parametrize("name", ["data.json", "log.jsonl", "samples.jsonl", "tokenizer", "checkpoints"])
def test_what_a_run_would_overwrite_is_refused_and_kept(name: str, run: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    (mine / name).mkdir(parents=True)
    with pytest.raises(TakenError, match=f"holds {name}, where a run has its own; name another folder with --out"):
        create_run(mine, RECIPE, corpus_of(RunFolder(run).tokenizer))
    assert [path.name for path in mine.iterdir()] == [name]


def test_a_run_that_was_killed_while_it_began_may_begin_again(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = corpus_of(RunFolder(run).tokenizer)
    with monkeypatch.context() as patched:
        patched.setattr(folder_module, "recipe_to_yaml", mock.Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            create_run(tmp_path / "new", RECIPE, corpus)
    assert not RunFolder.is_run(tmp_path / "new")
    create_run(tmp_path / "new", RECIPE, corpus)
    assert RunFolder.is_run(tmp_path / "new")


def test_a_run_where_no_weights_could_be_read_is_refused_before_training() -> None:
    with pytest.raises(UserError, match=r"is not UTF-8, and no weights could be read there"):
        new_run_path(RECIPE, "tales-\udcff")
    reads_ascii = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    code = "import sys; from talewright.run.new_folder import *; check_readable(Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, "Märchen"], env=reads_ascii, check=True)


def test_a_link_that_leads_to_itself_is_no_folder_to_write(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for refuses in (lambda path: new_run_path(RECIPE, path), lambda path: check_free(path, overwrite=False)):
        with pytest.raises(UserError, match="is a link that leads to itself; name another folder"):
            refuses(tmp_path / "loop")


def test_a_run_begins_from_one_that_trains_and_deletes_checkpoints(run, tmp_path, monkeypatch):
    """The best checkpoint goes while its weights are read, and the next one as soon as they are."""
    read, reads = folder_module.load_weights, []

    def deleting(checkpoint, model):
        if not reads:
            shutil.rmtree(checkpoint)
            (run / "checkpoints" / "best").write_text("step-4\n")
        reads.append(checkpoint.name)
        read(checkpoint, model)
        shutil.rmtree(checkpoint)

    monkeypatch.setattr(folder_module, "load_weights", deleting)
    recipe = dataclasses.replace(RECIPE, train=dataclasses.replace(RECIPE.train, init_from=str(run)))
    create_run(tmp_path / "new", recipe, corpus_of(RunFolder(run).tokenizer))
    assert reads == ["step-2", "step-4"]
    model = GPT(SHAPE)
    read(tmp_path / "new" / "initial", model)
    assert bool((model.norm.weight == 4).all())
