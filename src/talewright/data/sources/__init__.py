"""Where stories come from: files on this machine, the Hugging Face hub, or the bundled stories, named by a string."""

from __future__ import annotations

import glob
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

from talewright.config import DataConfig
from talewright.data.layout import SplitName
from talewright.data.sources.file_format import KEYED
from talewright.data.sources.files import SourceFile, file_stat, open_files, recognize_files
from talewright.errors import UserError
from talewright.files import expand_home

logger = logging.getLogger(__name__)

HUB = "hub:"
BUNDLED_STORIES = 20_000
RECOGNITION = 3
"""Counts the changes of how files on the hub are recognized."""


class InterruptedSourceError(UserError):
    """The source broke off; the files read before stay valid."""


@dataclass(frozen=True)
class StorySource:
    """An opened source."""

    files: dict[SplitName, list[SourceFile]]
    """By the source's own splits; all in `train` if it has none."""
    version: str = ""
    """The revision on the hub; empty for other sources."""

    def evaluation_files(self, split: SplitName) -> list[SourceFile]:
        """The files to read if the whole source is named as this split: its own files of the split, or all."""
        return self.files.get(split) or [file for files in self.files.values() for file in files]


@dataclass(frozen=True)
class SplitInput:
    """What is read for one split, before stories are assigned by their hash."""

    files: list[SourceFile]
    limit: int | None = None
    """Read at most this many stories."""

    def records(self) -> Iterator[str]:
        return islice((record for file in self.files for record in file.read()), self.limit)


def open_source(name: str, config: DataConfig) -> StorySource:
    """Find the files of a source. Raises UserError if there are none, or the hub cannot be reached."""
    if is_bundled(name):
        count = _bundled_count(name)
        return StorySource({"train": [SourceFile(name, lambda: _bundled_stories(count))]})
    if name.startswith(HUB):
        from talewright.data.sources.hub import open_hub

        return open_hub(name, config)
    return StorySource(open_files(name, config))


def open_splits(config: DataConfig) -> tuple[dict[SplitName, SplitInput], list[str]]:
    """What to read for each split, and the versions of the sources.

    The source's own validation and test stories are read unless `config.splits` is set; `config.valid` and
    `config.test` replace them.
    """
    main = open_source(config.source, config)
    versions = [main.version]
    limits: dict[SplitName, int | None] = {"train": config.limit, "valid": config.valid_limit, "test": None}
    files: dict[SplitName, list[SourceFile]] = {"train": main.files["train"]}
    if config.splits is None:
        files = dict(main.files)
    own: list[tuple[SplitName, str | None]] = [("valid", config.valid), ("test", config.test)]
    for split, name in own:
        if name is not None:
            source = open_source(name, config)
            versions.append(source.version)
            files[split] = source.evaluation_files(split)
    inputs: dict[SplitName, SplitInput] = {split: SplitInput(some, limits[split]) for split, some in files.items()}
    warn_unused([file for some in files.values() for file in some], config)
    return inputs, versions


def warn_unused(files: Sequence[SourceFile], config: DataConfig) -> None:
    """Warn of a setting that says how stories are read, but has no effect on any of these files.

    Not of files on the hub, whose formats are recognized when they are read.
    """
    if any(file.remote for file in files):
        return
    forms = [form for file in files if (form := file.form()) is not None]
    if config.text_key != "text" and not any(form.kind in KEYED for form in forms):
        logger.warning("--text-key %s has no effect: no file here has columns or keys", config.text_key)
    if config.separator is not None and not any(form.follows(config.separator) for form in forms):
        logger.warning("--separator %s has no effect: no file here is read as text with it", config.separator)
    if config.format != "auto" and not forms:
        logger.warning("--format %s has no effect: these stories are not read from files", config.format)


def from_anywhere(name: str) -> str:
    """The name with absolute paths, so that it is valid in any working directory."""
    if is_bundled(name) or name.startswith(HUB):
        return name
    path = expand_home(name)
    if glob.has_magic(name) and not path.exists():
        return str(Path(glob.escape(str(Path.cwd()))) / path)
    return str(path.absolute())


def last_name(name: str) -> str:
    """The name without the folders of its files."""
    return name if is_bundled(name) or name.startswith(HUB) else Path(name).name


def identify(name: str, config: DataConfig) -> dict[str, Any]:
    """What the prepared stories of a source depend on, as plain values; needs no network.

    It holds what was recognized of files on this machine. Files on the hub are recognized when they are read.
    """
    if is_bundled(name):
        first = "\0".join(_bundled_stories(100))
        return {"bundled": _bundled_count(name), "grammar": blake2b(first.encode(), digest_size=8).hexdigest()}
    if name.startswith(HUB):
        return {"hub": name.removeprefix(HUB), "recognition": RECOGNITION}
    recognized = recognize_files(name, config)
    files = [(path.resolve(), file_stat(path)) for path, _ in recognized]
    return {
        "files": [[str(path), stat.st_size, stat.st_mtime_ns] for path, stat in files],
        "recognized": [form.values() for _, form in recognized],
    }


def is_bundled(name: str) -> bool:
    """Whether the name is `bundled`, or `bundled:` and a number of stories."""
    return name == "bundled" or name.startswith("bundled:")


def _bundled_count(name: str) -> int:
    if name == "bundled":
        return BUNDLED_STORIES
    number = name.removeprefix("bundled:").replace("_", "")
    if not (number.isascii() and number.isdigit() and len(number) < 20) or int(number) < 1:
        raise UserError(f"{name} does not name a number of stories; write for example bundled:{BUNDLED_STORIES}")
    return int(number)


def _bundled_stories(count: int) -> Iterator[str]:
    from talewright.data.bundled import stories

    return stories(count)
