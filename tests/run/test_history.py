"""A run's log, column by column."""

from __future__ import annotations

import json

import pytest

from talewright.errors import UserError
from talewright.run.history import read_history, write_history
from tests.inspect.test_curves import write_log


def test_columns_are_what_the_log_says(tmp_path):
    write_log(tmp_path, steps=4, evaluations=2)
    (tmp_path / "samples.jsonl").write_text('{"step": 2, "prompt": "A", "text": "A cát."}\n', encoding="utf-8")
    history = read_history(tmp_path)
    assert history.training["loss"] == [5.0, 2.5, 5 / 3, 1.25]
    assert history.training["tokens"] == [64, 128, 192, 256]
    assert history.evaluations["perplexity"] == [148.4, 148.4]
    assert history.evaluations["token_accuracy"] == [None, None]  # a log that lacks a figure
    assert (history.steps, history.tokens_at(3), history.tokens_at(9)) == (4, 192, None)
    assert not history.torn
    write_history(history, tmp_path / "plots")
    written = json.loads((tmp_path / "plots/training_history.json").read_text())
    assert written["training"]["loss"] == history.training["loss"]
    assert json.loads((tmp_path / "plots/generated_texts_complete.json").read_text())[0]["text"] == "A cát."


def test_a_torn_last_line_is_skipped_and_reported(tmp_path):
    write_log(tmp_path, steps=4, evaluations=0)
    whole = (tmp_path / "log.jsonl").read_bytes()
    (tmp_path / "log.jsonl").write_bytes(whole[:-9])
    history = read_history(tmp_path)
    assert history.torn
    assert history.training["step"] == [1, 2, 3]


def test_a_run_without_a_log_has_an_empty_history(tmp_path):
    history = read_history(tmp_path)
    assert (history.steps, history.samples, history.torn) == (0, [], False)


def test_a_folder_that_cannot_be_written_raises(tmp_path):
    (tmp_path / "plots").write_text("a file")
    with pytest.raises(UserError, match="cannot write into"):
        write_history(read_history(tmp_path), tmp_path / "plots")
