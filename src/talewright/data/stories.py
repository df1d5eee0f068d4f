"""The stories of a source, cleaned but neither split nor stored: to evaluate a model on, or to inspect."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from talewright.config import DataConfig
from talewright.data.preparation.clean import clean
from talewright.data.preparation.flaws import is_damaged
from talewright.data.preparation.request import is_prepared
from talewright.data.preparation.tokenize import tokenize_stories
from talewright.data.sources import SplitInput, open_source, warn_unused
from talewright.errors import UserError
from talewright.tokenizer import Tokenizer


def read_stories(config: DataConfig) -> Iterator[str]:
    """All stories of `config.source`, cleaned and in order, without the empty, too short and (if so set) damaged ones.

    If the source has a validation split, only its stories: models are evaluated on these.
    """
    if is_prepared(config.source):
        raise UserError(f"{config.source} is a prepared corpus; name the stories that it was made of")
    files = open_source(config.source, config).evaluation_files("valid")
    warn_unused(files, config)
    for record in SplitInput(files, config.limit).records():
        story = clean(record)[0]
        if story and len(story) >= config.min_chars and not (config.drop_damaged and is_damaged(story)):
            yield story


def tokenize_source(config: DataConfig, tokenizer: Tokenizer) -> tuple[list[np.ndarray], np.ndarray]:
    """Token ids of each story that `read_stories` gives, and their sizes in bytes, (n,) int64."""
    sizes: list[int] = []

    def measured() -> Iterator[str]:
        for story in read_stories(config):
            sizes.append(len(story.encode("utf-8")))
            yield story

    stories = []
    for batch in tokenize_stories(tokenizer, measured()):
        ends = np.cumsum(batch.lengths)
        stories += [batch.ids[end - length : end - 1] for end, length in zip(ends, batch.lengths, strict=True)]
    if not stories:
        raise UserError(f"{config.source} has no story of {config.min_chars} characters or more")
    return stories, np.array(sizes, dtype=np.int64)
