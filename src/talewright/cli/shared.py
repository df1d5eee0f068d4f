"""What the commands share: the settings of a call, how it speaks, how it ends."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talewright.errors import UserError

if TYPE_CHECKING:
    from talewright.api import Run
    from talewright.generate.sampling import Sampling
    from talewright.train.loop import Outcome

WITH_SETTINGS = ("train", "prepare", "recipes", "tokenizer", "bench")
settings: dict[str, str] = {}
"""The `--section.key value` options of this call."""


def take_settings(words: list[str]) -> list[str]:
    """Take the `--section.key value` options out of the words, into `settings`."""
    settings.clear()
    rest, bare, waiting = [], [], list(words)
    while waiting:
        word = waiting.pop(0)
        key, _, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or "." not in key or (rest and rest[0] not in WITH_SETTINGS):
            rest.append(word)
            continue
        if "=" not in word:
            if not waiting or waiting[0].startswith("--"):
                bare.append(word)
                continue
            value = waiting.pop(0)
        settings[key] = value
    if bare:
        raise UserError(f"{' and '.join(bare)} {'needs' if len(bare) == 1 else 'need'} a value, as in {bare[0]} VALUE")
    return rest


def data_settings(
    data: str | None,
    valid: str | None,
    test: str | None,
    text_key: str | None,
    separator: str | None,
    limit: int | None,
) -> None:
    """Put the data options of a command among the settings."""
    named = {"source": data, "valid": valid, "test": test, "text_key": text_key, "separator": separator, "limit": limit}
    for key, value in named.items():
        if value is not None:
            settings[f"data.{key}"] = json.dumps(
                value, ensure_ascii=False
            )  # a text stays a text, whatever YAML would read in it
    if data is not None and not {key.replace("-", "_") for key in settings} & {"data.limit"}:
        settings["data.limit"] = "null"  # the recipe's limit is for its own source


@contextmanager
def way_on(folder: Path | None = None) -> Iterator[None]:
    """Say how to go on, where a signal comes before there is anything to save."""
    try:
        yield
    except KeyboardInterrupt:
        if folder is not None and (folder / "recipe.yaml").exists():
            say(f"nothing more was trained. To go on: talewright train --resume {folder}")
        else:
            say("stopped before training. To go on where it was, give the same command again")
        raise


def end(outcome: Outcome, folder: Path) -> None:
    """Leave with the signal's exit code, and a word on how to go on, where the run was stopped by one."""
    if outcome.signal is not None and outcome.main_process:
        saved = ", and saved" if outcome.state.step else ""
        say(f"stopped at step {outcome.state.step:,}{saved}. To go on: talewright train --resume {folder}")
    if outcome.signal is not None:
        sys.exit(128 + outcome.signal)


def stream(run: Run, prompt: str, sampling: Sampling) -> None:
    print(prompt, end="", flush=True)
    for piece in run.stream(prompt, sampling):
        print(piece, end="", flush=True)
    print()


def prompts_of(prompt: str | None, file: str | None) -> list[str]:
    """The beginnings that a command was given: one, or a file of them; an empty one where there is neither."""
    if file is None:
        return [prompt or ""]
    if prompt is not None:
        raise UserError("give --prompt or --prompts, not both")
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--prompts {file} cannot be read: {error}") from None
    found = [line for line in lines if line.strip()]
    if not found:
        raise UserError(f"--prompts {file} is empty; it holds the beginning of a story on each line")
    return found


def dump(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
