"""The questions as a task for another harness: it sees the same contexts and choices."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from talewright.errors import UserError
from talewright.evaluate.multiple_choice.harness import write_task
from talewright.evaluate.multiple_choice.understanding import understanding_questions


def test_the_task_has_all_questions_as_ours(tmp_path: Path):
    path = write_task(tmp_path / "task")
    task = yaml.safe_load(path.read_text(encoding="utf-8"))
    lines = Path(task["dataset_kwargs"]["data_files"][task["test_split"]]).read_text(encoding="utf-8").splitlines()
    docs = [json.loads(line) for line in lines]
    assert len(docs) == len(understanding_questions())
    for doc, question in zip(docs, understanding_questions(), strict=True):
        assert doc[task["doc_to_text"]] == "<|endoftext|>" + question.context
        assert [task["target_delimiter"] + choice for choice in doc[task["doc_to_choice"]]] == list(question.choices)
        assert doc[task["doc_to_target"]] == question.answer
    assert task["output_type"] == "multiple_choice"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write into"):
        write_task(tmp_path / "file")
