"""A run's log, column by column."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talewright.errors import UserError
from talewright.files import write_text_atomic
from talewright.run.history import HistoryFollower, read_history, write_history
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


LINES = st.lists(st.sampled_from(["step", "evaluation", "skipped", "torn", "blank"]), max_size=12)


@settings(max_examples=60)
@given(parts=st.lists(LINES, min_size=1, max_size=5), cuts=st.lists(st.integers(0, 60), min_size=5, max_size=5))
def test_a_log_that_grows_is_followed_as_it_would_be_read(parts: list[list[str]], cuts: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run, step = Path(folder), 0
        follower, written = HistoryFollower(run), b""
        assert not follower.read().steps
        for part, cut in zip(parts, cuts, strict=False):
            for kind in part:
                step += 1
                line = {"event": kind, "step": step, "loss": 1 / step, "text": "é 🐱"}
                text = {"torn": '{"event": "st', "blank": ""}.get(kind, json.dumps(line, ensure_ascii=False))
                written += text.encode() + b"\n"
            whole = max(0, len(written) - cut)  # the rest of the last lines comes later
            if whole >= (run / "log.jsonl").stat().st_size if (run / "log.jsonl").exists() else True:
                (run / "log.jsonl").write_bytes(written[:whole])
                follower.read()
        (run / "log.jsonl").write_bytes(written)
        (run / "samples.jsonl").write_bytes(b'{"step": 1, "text": "a"}\n')
        followed, read = follower.read(), read_history(run)
        assert (followed.training, followed.evaluations) == (read.training, read.evaluations)
        assert followed.samples == read.samples


def log_of(run: Path, steps: int, loss: float) -> None:
    """As a resumed run writes it: another file in the place of the last."""
    lines = [json.dumps({"event": "step", "step": step, "loss": loss}) + "\n" for step in range(1, steps + 1)]
    write_text_atomic(run / "log.jsonl", "".join(lines))


@pytest.mark.parametrize("steps", [0, 3, 8, 12])
@pytest.mark.parametrize("in_place", [False, True])
def test_a_log_that_is_written_anew_replaces_what_was_read(tmp_path: Path, steps: int, in_place: bool) -> None:
    follower = HistoryFollower(tmp_path)
    log_of(tmp_path, 8, 1.0)
    assert follower.read().steps == 8
    other = tmp_path / "other"
    other.mkdir()
    log_of(other, steps, 2.0)
    if in_place:
        (tmp_path / "log.jsonl").write_bytes((other / "log.jsonl").read_bytes())
    else:
        (other / "log.jsonl").replace(tmp_path / "log.jsonl")
    assert follower.read().training["loss"] == [2.0] * steps
    (tmp_path / "log.jsonl").unlink()
    assert follower.read().training["loss"] == []


def test_only_what_is_new_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    follower, parsed = HistoryFollower(tmp_path), []
    log_of(tmp_path, 500, 1.0)
    follower.read()
    loads = json.loads
    monkeypatch.setattr(json, "loads", lambda line: parsed.append(line) or loads(line))
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"event": "step", "step": 501, "loss": 3.0}\n')
    assert follower.read().training["loss"] == [1.0] * 500 + [3.0]
    assert [line for line in parsed if line] == ['{"event": "step", "step": 501, "loss": 3.0}']
