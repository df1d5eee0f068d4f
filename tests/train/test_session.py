"""What a resumed run keeps, and the command that begins and continues a run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talewright import api
from talewright.api import CALLBACKS
from talewright.cli import main
from talewright.config import load_recipe, recipe_to_yaml
from talewright.errors import UserError
from talewright.export.importers import write_run
from talewright.model.gpt import GPT
from talewright.run import RunFolder
from talewright.run.folder import with_absolute_paths
from talewright.run.log import read_log
from talewright.train import session
from talewright.train.session import FIXED, MOVABLE, budgets_of_same_command, resume_run, start_run
from tests.train.conftest import write_stories


@pytest.fixture
def run(small, tmp_path, monkeypatch) -> Path:
    """A run folder without checkpoints, of recipe.yaml with stories at a relative path."""
    monkeypatch.chdir(tmp_path)
    write_stories(tmp_path / "stories.txt", 30)
    recipe = small(data={"source": "stories.txt"})
    Path("small.yaml").write_text(recipe_to_yaml(recipe))
    Path("run").mkdir()
    Path("run/recipe.yaml").write_text(recipe_to_yaml(with_absolute_paths(recipe)))
    return Path("run")


@pytest.mark.parametrize(
    ("setting", "value", "was"),
    [
        ("model.n_layers", "3", "2"),
        ("model.dropout", "0.2", "0.1"),
        ("tokenizer.kind", "gpt2-top", "bpe"),
        ("data.layout", "rows", "packed"),
        ("data.limit", "7", "null"),
        ("optimizer.kind", "muon", "adamw"),
        ("train.average", "0.9", "null"),
        ("train.init_from", "other", "null"),
    ],
)
def test_a_resume_that_changes_what_a_run_is_made_of_is_refused_by_name(run, monkeypatch, setting, value, was):
    before = Path("run/recipe.yaml").read_text()
    monkeypatch.setattr("talewright.train.session.open_corpus", lambda recipe: pytest.fail("it went on"))
    with pytest.raises(UserError, match=f"run keeps the settings that it began with: {setting} is {was}, not "):
        resume_run(run, {setting: value}, None)  # pyright: ignore[reportArgumentType]
    assert Path("run/recipe.yaml").read_text() == before


def test_the_same_command_gives_its_budgets_and_nothing_else(run):
    assert budgets_of_same_command(run, "small.yaml", {}) == {}
    given = {"data.source": "stories.txt", "train.max_steps": "30", "seed": "3"}
    for recipe in ("small.yaml", None):
        assert budgets_of_same_command(run, recipe, given) == {"train.max_steps": "30"}
    assert budgets_of_same_command(run, None, {"train.max_minutes": "5"}) == {"train.max_minutes": "5"}


def test_another_command_is_refused_by_name(run):
    with pytest.raises(UserError, match=r"seed is 3, not 4; train.learning_rate is 0.01, not 0.1"):
        budgets_of_same_command(run, None, {"seed": "4", "train.learning-rate": "0.1"})
    Path("small.yaml").write_text(Path("small.yaml").read_text().replace("dropout: 0.1", "dropout: 0.3"))
    with pytest.raises(UserError, match=r"model.dropout is 0.1, not 0.3"):
        budgets_of_same_command(run, "small.yaml", {})


# --- every setting, drawn ---------------------------------------------------------------------------------------------

WORDS = "null true false 0 1 3 0.25 17 other auto rows muon wsd fp16 gpt2-top layernorm learned gelu post cpu"
ANY_VALUE = st.sampled_from([*WORDS.split(), "[0.5, 0.5]", "[80, 20]", "[attention]", "[global, local]", "[]"])
FREE: dict[str, Any] = {
    "name": "renamed",
    "optimizer.weight_decay": 0.3,
    "optimizer.betas": (0.8, 0.9),
    "optimizer.clip": 0.5,
    "schedule.kind": "linear",
    "schedule.warmup_steps": 6,
    "schedule.final_fraction": 0.5,
    "train.learning_rate": 3e-3,
    "train.micro_batch": 2,
    "train.accumulation": 4,
    "train.max_epochs": 1.5,
    "train.max_tokens": 1200,
    "train.max_minutes": 0.1,
    "train.evaluate_every": 3,
    "train.checkpoint_every": 2,
    "train.keep": 1,
    "train.patience": 9,
    "train.skip_bad_batches": True,
    "train.prompts": ("A",),
    "train.precision": "bf16",
}
"""Settings that a resumed run may change, each with another value than the small recipe's."""


@pytest.fixture(scope="module")
def begun(small_values, tmp_path_factory) -> Path:
    """A run of 4 of its 12 steps."""
    from talewright.config import recipe_from_dict

    folder = tmp_path_factory.mktemp("begun")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TALEWRIGHT_CACHE", str(folder / "cache"))
        values = {**small_values, "train": {**small_values["train"], "max_steps": 4}}
        run = api.fit(recipe_from_dict(values), folder / "run").path
    recipe = (run / "recipe.yaml").read_text(encoding="utf-8")
    (run / "recipe.yaml").write_text(recipe.replace("max_steps: 4", "max_steps: 12"), encoding="utf-8")
    return run


@pytest.fixture
def copied(begun, tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(begun.parent / "cache"))
    return Path(shutil.copytree(begun, tmp_path / "copied"))


class OpenedError(Exception):
    """The resume went on to its stories."""


@settings(max_examples=120)
@given(data=st.data(), value=ANY_VALUE)
def test_every_setting_of_a_resume_may_change_or_is_refused_by_its_name(begun, data, value):
    own = RunFolder(begun).recipe
    name = data.draw(st.sampled_from(sorted(session._settings(own))))
    before = (begun / "recipe.yaml").read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("talewright.train.session.open_corpus", lambda recipe: (_ for _ in ()).throw(OpenedError))
        try:
            resume_run(begun, {name: value}, api.CALLBACKS)
        except UserError as error:
            assert name.split(".")[-1] in str(error)  # noqa: PT017
        except OpenedError:
            fixed = name.startswith(FIXED) and name not in MOVABLE
            wanted = with_absolute_paths(RunFolder(begun, {name: value}).recipe)
            assert not fixed or session._settings(wanted)[name] == session._settings(own)[name]
    assert (begun / "recipe.yaml").read_bytes() == before


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.sets(st.sampled_from(sorted(FREE)), min_size=1, max_size=8))
def test_what_a_resume_may_change_takes_effect(copied, begun, names):
    shutil.rmtree(copied)
    shutil.copytree(begun, copied)
    wanted = {name: FREE[name] for name in names}
    api.resume(copied, {name: str(list(v) if isinstance(v, tuple) else v) for name, v in wanted.items()})
    recipe = RunFolder(copied).recipe
    assert {name: session._settings(recipe)[name] for name in names} == {
        name: list(value) if isinstance(value, tuple) else value for name, value in wanted.items()
    }
    steps = [event for event in read_log(copied / "log.jsonl") if event["event"] == "step"]
    assert [event["step"] for event in steps] == list(range(1, len(steps) + 1))
    assert len(steps) > 4
    if "train.learning_rate" in names and not names & {"schedule.kind", "schedule.warmup_steps"}:
        assert max(event["learning_rate"] for event in steps[4:]) <= 3e-3
    assert RunFolder(copied).checkpoint("last").name == f"step-{len(steps)}"


# --- what leaves nothing to train -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"train.max_steps": "3"}, "train.max_steps 3"),
        ({"train.max_steps": "4", "train.learning_rate": "0.1"}, "train.max_steps 4"),
        ({"train.max_tokens": "100"}, "train.max_tokens 100"),
        ({"train.max_epochs": "0.1"}, "train.max_epochs 0.1"),
        ({"train.max_minutes": "0.0000001"}, "train.max_minutes 1e-07"),
        ({"train.max_minutes": "0.0000001", "train.max_steps": "2"}, "train.max_steps 2 and train.max_minutes 1e-07"),
    ],
)
def test_a_budget_that_is_spent_is_refused_with_one_that_is_not(copied, overrides, says, capsys):
    before = (copied / "recipe.yaml").read_bytes()
    words = [word for name, value in overrides.items() for word in (f"--{name.replace('_', '-')}", value)]
    with pytest.raises(SystemExit) as left:
        main(["train", "--resume", str(copied), *words])
    message = capsys.readouterr().err
    assert left.value.code == 2
    assert f"at step 4 it has spent {says}. To train it longer, add " in message
    assert (copied / "recipe.yaml").read_bytes() == before
    advice = message.split("To train it longer, add ")[1].split(". ")[0].split()
    main(["train", "--resume", str(copied), *words, *advice])
    assert RunFolder(copied).steps[-1] > 4


def test_a_finished_run_and_one_out_of_patience_say_which_option_trains_longer(copied, caplog):
    caplog.set_level("INFO", "talewright")
    api.resume(copied)
    api.resume(copied)
    assert "at step 12 it has spent train.max_steps 12. To train it longer, add --train.max-steps 24" in caplog.text
    with pytest.raises(UserError, match=r"it has spent train\.max_steps 12") as caught:
        api.resume(copied, {"train.learning_rate": "0.5"})
    assert "keeps its recipe" in str(caught.value)


def test_a_damaged_last_checkpoint_leaves_its_steps_to_train(copied):
    weights = copied / "checkpoints" / "step-4" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match=r"every checkpoint .* is damaged. The same command again starts from step 0"):
        api.resume(copied, {"train.max_steps": "3"})
    api.resume(copied, {"train.max_steps": "3"})
    assert RunFolder(copied).steps[-1] == 3


@pytest.mark.parametrize(
    ("before", "after", "names"),
    [
        ("seed: 3", "seed: 4", "seed is 3, not 4"),
        ("n_heads: 2", "n_heads: 1", "model.n_heads is 2, not 1"),
        ("kind: adamw", "kind: muon", "optimizer.kind is adamw, not muon"),
    ],
)
def test_a_recipe_that_was_edited_after_the_run_began_is_refused_by_name(copied, before, after, names):
    path = copied / "recipe.yaml"
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), encoding="utf-8")
    with pytest.raises(UserError, match=rf"{names}\. Put them back in {re.escape(str(path))}, or train into another"):
        api.resume(copied)
    path.write_text(text.replace("learning_rate: 0.01", "learning_rate: 0.02"), encoding="utf-8")
    assert api.resume(copied).steps[-1] == 12  # what may change on the command line may be edited


def test_a_run_whose_checkpoints_are_gone_says_that_it_trains_its_steps_again(copied, caplog):
    shutil.rmtree(copied / "checkpoints")
    api.resume(copied)
    assert f"{copied} has no checkpoint: the 4 steps in its log are trained again" in caplog.text
    assert [event["step"] for event in read_log(copied / "log.jsonl") if event["event"] == "step"] == [*range(1, 13)]


def test_an_imported_run_is_left_alone_and_init_from_is_named(copied, tmp_path, capsys):
    own, run = RunFolder(copied), tmp_path / "imported model"
    run.mkdir()
    write_run(run, own.recipe, GPT(own.recipe.model), own.tokenizer)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for words in ([], ["--max-steps", "3"]):
        with pytest.raises(SystemExit) as left:
            main(["train", "--resume", str(run), *words])
        assert left.value.code == 2
        assert f"talewright train --init-from '{run}' --data FILE" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    further = ["--data", own.recipe.data.source, "--max-steps", "2", "--out", str(tmp_path / "further")]
    main(["train", "--init-from", str(run), *further])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--recipe", "mini-2m"], "give --resume or --recipe, not both"),
        (["--out", "elsewhere"], "give --resume or --out, not both"),
        (["--init-from", "other"], "give --resume or --init-from, not both"),
        (["--init-from", ""], "--init-from is empty"),
        (["--out", " "], "--out is empty"),
    ],
)
def test_options_of_a_new_run_are_refused_beside_resume(copied, words, says, capsys):
    with pytest.raises(SystemExit):
        main(["train", "--resume", str(copied), *words])
    assert says in capsys.readouterr().err


def test_stories_that_were_moved_are_named_by_data_though_the_run_has_a_limit(copied, tmp_path):
    recipe = load_recipe(copied / "recipe.yaml", {"data.limit": "90", "train.max_steps": "1"})
    run, moved = api.fit(recipe, tmp_path / "limited").path, tmp_path / "moved.txt"
    shutil.copyfile(recipe.data.source, moved)
    main(["train", "--resume", str(run), "--data", str(moved), "--max-steps", "2"])
    assert RunFolder(run).recipe.data.source == str(moved)
    assert RunFolder(run).steps[-1] == 2


def test_a_run_whose_folder_moves_while_it_trains_is_not_split_in_two(copied, tmp_path):
    moved = tmp_path / "mo ved"

    def evaluate(*values):
        if not moved.exists():
            copied.rename(moved)
        return api.CALLBACKS.evaluate(*values)

    with pytest.raises(UserError, match="was moved or deleted while it trained, so training ends") as caught:
        resume_run(copied, {}, session.Callbacks(evaluate, api.CALLBACKS.generate))
    assert not copied.exists()
    if Path("/proc/self/fd").is_dir():
        assert f"talewright train --resume '{moved}'" in str(caught.value)
    assert api.resume(moved).steps[-1] == 12


def test_a_checkpoint_that_training_has_deleted_is_looked_up_by_its_name_again(copied):
    checkpoints = copied / "checkpoints"
    shutil.copytree(checkpoints / "step-4", checkpoints / "step-3")
    opened, named = api.load(copied), api.load(copied, "4")
    (checkpoints / "step-4").rename(copied / "gone")
    assert opened.model is not None
    assert opened.loaded_checkpoint.name == "step-3"
    with pytest.raises(UserError, match="has no checkpoint 4"):
        _ = named.model


@pytest.mark.parametrize("notes", [False, True])
def test_a_mistake_before_the_first_step_leaves_no_run_and_the_corrected_command_works(small, tmp_path, notes):
    write_stories(tmp_path / "stories.txt", 30)
    (tmp_path / "one.txt").write_text("Once upon a time there was a girl who lived in a house. " * 20)
    path = tmp_path / "run"
    if notes:
        path.mkdir()
        (path / "notes.md").write_text("mine")
    one = small(data={"source": str(tmp_path / "one.txt"), "separator": "***"})
    with pytest.raises(UserError, match=r"has no validation stories"):
        start_run(one, path, CALLBACKS)
    assert [entry.name for entry in path.glob("*")] == ["notes.md"] * notes

    def refuse(*_: object, **__: object) -> None:
        raise UserError("found late")

    stories = small(data={"source": str(tmp_path / "stories.txt")})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("talewright.train.session.fit", refuse)
        with pytest.raises(UserError, match="found late"):
            start_run(stories, path, CALLBACKS)
    assert not (path / "recipe.yaml").exists()
    assert path.exists() == notes
    assert start_run(stories, path, CALLBACKS).state.step == stories.train.max_steps
