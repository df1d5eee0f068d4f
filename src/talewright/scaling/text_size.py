"""How much text a recipe trains on, estimated before it is read, and whether it is like TinyStories."""

from __future__ import annotations

import dataclasses
import math
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from talewright.config import HUB_TINYSTORIES, DataConfig
from talewright.data.corpus import Corpus
from talewright.data.preparation.request import is_prepared
from talewright.data.sources import BUNDLED_STORIES, HUB, SplitInput, is_bundled, open_splits
from talewright.data.sources.compression import damage_errors, decompress
from talewright.data.sources.files import file_stat
from talewright.errors import UserError

DEFAULT_SPLITS = (95.0, 5.0)
STORY_BYTES = 850
"""Of an average TinyStories story."""
EXPANSION = {".gz": 2.6, ".zst": 2.8, ".parquet": 2.0}
"""Bytes of text for each byte of such a file."""
OPENINGS, OPENINGS_PER_KIB = (b"Once upon a time", b"One day"), 1.0
"""In TinyStories they occur 1.8 times per KiB; in the bundled stories 0.2 times."""


class TextSize(NamedTuple):
    """The training text of a recipe."""

    bytes: float
    """Of UTF-8 text, estimated; infinite for a data set on the hub."""
    is_tinystories: bool
    """Whether it is TinyStories or like it, so that the scaling law applies."""


def text_size(data: DataConfig) -> TextSize:
    """The training text of these settings. Needs no network. Raises UserError if there is no such file."""
    if is_prepared(data.source):
        split = Corpus.open(Path(data.source)).split("train")
        return TextSize(split.n_bytes, False)
    limit = math.inf if data.limit is None else float(STORY_BYTES * data.limit)
    if data.source.startswith(HUB):
        return TextSize(limit, data.source == HUB_TINYSTORIES)
    inputs, _ = open_splits(dataclasses.replace(data, valid=None, test=None))
    splits = data.splits or DEFAULT_SPLITS
    share = 1.0 if data.splits is None and (data.valid or "valid" in inputs) else splits[0] / sum(splits)
    if is_bundled(data.source):
        return TextSize(share * min(_bundled_bytes(inputs["train"], data.source), limit), False)
    paths = [file.path for file in inputs["train"].files if file.path is not None]
    total = sum(file_stat(path).st_size * EXPANSION.get(path.suffix.lower(), 1.0) for path in paths)
    if not total:
        raise UserError(f"{data.source} is empty; training needs stories")
    return TextSize(share * min(total, limit), bool(paths) and _is_like_tinystories(paths[0]))


def _bundled_bytes(stories: SplitInput, name: str) -> float:
    """The number of stories, times the mean size of the first 50."""
    first = [len(story.encode()) for story in islice(stories.records(), 50)]
    count = name.partition(":")[2].replace("_", "")
    return sum(first) / len(first) * (int(count) if count else BUNDLED_STORIES)


def _is_like_tinystories(path: Path) -> bool:
    """By the openings of the stories in the beginning of the file."""
    try:
        with path.open("rb") as file, damage_errors(path.name):
            stream = decompress(file, path.name)
            text = stream.read(1 << 18)
    except (OSError, UserError):
        return False
    return sum(text.count(opening) for opening in OPENINGS) >= OPENINGS_PER_KIB * len(text) / 1024 > 0
