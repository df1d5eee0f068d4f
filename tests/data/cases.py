"""Stories for tests, and files of them written by other programs."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from talewright.config import EOT, TokenizerConfig
from talewright.data import Corpus

BPE = TokenizerConfig(kind="bpe")
VOCAB = 300
WORDS = [
    *("the", "a", "cat", "dog", "girl", "boy", "red", "big", "ball", "ran", "to", "park", "and", "saw", "said"),
    *("“Hello!”", "It’s", "fun", "…", "one", "day", "über", "😀", "mom\nLater"),
]


def tales(count: int, seed: int = 0) -> list[str]:
    """Different stories of some 20 to 60 words."""
    draw = random.Random(seed)
    return [
        f"Story {seed}/{n}. " + " ".join(draw.choices(WORDS, k=draw.randint(20, 60))) + " The end."
        for n in range(count)
    ]


def write_txt(path: Path, stories: Sequence[str], separator: str = EOT) -> Path:
    path.write_text("".join(f"{story}\n{separator}\n" for story in stories), encoding="utf-8", newline="")
    return path


def as_bytes(kind: str, stories: Sequence[str], key: str = "text") -> bytes:
    """A file of that format."""
    rows = [{"id": n, key: story} for n, story in enumerate(stories)]
    if kind == "txt":
        return "".join(f"{story}\n{EOT}\n" for story in stories).encode()
    if kind == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    if kind == "json":
        return json.dumps(rows, ensure_ascii=False, indent=1).encode()
    if kind == "csv":
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, ["id", key])
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode()
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = io.BytesIO()
    pq.write_table(pa.table({"id": [row["id"] for row in rows], key: list(stories)}), data, row_group_size=50)
    return data.getvalue()


def packed(packing: str, data: bytes) -> bytes:
    """The bytes compressed as a file of that ending is: nothing, gzip or Zstandard."""
    if packing == ".gz":
        return gzip.compress(data)
    if packing == ".zst":
        import zstandard

        return zstandard.ZstdCompressor().compress(data)
    return data


def stream(corpus: Corpus, name: str) -> np.ndarray:
    """All tokens of a split, read from its shards by nothing but numpy."""
    entry = corpus.manifest["splits"][name]
    shards = [file["name"] for file in entry["files"] if file["name"].endswith(".bin")]
    dtype = np.dtype(corpus.manifest["dtype"])
    return np.concatenate([np.fromfile(corpus.folder / shard, dtype=dtype) for shard in shards]).astype(np.int64)


def texts(corpus: Corpus, *names: str) -> list[str]:
    """The stories of these splits, decoded."""
    return [corpus.tokenizer.decode(story) for name in names for story in _stories(corpus, name)]


def _stories(corpus: Corpus, name: str) -> Iterator[np.ndarray]:
    ids = stream(corpus, name)
    ends = np.flatnonzero(ids == corpus.tokenizer.eos_id)
    return (ids[begin:end] for begin, end in zip([0, *(ends[:-1] + 1)], ends, strict=True))


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
