"""What a preparation is asked for: the key of the cache, and what a folder that holds another corpus is told by."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from talewright.config import DataConfig, TokenizerConfig
from talewright.data.corpus import VERSION, is_corpus
from talewright.data.sources import HUB, identify, is_bundled
from talewright.files import cache_dir
from talewright.tokenizer import Tokenizer


@dataclass(frozen=True)
class Job:
    """A preparation that is asked for."""

    data: DataConfig
    tokenizer: TokenizerConfig
    vocab_size: int

    @cached_property
    def request(self) -> dict[str, Any]:
        """Everything that the prepared stories depend on, as plain values; found without the network."""
        own = {name: getattr(self.data, name) for name in ("source", "valid", "test")}
        data: dict[str, Any] = {name: None if source is None else identify(source) for name, source in own.items()}
        for name in ("splits", "limit", "valid_limit", "text_key", "separator", "min_chars"):
            data[name] = getattr(self.data, name)
        words: dict[str, Any] = {"kind": self.tokenizer.kind}
        if self.tokenizer.kind == "saved":  # wherever it lies
            words["fingerprint"] = Tokenizer.load(Path(self.tokenizer.source).expanduser()).fingerprint
        elif self.tokenizer.kind != "bpe":
            path = Path(self.tokenizer.source)
            words["source"] = str(path.resolve()) if path.is_dir() else self.tokenizer.source
        if self.tokenizer.kind in ("bpe", "gpt2-top"):
            words["vocab_size"] = self.vocab_size
        return json.loads(json.dumps({"version": VERSION, "data": data, "tokenizer": words}))


def cache_folder(job: Job) -> Path:
    """Where the cache keeps the corpus of a job."""
    source = job.data.source
    last = source if is_bundled(source) else Path(source.removeprefix(HUB)).absolute().name.split(".")[0]
    name = re.sub(r"[^A-Za-z0-9]+", "-", last).strip("-")[:40] or "stories"
    key = hashlib.sha256(json.dumps(job.request, sort_keys=True).encode()).hexdigest()[:12]
    return cache_dir() / "corpora" / f"{name}-{key}"


def difference(there: Any, here: Any, path: str = "") -> str:
    """The first thing that differs between two requests, in words."""
    if isinstance(there, dict) and isinstance(here, dict):
        for name in sorted({*there, *here}):
            if there.get(name) != here.get(name):
                return difference(there.get(name), here.get(name), f"{path}.{name}" if path else name)
    if path.endswith(".files"):
        return _file_difference(cast(list, there or []), cast(list, here or []))
    return f"{path} is {json.dumps(there)} there and {json.dumps(here)} here"


def _file_difference(there: list[list[Any]], here: list[list[Any]]) -> str:
    before = {entry[0]: entry for entry in there}
    for entry in here:
        if entry[0] not in before:
            return f"it is not made of {entry[0]}"
        if entry != before[entry[0]]:
            return f"{entry[0]} has changed since"
    return f"it is made of {len(there):,} files, not of {len(here):,}"


def is_prepared(source: str) -> bool:
    """Whether a source's name is that of a folder that `prepare` made."""
    return not (is_bundled(source) or source.startswith(HUB)) and is_corpus(Path(source))
