"""Which stories a recipe uses, and how they become training sequences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from talewright.config.checks import Check, Count, CountOrZero, Section

HUB_TINYSTORIES = "hub:roneneldan/TinyStories"
NEW_SOURCE = {
    **{"data.limit": "null", "data.valid_limit": "null"},
    **{"data.format": "auto", "data.separator": "null", "data.text_key": "text"},
}
"""What a recipe's settings for its own source become for another one."""

StoryFormat = Literal["auto", "separator", "blank-lines", "lines", "text", "csv", "json", "jsonl", "parquet"]


def _are_shares(splits: tuple[float, ...]) -> bool:
    return len(splits) in (2, 3) and min(splits) >= 0 and splits[0] > 0


@dataclass(frozen=True, kw_only=True)
class DataConfig(Section, prefix="data."):
    """Settings of the stories."""

    source: str = HUB_TINYSTORIES
    """Stories: `bundled`, `hub:OWNER/NAME` (`:CONFIGURATION` or `/FILE` behind it), or a file, folder or glob (text,
    CSV, TSV, JSON, Parquet; .gz, .zst)."""
    valid: str | None = None
    """Source of the validation stories. Unset: a split of `source`."""
    test: str | None = None
    """Source of the test stories. Unset: a split of `source`, if it has one."""
    splits: Annotated[
        tuple[float, ...] | None,
        Check(_are_shares, "it holds two or three shares, such as [95, 5] or [70, 20, 10]"),
    ] = None
    """Shares of train, validation and test. A hash of its text assigns each story to a split. Unset: the splits that
    the source has, otherwise 95/5."""
    limit: Count | None = None
    """Read at most this many stories of the source."""
    valid_limit: Count | None = None
    """Read at most this many stories of the validation source."""
    format: StoryFormat = "auto"
    """How a file holds its stories. auto: by the ending of its name; a text file is recognized by its contents.
    separator, blank-lines: what stands between stories. lines: a story per line. text: a book or a play, cut into
    documents."""
    text_key: str = "text"
    """Column or key that holds the story, in .jsonl, .json, .csv, .parquet and on the hub; `outer.inner` is a key of an
    object within an object or a list. If a file has no `text`, its only column of text."""
    separator: str | None = None
    """Line between the stories of a text file; `blank line` or `two blank lines` are understood. Unset: recognized."""
    min_chars: CountOrZero = 20
    """Skip stories with fewer characters, and count them."""
    drop_damaged: bool = False
    """Skip stories with characters that are lost (U+FFFD) or were read in a wrong encoding and cannot be mended, and
    count them."""
    layout: Literal["packed", "aligned", "rows"] = "packed"
    """packed: stories in one stream, cut into windows. aligned: windows that begin with a story; a story that is cut
    begins the next window. rows: one story per row, padded."""
    sequence_length: Count | None = None
    """Tokens in a training window or row. Unset: the model's context length."""
    stride: Count | None = None
    """Tokens between the starts of two windows. Unset: the window's length."""

    def of_source(self, source: str, reading: Mapping[str, Any]) -> DataConfig:
        """The settings for all stories of another source; `reading` are settings that say how it is read."""
        own = {"limit": None, "format": "auto", "separator": None, "text_key": "text"}
        return replace(self, source=source, **{**own, **reading})

    def conflicts(self) -> Iterator[str]:
        if self.stride is not None and self.layout != "packed":
            yield f"data.stride is {self.stride}, but with data.layout {self.layout} windows begin at stories; unset it"
