"""The stories of a source, cleaned but neither shared out nor kept: to score a model on, or to look at."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from talewright.config import DataConfig
from talewright.data.clean import clean
from talewright.data.encode import encode_stories
from talewright.data.request import is_prepared
from talewright.data.sources import Role, open_source
from talewright.errors import UserError
from talewright.tokenizer import Tokenizer


def read_stories(config: DataConfig) -> Iterator[str]:
    """All stories of `config.source`, cleaned, without the empty and too short ones, as they come.

    Of a source with splits of its own, those of its validation split: they are what one scores a model on.
    """
    if is_prepared(config.source):
        raise UserError(f"{config.source} is a prepared corpus; name the stories that it was made of")
    parts = open_source(config.source, config).evaluation_parts("valid")
    for record in Role(parts, config.limit).records():
        story = clean(record)[0] if record else ""
        if story and len(story) >= config.min_chars:
            yield story


def tokenize_source(config: DataConfig, tokenizer: Tokenizer) -> tuple[list[np.ndarray], np.ndarray]:
    """Ids of each of a source's stories, and its bytes of text, (n,) int64; the stories that `read_stories` gives."""
    sizes: list[int] = []

    def sized() -> Iterator[str]:
        for story in read_stories(config):
            sizes.append(len(story.encode("utf-8")))
            yield story

    stories = []
    for batch in encode_stories(tokenizer, sized()):
        ends = np.cumsum(batch.lengths)
        stories += [batch.ids[end - length : end - 1] for end, length in zip(ends, batch.lengths, strict=True)]
    if not stories:
        raise UserError(f"{config.source} gave no story of {config.min_chars} characters or more")
    return stories, np.array(sizes, dtype=np.int64)
