"""The command `train`: one dial, or a recipe."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import talewright
from talewright.cli import main
from talewright.config import load_recipe
from talewright.evaluate.baselines.kneser_ney import train_ngram_models
from talewright.evaluate.baselines.quick import quick_baselines
from talewright.machine.speeds import Speed
from tests.train.conftest import write_stories

TINY = ["--model.n-layers", "1", "--model.d-model", "16", "--model.n-heads", "1", "--model.d-ff", "16"]
TINY += ["--model.vocab-size", "300", "--model.context-length", "32", "--train.compile", "false"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("talewright.train.speed.training_speed", lambda recipe, flops_per_second=None: Speed(2e4))
    write_stories(tmp_path / "stories.txt", 120)


def test_minutes_alone_choose_say_in_one_line_and_train(capsys):
    main(["train", "--minutes", "0.2", "--data", "stories.txt", "--seed", "3", "--train.max-steps", "4", *TINY])
    shown = capsys.readouterr()
    assert shown.out.strip() == "runs/story-300k-1"
    said = [line for line in shown.err.splitlines() if line.startswith("story-300k: ")]
    assert len(said) == 1
    assert "tokens" in said[0]
    counted = [line for line in shown.err.splitlines() if line.startswith("stories.txt: 120 stories read, ")]
    assert len(counted) == 1
    assert "removed: 0 empty, 0 shorter than 20 characters, " in counted[0]
    recipe = load_recipe(Path("runs/story-300k-1/recipe.yaml"))
    assert (recipe.name, recipe.seed, recipe.model.d_model, recipe.train.max_steps) == ("story-300k", 3, 16, 4)
    assert (recipe.train.max_minutes, recipe.train.patience) == (0.2, 5)


def test_without_data_the_bundled_stories_are_taken_and_that_is_said(capsys):
    recipe = talewright.plan_recipe(0.5)
    assert recipe.data.source == "bundled"
    main(["train", "--minutes", "0.2", "--train.max-steps", "1", "--data.limit", "200", *TINY])
    assert "bundled stories; --data names others" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--minutes", "5", "--recipe", "mini-2m"], "give --minutes or --recipe, not both"),
        (["--minutes", "5", "--resume", "run"], "give --minutes or --resume, not both"),
        (["--minutes", "5", "--init-from", "run"], "give --minutes or --init-from, not both"),
        (["--minutes", "5", "--max-minutes", "5"], "not both"),
        (["--minutes", "0"], "--minutes is 0"),
        (["--minutes", "5", "--ladder", "tall"], "no ladder tall; there are story and storyx"),
        (["--recipe", "story-1m", "--ladder", "storyx"], "--ladder chooses among recipes with --minutes"),
        (["--minutes", "5", "--model.layer", "3"], "no setting model.layer"),
        (["--data", "stories.txt"], "talewright train --data stories.txt --minutes 20"),
        (["--data", "stories.txt", "--max-minutes", "3"], "--minutes 20"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_would_be_right(words, message, capsys):
    with pytest.raises(SystemExit) as left:
        main(["train", *words])
    assert left.value.code == 2
    assert message in capsys.readouterr().err


def test_the_python_call_gives_the_same_recipe():
    recipe = talewright.plan_recipe(5, "stories.txt", {"train.patience": "9"})
    assert (recipe.data.source, recipe.train.patience, recipe.train.max_minutes) == ("stories.txt", 9, 5)


def test_a_run_whose_page_is_open_is_the_same_run(capsys, monkeypatch):
    monkeypatch.setattr("talewright.live.server.has_display", lambda: False)
    command = ["train", "--recipe", "story-300k", "--data", "stories.txt", "--max-steps", "3", *TINY]
    main([*command, "--out", "plain"])
    capsys.readouterr()
    main([*command, "--out", "shown", "--open"])
    shown = capsys.readouterr()
    assert shown.out.strip() == "shown"
    assert shown.err.count("live page: http://127.0.0.1:") == 1
    weights = [Path(run, "checkpoints/step-3/model.safetensors").read_bytes() for run in ("plain", "shown")]
    assert weights[0] == weights[1]
    main(["train", "--resume", "shown", "--train.max-steps", "4", "--open"])
    assert capsys.readouterr().err.count("live page: http://127.0.0.1:") == 1
    assert talewright.load("shown").steps[-1] == 4


def test_the_baselines_of_the_page_are_those_of_an_evaluation(capsys):
    """Against each token's probability in each context, added up story by story."""
    main(["train", "--recipe", "story-300k", "--data", "stories.txt", "--max-steps", "1", "--out", "run", *TINY])
    run = talewright.load("run")
    corpus = run.corpus()
    assert run.recipe.train.evaluate_stories == 500  # more than there are
    stories, _ = corpus.split("valid").stories()
    models, _ = train_ngram_models(corpus.split("train"), run.tokenizer, orders={"unigram": 1, "bigram": 2})
    for name, loss in quick_baselines(Path("run")).items():
        model = models[name.removesuffix(" model")]
        whole = [[*map(int, story), run.tokenizer.eos_id] for story in stories]
        losses = [-math.log(model.distribution(story[:i])[story[i]]) for story in whole for i in range(len(story))]
        assert loss == pytest.approx(sum(losses) / len(losses), rel=1e-4)
