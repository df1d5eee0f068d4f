"""The understanding questions as a task of EleutherAI's lm-evaluation-harness, for any model that it can run."""

from __future__ import annotations

from pathlib import Path

import yaml

from talewright.config import EOT
from talewright.errors import UserError
from talewright.evaluate.multiple_choice.understanding import understanding_questions
from talewright.files import json_text, write_text_atomic

TASK = "talewright_understanding"


def write_task(folder: Path) -> Path:
    """Write the task and its questions; returns the path of the task file.

    An end-of-text token precedes each context, because our models read one before a story and the harness does not add
    it. The harness's `acc` is then our accuracy, except for ties, and its `acc_norm` our accuracy per byte.
    """
    lines = (
        {
            "kind": question.kind,
            "context": EOT + question.context,
            "choices": [choice.removeprefix(" ") for choice in question.choices],
            "answer": question.answer,
        }
        for question in understanding_questions()
    )
    task = {
        "task": TASK,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str((folder / f"{TASK}.jsonl").resolve())}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "context",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
        "target_delimiter": " ",
        "metric_list": [
            {"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_norm")
        ],
        "metadata": {"version": 1},
    }
    path = folder / f"{TASK}.yaml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text_atomic(folder / f"{TASK}.jsonl", "".join(json_text(line) + "\n" for line in lines))
        write_text_atomic(path, yaml.safe_dump(task, sort_keys=False))
    except OSError as error:
        raise UserError(f"cannot write into {folder}: {error.strerror or error}") from None
    return path
