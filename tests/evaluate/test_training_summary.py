"""The summary of a training against a whole evaluation of the same run on the same stories."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from talewright import api
from talewright.cli import main
from talewright.cli.train import result_box, show_result
from talewright.evaluate.context import EvaluationOptions
from talewright.evaluate.evaluator import evaluate_run
from talewright.evaluate.training_summary import TrainingSummary, summarize_training
from talewright.run import RunFolder
from talewright.train.progress import sparkline
from tests.train.conftest import small, small_values, write_stories  # noqa: F401, fixtures


@pytest.fixture(scope="module")
def run(small_values, tmp_path_factory) -> Path:  # noqa: F811
    """A run that is evaluated on ten stories."""
    from talewright.config import recipe_from_dict

    folder = tmp_path_factory.mktemp("summarized")
    values = {**small_values, "train": {**small_values["train"], "evaluate_stories": 10}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TALEWRIGHT_CACHE", str(folder / "cache"))
        api.fit(recipe_from_dict(values), folder / "run")
    return folder / "run"


@pytest.fixture(autouse=True)
def cache(run, monkeypatch):
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(run.parent / "cache"))


def validation_texts(run: Path) -> tuple[list[str], int]:
    split, tokenizer = RunFolder(run).corpus().split("valid"), RunFolder(run).tokenizer
    return [tokenizer.decode(split.story(i)) for i in range(split.n_stories)], split.n_stories


def test_its_numbers_are_those_of_an_evaluation_of_stories_from_everywhere(run, tmp_path):
    summary = summarize_training(RunFolder(run))
    assert summary is not None
    texts, count = validation_texts(run)
    (tmp_path / "ten.txt").write_text("\n<|endoftext|>\n".join(texts[(2 * i + 1) * count // 20] for i in range(10)))
    options = EvaluationOptions(tasks=["likelihood"], data=str(tmp_path / "ten.txt"))
    scores = evaluate_run(RunFolder(run), options)
    likelihood = scores["tasks"]["likelihood"]
    expected = {
        "untrained": likelihood["untrained"],
        "5-gram": likelihood["baselines"]["5-gram"],
        "trained": likelihood,
    }
    assert summary.scores.keys() == expected.keys()
    for name, figures in expected.items():
        assert summary.scores[name] == pytest.approx((figures["loss"], figures["bits_per_byte"]), rel=1e-5)
    assert (summary.evaluated, summary.counted_share) == (f"10 of {count} validation stories, evenly spread", 1.0)
    assert scores["run"]["checkpoint"] == f"step-{summary.best_step}"


def made(trained: float, last: float, ngram: float, untrained: float = 8.0, epochs: float = 1.0) -> TrainingSummary:
    scores = {"untrained": (untrained, untrained), "5-gram": (ngram, ngram), "trained": (trained, trained)}
    counts = {
        "best_step": 120,
        "steps": 427,
        "evaluated": "all 28 validation stories",
        "counted": 63000,
        "counted_share": 1.0,
    }
    return TrainingSummary(scores=scores, last_loss=last, epochs=epochs, **counts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("summary", "said"),
    [
        (made(2.0, 2.0, 2.5), "The model is better than a 5-gram model by 0.50 bits per byte."),
        (made(3.0, 3.0, 2.5), "worse than a 5-gram model by 0.50 bits per byte: it needs more training."),
        (made(3.0, 3.0, 2.5, epochs=4.0), "it needs more text to learn from."),
        (made(3.0, 5.3, 2.5), "worse than a 5-gram model by 0.50 bits per byte: it needs more text"),
        (made(2.0, 5.3, 2.5), "It overfitted after step 120: the validation loss rose to 5.300."),
        (made(9.0, 9.0, 2.5), "The model learned nothing"),
    ],
)
def test_its_sentences_fit_its_numbers(summary, said):
    assert said in " ".join(str(summary).split())
    assert all(len(line) < 80 for line in str(summary).splitlines())
    assert ("overfitted" in str(summary)) == (summary.last_loss == 5.3)


def test_the_next_commands_work_as_printed(run, caplog, monkeypatch):
    with caplog.at_level("INFO", logger="talewright"):
        show_result(run)
    commands = re.findall(r"^ (?:next)? +\S*talewright (.*)$", caplog.text, re.MULTILINE)
    first, second = (shlex.split(command)[0] for command in commands)
    assert (first, second) in [("train", "generate"), ("generate", "studio"), ("generate", "evaluate")]
    if first == "train":
        assert commands[0] == f"train --resume {run} --train.max-steps 24"
    for command in commands[: 2 if first == "train" else 1]:
        main(shlex.split(command))
    assert RunFolder(run).history().steps == (24 if first == "train" else 12)


def test_the_end_of_a_training_names_its_best_loss_where_it_is_saved_and_two_commands(run):
    folder = RunFolder(run)
    lines = result_box(
        folder, run / "plots" / "training_curves.png", ["talewright a " + "long " * 40, "b"]
    ).splitlines()
    assert lines[0] == lines[-1] == "─" * 79
    evaluations = folder.history().evaluations
    best, step = min((loss, step) for loss, step in zip(evaluations["loss"], evaluations["step"], strict=True) if step)
    assert f"{best:.3f} (" in lines[1]
    assert lines[1].endswith(f"step {step:,} of {folder.history().steps:,}")
    assert lines[2].split() == ["validation", "loss", sparkline(evaluations["loss"])]
    assert lines[3].endswith(f"checkpoints/step-{step}")
    assert lines[4].endswith("plots/training_curves.png")
    assert [line.split() for line in lines[5:7]] == [["next", "talewright", "a", *["long"] * 40], ["b"]]
