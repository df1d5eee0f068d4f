"""The scores of a run folder: written by `talewright evaluate`, read by `talewright evaluate compare`.

`scores.json` holds those on the run's validation stories, `scores-NAME.json` those on the stories of `--data NAME`. An
evaluation of other weights, or with other options, replaces no earlier one: that becomes `scores.earlier-1.json`.
Version 2 is read as well: its keys have other names, and its samples of held-out stories are the first ones.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from glob import escape
from itertools import count
from pathlib import Path
from typing import Any

from talewright.config import read_yaml
from talewright.data.sources import last_name
from talewright.errors import UserError
from talewright.files import (
    error_reason,
    json_text,
    portable_name,
    read_json,
    rename,
    sha256_file,
    shell_word,
    write_json,
)
from talewright.locks import wait_for_lock
from talewright.run.included import results_path, run_path

logger = logging.getLogger(__name__)
FORMAT, VERSION = "talewright scores", 3
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


def scores_path(folder: Path, data: str | None = None) -> Path:
    """The file of a run's scores on its validation stories, or on the stories of `data`."""
    return folder / (f"scores-{portable_name(last_name(data))}.json" if data else "scores.json")


def add_task(path: Path, scores: dict[str, Any], name: str, figures: dict[str, Any]) -> None:
    """Add a task's figures to the scores, and to their file with what other evaluations added to it meanwhile. A file
    that cannot be written is logged as a warning.
    """
    scores["tasks"][name] = figures
    try:
        with wait_for_lock(path, on_wait=lambda: None):
            scores["tasks"] = reusable_tasks(path, scores) | scores["tasks"]
            same = _same_evaluation(path, scores)
            if same != path and path.exists():
                _set_aside(path)
            write_json(path, scores)
            if same is not None and same != path:
                same.unlink()
    except OSError as error:
        logger.warning("%s cannot be written: %s. The scores are only shown", path, error_reason(error))


def read_scores(folders: Sequence[Path], data: str | None = None) -> list[dict[str, Any]]:
    """The scores of evaluated runs, as `described`. Raises UserError if a run was not evaluated on these stories."""
    return [described(folder, _read(folder, data)) for folder in folders]


def described(folder: Path, scores: dict[str, Any]) -> dict[str, Any]:
    """A run's scores as in their file, with hashes of its settings without the seed (`settings`) and of its
    `tokenizer`; None where the folder has none.
    """
    folder = run_path(folder)
    hashes = {"settings": _settings_hash(folder / "recipe.yaml"), "tokenizer": _hash(folder / "tokenizer")}
    return {**json.loads(json_text(scores)), **hashes}


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


def _read(folder: Path, data: str | None) -> dict[str, Any]:
    run = run_path(folder)
    if not run.is_dir():
        raise UserError(f"there is no folder {folder}; `talewright runs` lists the runs")
    path = scores_path(results_path(run), data)
    path = path if path.exists() else scores_path(run, data)  # the included model may come with scores
    scores = read_json(path)
    if isinstance(scores, dict) and scores.get("format") == FORMAT:
        scores = _renamed(scores) if scores.get("version") == 2 else scores
        if scores.get("version") in (2, VERSION):
            _check_stories(path, scores, data)
            return scores
    why = "is damaged, or another version's" if path.exists() else "is not there"
    command = f"talewright evaluate {shell_word(str(folder))}" + (f" --data {shell_word(data)}" if data else "")
    raise UserError(f"{path} {why}; `{command}` writes it")


def _check_stories(path: Path, scores: dict[str, Any], data: str | None) -> None:
    """Raise UserError if the scores are of other stories, whose file has the same name but for its case or signs."""
    found = scores.get("held_out", {}).get("source")
    if data is not None and found != last_name(data):
        raise UserError(f"{path} has the scores on {found}, not on {last_name(data)}; rename the stories' file")


def _renamed(value: Any) -> Any:
    if isinstance(value, dict):
        return {RENAMED.get(key, key): _renamed(item) for key, item in value.items()}
    return [_renamed(item) for item in value] if isinstance(value, list) else value


def reusable_tasks(path: Path, scores: dict[str, Any]) -> dict[str, Any]:
    """The tasks of an earlier evaluation of the same weights on the same stories, with the same options and version."""
    same = _same_evaluation(path, scores)
    return {} if same is None else read_json(same)["tasks"]


def _same_evaluation(path: Path, scores: dict[str, Any]) -> Path | None:
    """The file of the same evaluation: `path`, or one that another evaluation has set aside; None if there is none."""
    now = json.loads(json_text(scores))  # tuples as lists, like in the file
    aside = sorted(path.parent.glob(f"{escape(path.stem)}.earlier-*.json"))
    return next((file for file in (path, *aside) if _is_same(read_json(file), now)), None)


def _is_same(earlier: Any, now: dict[str, Any]) -> bool:
    if not isinstance(earlier, dict) or not isinstance(earlier.get("tasks"), dict):
        return False
    stories = earlier.get("held_out")
    if not isinstance(stories, dict) or stories.get("sha256") != now["held_out"]["sha256"]:
        return False
    return all(earlier.get(key) == now[key] for key in ("format", "version", "talewright", "run", "generation_options"))


def _set_aside(path: Path) -> None:
    """Give the file of another evaluation another name."""
    names = (path.with_name(f"{path.stem}.earlier-{number}.json") for number in count(1))
    aside = next(name for name in names if not name.exists())
    with suppress(FileNotFoundError):
        rename(path, aside)
        logger.info("%s was of another checkpoint, or made with other options; it is now %s", path, aside.name)


def held_out_facts(source: str, texts: Sequence[str]) -> dict[str, Any]:
    """What identifies held-out stories: only scores on the same ones can be compared."""
    digest, size = hashlib.sha256(), 0
    for text in map(str.encode, texts):
        digest.update(text + b"\0")
        size += len(text)
    return {"source": source, "stories": len(texts), "bytes": size, "sha256": digest.hexdigest()}
