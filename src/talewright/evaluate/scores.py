"""The scores.json of a run folder: written by `talewright evaluate`, read by `talewright scores`.

Version 2 differs only in the names of keys, and is read as well.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from talewright.config import read_yaml
from talewright.errors import UserError
from talewright.files import read_json, sha256_file, write_json

FILE, FORMAT, VERSION = "scores.json", "talewright scores", 3
OLD_TASKS = {"told": "generation", "copying": "memorization"}
"""Earlier names of tasks, which `--only` accepts too."""
RENAMED = OLD_TASKS | {
    "parts": "tasks",
    "telling": "generation_options",
    "floors": "baselines",
    "absent": "unavailable",
    "told_apart": "classifier_accuracy",
    "rule_faults": "rule_errors",
    "faults": "errors",
    "names_kept": "names_reused",
    "doubled_in_training": "duplicates_in_training",
    "passage": "text",
}
"""Keys of version 2, and what they are called now."""


def write_scores(folder: Path, scores: dict[str, Any]) -> None:
    """Write scores.json. Raises UserError if it cannot be written."""
    try:
        write_json(folder / FILE, scores)
    except OSError as error:
        raise UserError(f"cannot write {folder / FILE}: {error.strerror}") from None


def read_scores(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """The scores of evaluated runs, each with hashes of its settings without the seed (`settings`) and of its
    `tokenizer`; None where the folder has none. Raises UserError if a run was not evaluated.
    """
    return [
        {**_read(folder), "settings": _settings_hash(folder / "recipe.yaml"), "tokenizer": _hash(folder / "tokenizer")}
        for folder in folders
    ]


def _settings_hash(recipe: Path) -> str | None:
    try:
        settings = read_yaml(recipe) if recipe.is_file() else None
    except UserError:
        return None
    if not isinstance(settings, dict):
        return None
    text = json.dumps({name: value for name, value in settings.items() if name != "seed"}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _hash(tokenizer: Path) -> str | None:
    file = tokenizer / "tokenizer.json"
    return sha256_file(file) if file.is_file() else None


def _read(folder: Path) -> dict[str, Any]:
    scores = read_json(folder / FILE)
    if isinstance(scores, dict) and scores.get("format") == FORMAT:
        if scores.get("version") == VERSION:
            return scores
        if scores.get("version") == 2:
            return _renamed(scores)
    why = "is damaged, or another version's" if (folder / FILE).exists() else "is not there"
    raise UserError(f"{folder / FILE} {why}; `talewright evaluate {folder}` writes it")


def _renamed(value: Any) -> Any:
    if isinstance(value, dict):
        return {RENAMED.get(key, key): _renamed(item) for key, item in value.items()}
    return [_renamed(item) for item in value] if isinstance(value, list) else value


def reusable_tasks(folder: Path, scores: dict[str, Any]) -> dict[str, Any]:
    """The tasks of an earlier evaluation of the same weights on the same stories, with the same options and version."""
    earlier, now = read_json(folder / FILE), json.loads(json.dumps(scores))  # tuples as lists, like in the file
    if not isinstance(earlier, dict) or not isinstance(earlier.get("tasks"), dict):
        return {}
    stories = earlier.get("held_out")
    if not isinstance(stories, dict) or stories.get("sha256") != now["held_out"]["sha256"]:
        return {}
    same = ("format", "version", "talewright", "run", "generation_options")
    return earlier["tasks"] if all(earlier.get(key) == now[key] for key in same) else {}


def held_out_facts(source: str, texts: Sequence[str]) -> dict[str, Any]:
    """What identifies held-out stories: only scores on the same ones can be compared."""
    digest, size = hashlib.sha256(), 0
    for text in map(str.encode, texts):
        digest.update(text + b"\0")
        size += len(text)
    return {"source": source, "stories": len(texts), "bytes": size, "sha256": digest.hexdigest()}
