"""Names and formats of the files in a prepared corpus.

The tokens of a split are one stream (story, end of text, story, end of text ...), cut into shards of equal length:
`train-00000.bin` and so on. `train-starts.npy` and `train-bytes.npy` hold where each story starts and its UTF-8 size.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

FORMAT = "talewright corpus"
VERSION = 1
MANIFEST = "manifest.json"
SHARD_TOKENS = 1 << 26
"""128 MiB in uint16."""

SplitName = Literal["train", "valid", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "valid", "test")

FLAWS = {
    "lost": "with lost characters (U+FFFD)",
    "misread": "with signs of a wrong encoding",
    "control": "with control characters",
    "invisible": "with invisible characters, such as soft hyphens",
    "markup": "with HTML or escape sequences, such as &amp;",
}
"""The flaws that cleaning leaves and counts in the manifest, in words."""
DAMAGE = ("lost", "misread")
"""The flaws of which text is missing or wrong: `data.drop_damaged` leaves such stories out."""


def token_dtype(vocab_size: int) -> np.dtype:
    """The smaller of uint16 and uint32 that holds every id."""
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")


def shard_name(split: str, number: int) -> str:
    return f"{split}-{number:05}.bin"


def starts_name(split: str) -> str:
    return f"{split}-starts.npy"


def sizes_name(split: str) -> str:
    return f"{split}-bytes.npy"


def split_files(split: str, n_tokens: int, shard_tokens: int) -> list[str]:
    """Names of all files of a split."""
    shards = [shard_name(split, number) for number in range(-(-n_tokens // shard_tokens))]
    return [*shards, starts_name(split), sizes_name(split)]


def npy_header(count: int) -> bytes:
    """The 128 bytes before the values of an .npy file of `count` int64 (NumPy's format 1.0)."""
    header = f"{{'descr': '<i8', 'fortran_order': False, 'shape': ({count},), }}"
    return b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + header.ljust(117).encode() + b"\n"
