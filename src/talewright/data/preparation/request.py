"""What a preparation depends on: the key of the cache, and how a prepared folder is compared with what is wanted."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from talewright.config import DataConfig, TokenizerConfig
from talewright.data.corpus import is_corpus
from talewright.data.layout import VERSION
from talewright.data.preparation.clean import CLEANING
from talewright.data.sources import HUB, identify, is_bundled
from talewright.files import cache_dir, expand_home
from talewright.tokenizer import Tokenizer


@dataclass(frozen=True)
class PreparationRequest:
    """The settings of a preparation."""

    data: DataConfig
    tokenizer: TokenizerConfig
    vocab_size: int

    @cached_property
    def values(self) -> dict[str, Any]:
        """Everything that the prepared stories depend on, as plain values; needs no network."""
        own = {name: getattr(self.data, name) for name in ("source", "valid", "test")}
        data: dict[str, Any] = {
            name: None if source is None else identify(source, self.data) for name, source in own.items()
        }
        for name in ("splits", "limit", "valid_limit", "format", "text_key", "separator", "min_chars", "drop_damaged"):
            data[name] = getattr(self.data, name)
        tokenizer: dict[str, Any] = {"kind": self.tokenizer.kind}
        if self.tokenizer.kind == "saved":  # the same in whatever folder it is
            saved = Tokenizer.load(expand_home(self.tokenizer.source))
            tokenizer["fingerprint"] = saved.fingerprint
            if not saved.splits_as_gpt2:  # earlier versions may have prepared these stories with wrong ids
                tokenizer["words"] = "its own"
        elif self.tokenizer.kind != "bpe":
            path = Path(self.tokenizer.source)
            tokenizer["source"] = str(path.resolve()) if path.is_dir() else self.tokenizer.source
        if self.tokenizer.kind in ("bpe", "gpt2-top"):
            tokenizer["vocab_size"] = self.vocab_size
        return json.loads(json.dumps({"version": VERSION, "cleaning": CLEANING, "data": data, "tokenizer": tokenizer}))


def cache_folder(request: PreparationRequest) -> Path:
    """Where the cache keeps the corpus of a request."""
    source = request.data.source
    last = source if is_bundled(source) else Path(source.removeprefix(HUB)).absolute().name.split(".")[0]
    name = re.sub(r"[^A-Za-z0-9]+", "-", last).strip("-")[:40] or "stories"
    key = hashlib.sha256(json.dumps(request.values, sort_keys=True).encode()).hexdigest()[:12]
    return cache_dir() / "corpora" / f"{name}-{key}"


def first_difference(there: Any, here: Any, path: str = "") -> str:
    """A sentence on the first difference between the values of a prepared folder and those of a request."""
    if isinstance(there, dict) and isinstance(here, dict):
        for name in sorted({*there, *here}):
            if there.get(name) != here.get(name):
                return first_difference(there.get(name), here.get(name), f"{path}.{name}" if path else name)
    if path.endswith(".files"):
        before = {entry[0]: entry for entry in there or []}
        for entry in here or []:
            if entry[0] not in before:
                return f"it is not made of {entry[0]}"
            if entry != before[entry[0]]:
                return f"{entry[0]} has changed since"
        return f"it is made of {len(before):,} files, not of {len(here or []):,}"
    return f"{path} is {json.dumps(there)} there and {json.dumps(here)} here"


def is_prepared(source: str) -> bool:
    """Whether the name of a source is that of a prepared corpus."""
    return not (is_bundled(source) or source.startswith(HUB)) and is_corpus(Path(source))
