"""Runs evaluated like a user does it: scores.json, tables, pages, and errors."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from talewright import api
from talewright.cli import main
from talewright.data import open_corpus
from talewright.evaluate import context
from talewright.evaluate.baselines import kneser_ney
from talewright.evaluate.context import EvaluationContext
from talewright.evaluate.evaluator import TASKS, selected_tasks
from talewright.evaluate.generation import quality
from talewright.generate import batching
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


def test_all_tasks_give_the_same_scores_again_at_any_batch_size(run, capsys, monkeypatch):
    main(["evaluate", str(run), *QUICK])
    printed, first = capsys.readouterr().out, scores_of(run)
    assert set(first["tasks"]) == set(TASKS)
    for words in ("untrained", "5-gram", "gzip", "real stories", "10-grams", "12 stories"):
        assert words in printed
    assert ": validation stories of stories.txt" in printed  # but not their folder
    assert first["run"]["machine"]
    likelihood = first["tasks"]["likelihood"]
    assert likelihood["baselines"]["unigram"]["loss"] < likelihood["untrained"]["loss"]
    assert likelihood["baselines"]["5-gram"]["loss"] < likelihood["baselines"]["unigram"]["loss"]
    assert likelihood["baselines"]["5-gram"]["tokens"] == likelihood["tokens"]
    assert first["tasks"]["memorization"]["splits"]["held_out_stories"] == 12
    monkeypatch.setattr(batching, "MAX_ROWS", 2)
    (run / "scores.json").unlink()
    main(["evaluate", str(run), *QUICK])
    assert scores_of(run) == first


def test_stories_are_read_and_ngrams_counted_once_for_all_tasks(small, tmp_path, monkeypatch):  # noqa: F811
    counted: dict[str, int] = {}

    def count(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def counting(*given):
            counted[name] = counted.get(name, 0) + 1
            return original(*given)

        monkeypatch.setattr(owner, name, counting)

    count(kneser_ney, "count_ngrams")
    count(RunFolder, "corpus")
    count(EvaluationContext, "training_words")
    api.fit(small(model={"context_length": 128}, train={"max_steps": 1}), tmp_path / "run")
    main(["evaluate", str(tmp_path / "run"), *QUICK])
    tasks = scores_of(tmp_path / "run")["tasks"]
    assert "5-gram" in tasks["likelihood"]["baselines"]
    assert "5-gram" in tasks["understanding"]["baselines"]
    assert tasks["generation"]["invented"] is not None
    assert tasks["memorization"]["splits"]["training_stories"] > 0
    assert counted == {"count_ngrams": 1, "corpus": 1, "training_words": 1}


def test_real_stories_beside_generated_ones_come_from_everywhere_among_the_held_out_ones(run, monkeypatch):
    compared: dict[str, list[str]] = {}

    def record(module: Any, name: str) -> None:
        original = getattr(module, name)
        monkeypatch.setattr(module, name, lambda texts: compared.setdefault(name, list(texts)) and original(texts))

    record(quality, "RealStyle")
    record(context, "OverlapSearch")
    main(["evaluate", str(run), "--told", "4", "--only", "generation,memorization"])
    split, tokenizer = RunFolder(run).corpus().split("valid"), RunFolder(run).tokenizer
    texts, count = [tokenizer.decode(split.story(i)) for i in range(split.n_stories)], split.n_stories
    eighths = [(2 * i + 1) * count // 16 for i in range(8)]
    assert [texts.index(text) for text in compared["RealStyle"]] == eighths[::2]
    assert [texts.index(text) for text in compared["OverlapSearch"][4:]] == [k * count // 8 for k in (1, 3, 5, 7)]


def test_one_task_is_evaluated_again_and_the_others_are_kept_while_they_are_valid(run):
    main(["evaluate", str(run), *QUICK])
    whole = scores_of(run)
    main(["evaluate", str(run), *QUICK, "--only", "memorization"])
    assert scores_of(run) == whole
    main(["evaluate", str(run), "--told", "7", "--limit", "12", "--only", "memorization"])
    assert set(scores_of(run)["tasks"]) == {"memorization"}  # the other tasks had other generated stories
    assert json.loads((run / "scores.earlier-1.json").read_text(encoding="utf-8")) == whole
    main(["evaluate", str(run), *QUICK, "--only", "memorization"])
    assert scores_of(run) == whole


def test_scores_on_other_stories_stand_apart_from_those_on_the_runs_own(run, tmp_path, capsys):
    main(["evaluate", str(run), *QUICK, "--only", "cloze,likelihood"])
    before = (run / "scores.json").read_bytes()
    stories = write_stories(tmp_path / "oth[er.txt", 30)
    for task in ("likelihood", "memorization"):
        main(["evaluate", str(run), "--data", str(stories), "--told", "6", "--only", task])
        assert (run / "scores.json").read_bytes() == before
    apart = json.loads((run / "scores-oth[er.txt.json").read_text(encoding="utf-8"))
    assert set(apart["tasks"]) == {"likelihood", "memorization"}
    capsys.readouterr()
    main(["evaluate", "compare", str(run), "--data", str(stories)])
    assert "30 stories" in capsys.readouterr().out
    write_stories(stories, 20)  # other stories of the same name
    main(["evaluate", str(run), "--data", str(stories), "--told", "6", "--only", "likelihood"])
    assert json.loads((run / "scores-oth[er.txt.earlier-1.json").read_text(encoding="utf-8")) == apart


def test_what_another_evaluation_wrote_meanwhile_is_kept(run, monkeypatch):
    main(["evaluate", str(run), *QUICK, "--only", "cloze"])
    (run / "scores.json").unlink()
    real = TASKS["understanding"]

    def beside(context):
        with monkeypatch.context() as patch:
            patch.setitem(TASKS, "understanding", real)
            main(["evaluate", str(run), *QUICK, "--only", "cloze,understanding"])
        return real(context)

    monkeypatch.setitem(TASKS, "understanding", beside)
    main(["evaluate", str(run), *QUICK, "--only", "understanding"])
    assert set(scores_of(run)["tasks"]) == {"cloze", "understanding"}


def test_scores_that_cannot_be_written_are_shown(run, capsys, caplog, monkeypatch):
    def full(path, value):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("talewright.evaluate.scores.write_json", full)
    main(["evaluate", str(run), *QUICK, "--only", "likelihood"])
    assert "5-gram" in capsys.readouterr().out
    assert "scores.json cannot be written: No space left on device" in caplog.text


def test_stories_that_changed_after_the_training_are_not_taken_for_the_runs_own(small, tmp_path, caplog, capsys):  # noqa: F811
    stories = write_stories(tmp_path / "stories.txt", 80)
    tokenizer = {"kind": "saved", "source": str(Path(api.fit(small(), tmp_path / "first").path) / "tokenizer")}
    api.fit(small(data={"source": str(stories)}, tokenizer=tokenizer, train={"max_steps": 1}), tmp_path / "run")
    write_stories(stories, 90)
    with pytest.raises(SystemExit):
        main(["evaluate", str(tmp_path / "run"), *QUICK])
    message = capsys.readouterr().err
    assert "began with other stories" in message
    assert "name stories by --data" in message
    main(["evaluate", str(tmp_path / "run"), "--data", str(stories), "--told", "6", "--only", "likelihood"])
    main(["inspect", str(tmp_path / "run"), "--only", "predictions"])
    assert "bundled stories are used instead" in caplog.text


def test_runs_side_by_side_and_their_page(run, tmp_path, capsys, caplog):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    main(["evaluate", str(run), str(other), *QUICK, "--only", "likelihood"])
    printed = capsys.readouterr().out
    assert "different stories" not in caplog.text
    assert printed.count("5-gram") == 1  # the same baseline for both
    main(["evaluate", "compare", str(run), str(other), "--out", str(tmp_path / "page.md")])
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert page.startswith("# Scores")
    assert page.count("| other, step-") == 1
    stories = write_stories(tmp_path / "more.txt", 30)
    main(["evaluate", str(other), "--data", str(stories), "--told", "6", "--only", "likelihood"])
    (other / "scores-more.txt.json").replace(other / "scores.json")  # as earlier versions wrote it
    main(["evaluate", "compare", str(run), str(other)])
    assert "in separate sections" in capsys.readouterr().out


def test_a_warning_says_that_runs_were_scored_on_different_stories(run, tmp_path, caplog):
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
    (other / "data.json").unlink()
    main(["evaluate", str(run), str(other), "--told", "6", "--only", "likelihood"])
    assert "different stories" in caplog.text


def test_a_run_whose_training_stories_are_gone_is_evaluated_without_them(run, tmp_path, capsys):
    alone = tmp_path / "alone"
    shutil.copytree(run, alone)
    recipe = (alone / "recipe.yaml").read_text(encoding="utf-8")
    source = json.loads((run / "data.json").read_text(encoding="utf-8"))["source"]
    (alone / "recipe.yaml").write_text(recipe.replace(source, str(tmp_path / "gone.txt")), encoding="utf-8")
    stories = write_stories(tmp_path / "more.txt", 30)
    main(["evaluate", str(alone), "--data", str(stories), "--told", "6"])
    tasks = json.loads((alone / "scores-more.txt.json").read_text(encoding="utf-8"))["tasks"]
    assert "not available" in tasks["memorization"]["unavailable"]
    assert "not available" in tasks["likelihood"]["baselines"]["unavailable"]
    assert tasks["generation"]["invented"] is None
    assert "gone.txt" in capsys.readouterr().out


CHINESE = "从前有一只小熊，名字叫阿宝。小熊在森林里找到了一块石头。从此，小熊和小鱼成了好朋友。"
GERMAN = "Es war einmal ein kleiner Bär, der in einem Wald lebte. Er hatte einen Freund, und in der Nacht war es kalt."


@pytest.mark.parametrize(("text", "unit"), [(CHINESE, "character"), (GERMAN, "word")])
def test_stories_of_another_language_have_the_figures_that_fit_and_a_sentence(text, unit, run, tmp_path, capsys):
    stories = "<|endoftext|>".join(f"{text} {i}" for i in range(8))
    (tmp_path / "other.txt").write_text(stories, encoding="utf-8")
    main(["evaluate", str(run), "--told", "4", "--data", str(tmp_path / "other.txt")])
    printed, scores = capsys.readouterr().out, json.loads((run / "scores-other.txt.json").read_text(encoding="utf-8"))
    tasks = scores["tasks"]
    assert scores["note"] in " ".join(printed.split())
    for task in ("understanding", "cloze"):
        assert tasks[task] == {"unavailable": "its questions are in English, and the held-out stories are not"}
    other = {"character": "word", "word": "character"}[unit]
    for figures in (tasks["likelihood"], tasks["likelihood"]["baselines"]["5-gram"], tasks["likelihood"]["intervals"]):
        assert f"bits_per_{unit}" in figures
        assert f"bits_per_{other}" not in figures
    units = {"character": sum(map(len, "".join(stories.split()).split("<|endoftext|>"))), "word": 8 * 23}[unit]
    assert tasks["likelihood"][f"{unit}s"] == units
    english = {"rule_errors", "grammar", "names_reused", "pronouns_agree"}
    assert not english & tasks["generation"].keys()
    assert f"{unit}s" in tasks["generation"]["real"]
    assert "he/she" not in printed
    main(["evaluate", "compare", str(run), "--data", str(tmp_path / "other.txt")])
    assert scores["note"] in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate", "RUN", "nowhere"], "nowhere is not a run folder"),
        (["evaluate", "RUN", "--only", "tolld"], "--only tolld: no such task; there are likelihood"),
        (["evaluate", "RUN", "--told", "0"], "--samples is 0"),
        (["evaluate", "RUN", "--limit", "-3"], "--limit is -3"),
        (["evaluate", "RUN", "--checkpoint", "step-77"], "step-77"),
        (["evaluate", "compare", "nowhere"], "there is no folder nowhere; `talewright runs` lists the runs"),
        (["evaluate", "compare"], "it compares run folders"),
    ],
)
def test_a_mistake_is_one_message(run, words, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main([str(run) if word == "RUN" else word for word in words])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_earlier_names_of_tasks_are_accepted():
    assert selected_tasks("told, copying,cloze") == ["generation", "memorization", "cloze"]
    assert selected_tasks(None) == list(TASKS)


def test_progress_is_logged_with_the_run(run, caplog):
    caplog.set_level(logging.INFO, "talewright")
    main(["evaluate", str(run), *QUICK, "--only", "likelihood"])
    assert f"{run}: counting n-grams" in caplog.messages
