"""The scores.json file: damaged ones are named, and those of version 2 are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from talewright.cli import main
from talewright.errors import UserError
from talewright.evaluate.scores import read_scores, scores_path
from talewright.files import write_json

SHARE = {"cases": 4, "share": 0.25}
VERSION_2 = {
    "format": "talewright scores",
    "version": 2,
    "talewright": "0.1.0",
    "name": "mini-2m",
    "run": {
        "folder": "mini-2m-1",
        "checkpoint": "step-9",
        "parameters": 1_850_000,
        "tokens": 14_680_000,
        "seconds": 600.0,
        "machine": "2 CPU cores",
        "seed": 0,
    },
    "held_out": {"source": "valid.txt", "stories": 12, "bytes": 3456, "sha256": "0" * 64},
    "telling": {"stories": 6, "prompts": [""], "sampling": {"temperature": 0.8}},
    "parts": {
        "likelihood": {
            "loss": 2.44,
            "perplexity": 11.47,
            "bits_per_byte": 0.863,
            "bits_per_word": 4.31,
            "token_accuracy": 0.467,
            "floors": {"5-gram": {"loss": 2.937}, "counted_tokens": 1000},
        },
        "told": {
            "finished": 0.99,
            "words": 145.0,
            "rule_faults": 0.07,
            "grammar": {"faults": 0.59, "kinds": {"Agreement": 0.59}},
            "names_kept": SHARE,
            "pronouns_agree": SHARE,
            "told_apart": 0.95,
            "self_bleu": 0.683,
        },
        "copying": {
            "longest": 27,
            "examples": [{"story": 1, "words": 2, "passage": "a cat", "training_story": 3}],
            "splits": {"doubled_in_training": 1},
        },
        "cloze": {"absent": "the held-out stories give no balanced gaps"},
    },
}


def test_version_2_is_read_with_todays_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_json(tmp_path / "scores.json", VERSION_2)
    [scores] = read_scores([tmp_path])
    tasks = scores["tasks"]
    assert tasks["likelihood"]["baselines"]["5-gram"] == {"loss": 2.937}
    assert tasks["generation"]["classifier_accuracy"] == 0.95
    assert tasks["generation"]["names_reused"] == SHARE
    assert tasks["memorization"]["examples"][0]["text"] == "a cat"
    assert tasks["memorization"]["splits"] == {"duplicates_in_training": 1}
    assert "unavailable" in tasks["cloze"]
    main(["evaluate", "compare", str(tmp_path)])
    page = capsys.readouterr().out
    for cell in (
        "| mini-2m-1, step-9 | mini-2m | 1.85M |",
        "| 5-gram | 2.937 |",
        "| 0.07 | 0.59 | 25.0 % |",
        "| 95.0 % |",
    ):
        assert cell in page
    assert "| mini-2m-1 | 27 |" in page


def test_a_folder_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"there is no folder .*gone"):
        read_scores([tmp_path / "gone"])


@pytest.mark.parametrize("scores", [{"format": "other"}, {"format": "talewright scores", "version": 1}, [], 3])
def test_a_damaged_file_is_an_error(tmp_path: Path, scores):
    write_json(tmp_path / "scores.json", scores)
    with pytest.raises(UserError, match=r"scores\.json is damaged, or another version's; `talewright evaluate"):
        read_scores([tmp_path])


@pytest.mark.parametrize(("evaluated", "asked"), [("Tales.txt", "tales.txt"), ("a:b.txt", "a-b.txt")])
def test_scores_on_stories_whose_names_share_a_file_are_not_taken_for_each_other(
    tmp_path: Path, evaluated: str, asked: str
) -> None:
    scores = VERSION_2 | {"held_out": VERSION_2["held_out"] | {"source": evaluated}}
    write_json(scores_path(tmp_path, asked), scores)  # the file that a system without case finds under both names
    with pytest.raises(UserError, match=f"has the scores on {evaluated}, not on {asked}; rename the stories' file"):
        read_scores([tmp_path], f"folder/{asked}")
    write_json(scores_path(tmp_path, asked), VERSION_2 | {"held_out": VERSION_2["held_out"] | {"source": asked}})
    assert read_scores([tmp_path], f"folder/{asked}")[0]["held_out"]["source"] == asked
