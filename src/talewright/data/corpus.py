"""A prepared corpus: a folder of token shards, opened, checked and mapped into memory."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from pathlib import Path
from typing import Any, Literal

import numpy as np

from talewright.data.shards import npy_header, shard_name, sizes_name, starts_name, token_dtype
from talewright.data.splits import SPLITS
from talewright.errors import UserError
from talewright.files import read_json, reject_outside_links, sha256_file
from talewright.tokenizer import Tokenizer

FORMAT = "talewright corpus"
VERSION = 1
MANIFEST = "manifest.json"
_SPLIT_WORDS = {"train": "training", "valid": "validation", "test": "test"}


def is_corpus(folder: Path) -> bool:
    """Whether the folder is a prepared corpus."""
    manifest = read_json(folder / MANIFEST)
    return isinstance(manifest, dict) and manifest.get("format") == FORMAT


class Corpus:
    """An opened, checked folder of prepared stories."""

    def __init__(self, folder: Path, manifest: dict[str, Any], tokenizer: Tokenizer) -> None:
        self.folder, self.manifest, self.tokenizer = folder, manifest, tokenizer

    @classmethod
    def open(cls, folder: Path) -> Corpus:
        """Open a prepared folder. Raises UserError, naming the file, where something is missing, short or foreign.

        Looks at sizes, the tokenizer and where stories start; `verify` reads everything.
        """
        folder = Path(folder)
        manifest = _manifest(folder)
        reject_outside_links(folder)
        corpus = cls(folder, manifest, Tokenizer.load(folder / "tokenizer"))
        if corpus.tokenizer.fingerprint != manifest["tokenizer"]["fingerprint"]:
            raise UserError(f"{folder}/tokenizer is not the one that these stories were prepared with{_AGAIN}")
        for name in corpus.splits:
            corpus.split(name)
        return corpus

    @property
    def splits(self) -> tuple[Literal["train", "valid", "test"], ...]:
        """The splits that have stories."""
        return tuple(name for name in SPLITS if name in self.manifest["splits"])

    @property
    def fingerprint(self) -> str:
        """sha256 of everything that training on this corpus depends on: its tokens and its tokenizer."""
        kept = [self.manifest["tokenizer"]["fingerprint"]]
        for name in self.splits:
            kept += [entry["sha256"] for entry in self.manifest["splits"][name]["files"]]
        return hashlib.sha256("\n".join(kept).encode()).hexdigest()

    def split(self, name: Literal["train", "valid", "test"]) -> Split:
        """The stories of one split. Raises UserError where the corpus has none."""
        if name not in self.manifest["splits"]:
            raise UserError(self._no_split(name))
        return Split(self.folder, name, self.manifest, self.tokenizer)

    def _no_split(self, name: str) -> str:
        words = _SPLIT_WORDS.get(name, name)
        train = self.manifest["splits"]["train"]["stories"]
        return (
            f"{self.folder} has no {words} stories, and {train:,} training ones; give some with --{name} FILE, or a "
            "share with --data.splits, such as [90, 10]. In a text file, --separator names the line that ends a story"
        )

    def verify(self) -> None:
        """Read every file and compare its hash. Raises UserError, naming the first that was altered."""
        for name in self.splits:
            for entry in self.manifest["splits"][name]["files"]:
                path = self.folder / entry["name"]
                if not path.is_file():
                    raise UserError(f"{path} is missing{_AGAIN}")
                if sha256_file(path) != entry["sha256"]:
                    raise UserError(f"{path} was altered since it was prepared{_AGAIN}")


_AGAIN = "; remove the folder and prepare it again"


def _manifest(folder: Path) -> dict[str, Any]:
    if not (folder / MANIFEST).is_file():
        why = f"it has no {MANIFEST}" if folder.is_dir() else "there is no such folder"
        raise UserError(f"{folder} is no prepared corpus: {why}. `talewright prepare` makes one")
    manifest = read_json(folder / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise UserError(f"{folder / MANIFEST} is damaged, or of another program{_AGAIN}")
    if manifest.get("version") != VERSION:
        raise UserError(f"{folder} is of format {manifest.get('version')}, and {VERSION} is read here{_AGAIN}")
    if not _is_whole(manifest):
        raise UserError(f"{folder / MANIFEST} is damaged: it lacks some of what it should say{_AGAIN}")
    return manifest


def _is_whole(manifest: dict[str, Any]) -> bool:
    """Whether everything that is looked at is there and of its kind."""
    words, request, splits = (manifest.get(name) for name in ("tokenizer", "request", "splits"))
    return (
        isinstance(words, dict)
        and isinstance(words.get("fingerprint"), str)
        and isinstance(request, dict)
        and isinstance(request.get("tokenizer"), dict)
        and isinstance(splits, dict)
        and "train" in splits
        and _counts(manifest, "shard_tokens")
        and all(isinstance(entry, dict) and _counts(entry, "stories", "tokens", "bytes") for entry in splits.values())
        and all(isinstance(entry.get("files"), list) for entry in splits.values())
        and all(_is_file(file) for entry in splits.values() for file in entry["files"])
        and all(_names_all(name, entry, manifest["shard_tokens"]) for name, entry in splits.items())
    )


def _counts(entry: dict[str, Any], *names: str) -> bool:
    return all(type(entry.get(name)) is int and entry[name] > 0 for name in names)


def _is_file(entry: Any) -> bool:
    """Whether a file is named, in the folder itself and nowhere else."""
    named = isinstance(entry, dict) and isinstance(entry.get("name"), str) and isinstance(entry.get("sha256"), str)
    return named and re.fullmatch(r"[a-z]+-[a-z0-9]+\.[a-z]+", entry["name"]) is not None


def _names_all(split: str, entry: dict[str, Any], shard_tokens: int) -> bool:
    """Whether the files of a split are named, each of them and no other: what is not named is not verified."""
    shards = -(-entry["tokens"] // shard_tokens)
    found = sorted(file["name"] for file in entry["files"])
    if len(found) != shards + 2:
        return False
    return found == sorted([starts_name(split), sizes_name(split), *(shard_name(split, n) for n in range(shards))])


class Split:
    """Prepared stories as one stream of tokens, mapped into memory: story, end of text, story, end of text ..."""

    def __init__(self, folder: Path, name: str, manifest: dict[str, Any], tokenizer: Tokenizer) -> None:
        entry = manifest["splits"][name]
        self.folder, self.name = folder, name
        self.n_stories: int = entry["stories"]
        self.n_tokens: int = entry["tokens"]
        """Tokens, those that end texts counted."""
        self.n_bytes: int = entry["bytes"]
        """Bytes of the stories' text in UTF-8."""
        self.eos_id = tokenizer.eos_id
        self._vocab_size = tokenizer.vocab_size
        dtype = token_dtype(tokenizer.vocab_size)
        self._shard_tokens: int = manifest["shard_tokens"]
        self._shards = [
            _mapped(folder / shard_name(name, number), dtype, min(self._shard_tokens, self.n_tokens - begin))
            for number, begin in enumerate(range(0, self.n_tokens, self._shard_tokens))
        ]
        self.starts = _indexed(folder / starts_name(name), self.n_stories)
        """Where each story begins in the stream: (n_stories,) int64."""
        self.story_bytes = _indexed(folder / sizes_name(name), self.n_stories)
        """Bytes of each story's text: (n_stories,) int64."""
        self._check()

    def tokens(self, start: int, stop: int) -> np.ndarray:
        """Ids of the stream from start to stop: (stop - start,) int64."""
        found = np.empty(stop - start, dtype=np.int64)
        self.read_into(found, start)
        return found

    def read_into(self, out: np.ndarray, start: int) -> None:
        """Fill `out` with the ids from `start` on."""
        if start < 0 or start + len(out) > self.n_tokens:
            raise IndexError(f"tokens {start} to {start + len(out)} of {self.n_tokens}")
        number, at = divmod(start, self._shard_tokens)
        done = 0
        while done < len(out):
            part = self._shards[number][at : at + len(out) - done]
            out[done : done + len(part)] = part
            done += len(part)
            number, at = number + 1, 0

    def story(self, index: int) -> np.ndarray:
        """Ids of one story without its end of text, int64. Raises UserError where one is beyond the vocabulary."""
        start, stop = self.bounds(index)
        ids = self.tokens(start, stop - 1)
        self.check_ids(ids)
        return ids

    def first_stories(self, number: int | None = None) -> tuple[list[np.ndarray], np.ndarray]:
        """Token ids of the first `number` stories (all: None), without end of text, and their UTF-8 sizes, (n,)."""
        number = self.n_stories if number is None else min(number, self.n_stories)
        return [self.story(i) for i in range(number)], self.story_bytes[:number]

    def bounds(self, index: int) -> tuple[int, int]:
        """Where a story begins in the stream, and where it ends, its end of text counted."""
        index = range(self.n_stories)[index]
        following = index + 1
        stop = int(self.starts[following]) if following < self.n_stories else self.n_tokens
        return int(self.starts[index]), stop

    def story_at(self, position: int) -> int:
        """Which story a token of the stream belongs to."""
        return bisect_right(self.starts, position) - 1

    def check_ids(self, ids: np.ndarray) -> None:
        """Raise UserError where an id is beyond the vocabulary: a shard was altered."""
        if ids.size and ids.max() >= self._vocab_size:
            largest = int(ids.max())
            raise UserError(
                f"the {self.name} shards in {self.folder} hold the id {largest}, beyond the vocabulary of "
                f"{self._vocab_size}: they were altered{_AGAIN}"
            )

    def _check(self) -> None:
        starts = self.starts
        ends = [int(stop) - 1 for stop in (*starts[1:2], self.n_tokens)]
        ordered = starts[0] == 0 and starts[-1] < self.n_tokens and bool((np.diff(starts) > 0).all())
        if not ordered or any(self.tokens(end, end + 1)[0] != self.eos_id for end in ends):
            raise UserError(f"{self.folder / starts_name(self.name)} does not fit the shards beside it{_AGAIN}")


def _mapped(path: Path, dtype: np.dtype, tokens: int) -> np.ndarray:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise UserError(f"{path} is missing{_AGAIN}") from None
    if size != tokens * dtype.itemsize:
        raise UserError(f"{path} has {size:,} bytes and should have {tokens * dtype.itemsize:,}{_AGAIN}")
    return np.memmap(path, dtype=dtype, mode="r", shape=(tokens,)).view(np.ndarray)


def _indexed(path: Path, stories: int) -> np.ndarray:
    """The .npy file of so many int64. Its header is compared, not parsed: NumPy's parser trusts it."""
    header = npy_header(stories)
    try:
        with path.open("rb") as file:
            fits = file.read(len(header)) == header and path.stat().st_size == len(header) + 8 * stories
    except FileNotFoundError:
        raise UserError(f"{path} is missing{_AGAIN}") from None
    if not fits:
        raise UserError(f"{path} does not hold {stories:,} int64{_AGAIN}")
    return np.memmap(path, dtype="<i8", mode="r", offset=len(header), shape=(stories,)).view(np.ndarray)
