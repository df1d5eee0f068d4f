"""Runs scored as a user does it: scores.json, tables, pages, and what is wrong said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from talewright import api
from talewright.cli import main
from talewright.data import open_corpus
from talewright.evaluate.baselines import counting as floors
from talewright.evaluate.baselines.kneser_ney import count_grams
from talewright.evaluate.tasks import PARTS
from talewright.files import write_json
from talewright.generate import engine
from talewright.run import RunFolder
from tests.train.conftest import small, small_values, write_stories  # noqa: F401, fixtures

QUICK = ["--told", "6", "--limit", "12"]


@pytest.fixture(scope="module")
def run(small_values, tmp_path_factory) -> Path:  # noqa: F811
    """A small run."""
    from talewright.config import recipe_from_dict

    folder = tmp_path_factory.mktemp("scored")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TALEWRIGHT_CACHE", str(folder / "cache"))
        api.fit(recipe_from_dict(small_values), folder / "run")
    return folder / "run"


@pytest.fixture(autouse=True)
def cache(run, monkeypatch):
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(run.parent / "cache"))


def scores_of(run: Path) -> dict:
    return json.loads((run / "scores.json").read_text(encoding="utf-8"))


def test_a_run_is_scored_whole_and_the_same_again_whatever_the_batch(run, capsys, monkeypatch):
    main(["evaluate", str(run), *QUICK])
    printed, first = capsys.readouterr().out, scores_of(run)
    assert set(first["parts"]) == set(PARTS)
    for words in ("untrained", "5-gram", "gzip", "real stories", "told apart", "distinct-2", "10-grams", "12 stories"):
        assert words in printed
    assert ": validation stories of stories.txt" in printed  # and not where they lie
    assert first["run"]["machine"]
    likelihood = first["parts"]["likelihood"]
    assert likelihood["floors"]["unigram"]["loss"] < likelihood["untrained"]["loss"]
    assert likelihood["floors"]["5-gram"]["loss"] < likelihood["floors"]["unigram"]["loss"]
    assert likelihood["floors"]["5-gram"]["tokens"] == likelihood["tokens"]
    assert first["parts"]["copying"]["splits"]["held_out_stories"] == 12
    monkeypatch.setattr(engine, "MAX_ROWS", 2)
    (run / "scores.json").unlink()
    main(["evaluate", str(run), *QUICK])
    assert scores_of(run) == first


def test_n_grams_are_counted_once_for_all_parts(small, tmp_path, monkeypatch):  # noqa: F811
    counted = []
    monkeypatch.setattr(floors, "count_grams", lambda *words: counted.append(1) or count_grams(*words))
    api.fit(small(model={"context_length": 128}, train={"max_steps": 1}), tmp_path / "run")
    main(["evaluate", str(tmp_path / "run"), *QUICK])
    parts = scores_of(tmp_path / "run")["parts"]
    assert "5-gram" in parts["likelihood"]["floors"]
    assert "5-gram" in parts["understanding"]["floors"]
    assert len(counted) == 1


def test_a_part_alone_is_made_anew_and_the_others_stay_while_they_hold(run):
    main(["evaluate", str(run), *QUICK])
    whole = scores_of(run)
    main(["evaluate", str(run), *QUICK, "--only", "copying"])
    assert scores_of(run) == whole
    main(["evaluate", str(run), "--told", "7", "--limit", "12", "--only", "copying"])
    assert set(scores_of(run)["parts"]) == {"copying"}  # of other stories: the rest would not fit it


def test_runs_side_by_side_and_their_page(run, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    main(["evaluate", str(run), str(other), *QUICK, "--only", "likelihood"])
    found = capsys.readouterr()
    assert "different stories" not in found.err
    assert found.out.count("5-gram") == 1  # the same floor for both
    main(["scores", str(run), str(other), "--out", str(tmp_path / "page.md")])
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert page.startswith("# Scores")
    assert page.count("| other, step-") == 1
    stories = write_stories(tmp_path / "more.txt", 30)
    main(["evaluate", str(other), "--data", str(stories), "--told", "6", "--only", "likelihood"])
    main(["scores", str(run), str(other)])
    assert "stand apart" in capsys.readouterr().out


def test_runs_on_different_stories_are_said_to_be(run, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    main(["evaluate", str(run), *QUICK, "--only", "likelihood"])
    recipe = (other / "recipe.yaml").read_text(encoding="utf-8")
    more = write_stories(tmp_path / "more.txt", 130)
    source = json.loads((run / "data.json").read_text(encoding="utf-8"))["source"]
    (other / "recipe.yaml").write_text(recipe.replace(source, str(more)), encoding="utf-8")
    tokenizer = open_corpus(RunFolder(other).recipe).tokenizer
    shutil.rmtree(other / "tokenizer")
    tokenizer.save(other / "tokenizer")
    main(["evaluate", str(run), str(other), "--told", "6", "--only", "likelihood"])
    assert "different stories" in capsys.readouterr().err


def test_a_run_whose_stories_are_gone_is_scored_on_others_as_far_as_that_goes(run, tmp_path, capsys):
    alone = tmp_path / "alone"
    shutil.copytree(run, alone)
    recipe = (alone / "recipe.yaml").read_text(encoding="utf-8")
    source = json.loads((run / "data.json").read_text(encoding="utf-8"))["source"]
    (alone / "recipe.yaml").write_text(recipe.replace(source, str(tmp_path / "gone.txt")), encoding="utf-8")
    stories = write_stories(tmp_path / "more.txt", 30)
    main(["evaluate", str(alone), "--data", str(stories), "--told", "6"])
    parts = scores_of(alone)["parts"]
    assert "not at hand" in parts["copying"]["absent"]
    assert "not at hand" in parts["likelihood"]["floors"]["absent"]
    assert parts["told"]["invented"] is None
    assert "gone.txt" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate"], "needs a run folder"),
        (["evaluate", "RUN", "nowhere"], "nowhere is not a run folder"),
        (["evaluate", "RUN", "--only", "tolld"], "--only tolld: there is no such part; there are likelihood"),
        (["evaluate", "RUN", "--told", "0"], "--samples is 0"),
        (["evaluate", "RUN", "--limit", "-3"], "--limit is -3"),
        (["evaluate", "RUN", "--checkpoint", "step-77"], "step-77"),
        (["scores", "nowhere"], "nowhere/scores.json is not there; `talewright evaluate nowhere` writes it"),
        (["scores"], "needs a run folder"),
    ],
)
def test_what_is_wrong_is_said_in_one_message(run, words, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main([str(run) if word == "RUN" else word for word in words])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_damaged_scores_file_is_named(run, tmp_path, capsys):
    write_json(tmp_path / "scores.json", {"format": "else"})
    with pytest.raises(SystemExit):
        main(["scores", str(tmp_path)])
    assert "is damaged, or another version's" in capsys.readouterr().err
