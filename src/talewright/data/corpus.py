"""A prepared corpus: a folder of token shards, opened, checked and mapped into memory."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from talewright.data.layout import (
    FORMAT,
    MANIFEST,
    SPLITS,
    VERSION,
    SplitName,
    npy_header,
    shard_name,
    sizes_name,
    split_files,
    starts_name,
    token_dtype,
)
from talewright.data.summary import no_stories
from talewright.errors import UserError
from talewright.files import read_json, reject_outside_links, sha256_file
from talewright.tokenizer import Tokenizer

_PREPARE_AGAIN = "; remove the folder and prepare it again"


def evenly_spread(number: int | None, count: int) -> Sequence[int]:
    """`number` indices below `count`, each from the middle of an equal part: a fair sample of stories whose order may
    matter. All, in order, if there are no more, or if `number` is None.
    """
    if number is None or number >= count:
        return range(count)
    return [(2 * i + 1) * count // (2 * number) for i in range(number)]


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
        """Open a prepared folder. Raises UserError, naming the file, if something is missing, truncated or foreign.

        Checks sizes, the tokenizer and the starts of stories; `doctor verify` reads everything.
        """
        folder = Path(folder)
        manifest = _manifest(folder)
        reject_outside_links(folder)
        corpus = cls(folder, manifest, Tokenizer.load(folder / "tokenizer"))
        if corpus.tokenizer.fingerprint != manifest["tokenizer"]["fingerprint"]:
            raise UserError(f"{folder}/tokenizer is not the one that these stories were prepared with{_PREPARE_AGAIN}")
        for name in corpus.splits:
            corpus.split(name)
        return corpus

    @property
    def splits(self) -> tuple[SplitName, ...]:
        """The splits that have stories."""
        return tuple(name for name in SPLITS if name in self.manifest["splits"])

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that training on this corpus depends on: its tokens and its tokenizer."""
        hashes = [self.manifest["tokenizer"]["fingerprint"]]
        for name in self.splits:
            hashes += [entry["sha256"] for entry in self.manifest["splits"][name]["files"]]
        return hashlib.sha256("\n".join(hashes).encode()).hexdigest()

    def split(self, name: SplitName) -> Split:
        """The stories of one split. Raises UserError if the corpus has none."""
        if name not in self.manifest["splits"]:
            raise UserError(no_stories(self.manifest, name))
        return Split(self.folder, name, self.manifest, self.tokenizer)

    def verify(self) -> None:
        """Read every file and compare its hash. Raises UserError, naming the first file that was altered."""
        for name in self.splits:
            for entry in self.manifest["splits"][name]["files"]:
                path = self.folder / entry["name"]
                if not path.is_file():
                    raise UserError(f"{path} is missing{_PREPARE_AGAIN}")
                if sha256_file(path) != entry["sha256"]:
                    raise UserError(f"{path} was altered since it was prepared{_PREPARE_AGAIN}")


def _manifest(folder: Path) -> dict[str, Any]:
    if not (folder / MANIFEST).is_file():
        why = f"it has no {MANIFEST}" if folder.is_dir() else "there is no such folder"
        raise UserError(f"{folder} is not a prepared corpus: {why}. `talewright data prepare` makes one")
    manifest = read_json(folder / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise UserError(f"{folder / MANIFEST} is damaged or belongs to another program{_PREPARE_AGAIN}")
    if manifest.get("version") != VERSION:
        raise UserError(f"{folder} has format {manifest.get('version')}; this version reads {VERSION}{_PREPARE_AGAIN}")
    if not _is_complete(manifest):
        raise UserError(f"{folder / MANIFEST} is damaged: it lacks some of its values{_PREPARE_AGAIN}")
    return manifest


def _is_complete(manifest: dict[str, Any]) -> bool:
    """Whether every value that is used exists and has its type."""
    tokenizer, request, splits, source = (manifest.get(name) for name in ("tokenizer", "request", "splits", "source"))
    return (
        isinstance(manifest.get("data"), dict)
        and isinstance(source, dict)
        and isinstance(source.get("read"), dict)
        and isinstance(tokenizer, dict)
        and isinstance(tokenizer.get("fingerprint"), str)
        and isinstance(request, dict)
        and isinstance(request.get("tokenizer"), dict)
        and isinstance(splits, dict)
        and {"train"} <= {*splits} <= {*SPLITS}
        and _are_counts(manifest, "shard_tokens")
        and all(_is_complete_split(name, entry, manifest["shard_tokens"]) for name, entry in splits.items())
    )


def _is_complete_split(name: str, entry: Any, shard_tokens: int) -> bool:
    """Whether it lists all its files with their hashes, and no others: `doctor verify` reads what is listed."""
    if not isinstance(entry, dict) or not _are_counts(entry, "stories", "tokens", "bytes"):
        return False
    files = entry.get("files")
    if not isinstance(files, list) or len(files) != -(-entry["tokens"] // shard_tokens) + 2:
        return False
    if not all(isinstance(file, dict) and isinstance(file.get("sha256"), str) for file in files):
        return False
    return sorted(str(file.get("name")) for file in files) == sorted(split_files(name, entry["tokens"], shard_tokens))


def _are_counts(entry: dict[str, Any], *names: str) -> bool:
    return all(type(entry.get(name)) is int and entry[name] > 0 for name in names)


class Split:
    """Prepared stories as one stream of tokens, mapped into memory: story, end of text, story, end of text ..."""

    def __init__(self, folder: Path, name: str, manifest: dict[str, Any], tokenizer: Tokenizer) -> None:
        entry = manifest["splits"][name]
        self.folder, self.name = folder, name
        self.n_stories: int = entry["stories"]
        self.n_tokens: int = entry["tokens"]
        """Tokens, with the end of each text."""
        self.n_bytes: int = entry["bytes"]
        """Bytes of all text in UTF-8."""
        self.eos_id = tokenizer.eos_id
        self.begin_id = tokenizer.begin_id
        self._separator = tokenizer.separator
        self._vocab_size = tokenizer.vocab_size
        dtype = token_dtype(tokenizer.vocab_size)
        self._shard_tokens: int = manifest["shard_tokens"]
        self._shards = [
            _map_shard(folder / shard_name(name, number), dtype, min(self._shard_tokens, self.n_tokens - begin))
            for number, begin in enumerate(range(0, self.n_tokens, self._shard_tokens))
        ]
        self.starts = _map_npy(folder / starts_name(name), self.n_stories)
        """Position of the first token of each story: (n_stories,) int64."""
        self.story_bytes = _map_npy(folder / sizes_name(name), self.n_stories)
        """Bytes of each story's text: (n_stories,) int64."""
        self._check()

    def tokens(self, start: int, stop: int) -> np.ndarray:
        """Token ids from start to stop: (stop - start,) int64."""
        ids = np.empty(stop - start, dtype=np.int64)
        self.read_into(ids, start)
        return ids

    def read_into(self, out: np.ndarray, start: int) -> None:
        """Fill `out` with the token ids from `start` on."""
        if start < 0 or start + len(out) > self.n_tokens:
            raise IndexError(f"tokens {start} to {start + len(out)} of {self.n_tokens}")
        number, offset = divmod(start, self._shard_tokens)
        done = 0
        while done < len(out):
            ids = self._shards[number][offset : offset + len(out) - done]
            out[done : done + len(ids)] = ids
            done += len(ids)
            number, offset = number + 1, 0

    def story(self, index: int) -> np.ndarray:
        """Token ids of a story without its end of text, int64. Raises UserError if one is not in the vocabulary."""
        start, stop = self.bounds(index)
        ids = self.tokens(start, stop - len(self._separator))
        self.check_ids(ids)
        return ids

    def stories(self, indices: Sequence[int] | None = None) -> tuple[list[np.ndarray], np.ndarray]:
        """Token ids of some stories (all: None), without end of text, and their UTF-8 sizes, (n,)."""
        indices = range(self.n_stories) if indices is None else indices
        return [self.story(index) for index in indices], self.story_bytes[indices]

    def bounds(self, index: int) -> tuple[int, int]:
        """Start and stop of a story in the stream, with the separator after it."""
        index = range(self.n_stories)[index]
        following = index + 1
        stop = int(self.starts[following]) if following < self.n_stories else self.n_tokens
        return int(self.starts[index]), stop

    def story_at(self, position: int) -> int:
        """Index of the story that a token of the stream belongs to."""
        return bisect_right(self.starts, position) - 1

    def check_ids(self, ids: np.ndarray) -> None:
        """Raise UserError if an id is not in the vocabulary: a shard was altered."""
        if ids.size and ids.max() >= self._vocab_size:
            largest = int(ids.max())
            raise UserError(
                f"the {self.name} shards in {self.folder} hold the id {largest}, beyond the vocabulary of "
                f"{self._vocab_size}: they were altered{_PREPARE_AGAIN}"
            )

    def _check(self) -> None:
        starts = self.starts
        ends = [int(stop) - 1 for stop in (*starts[1:2], self.n_tokens)]
        ordered = starts[0] == 0 and starts[-1] < self.n_tokens and bool((np.diff(starts) > 0).all())
        if not ordered or any(self.tokens(end, end + 1)[0] != self._separator[-1] for end in ends):
            raise UserError(f"{self.folder / starts_name(self.name)} does not fit the shards beside it{_PREPARE_AGAIN}")


def _map_shard(path: Path, dtype: np.dtype, tokens: int) -> np.ndarray:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise UserError(f"{path} is missing{_PREPARE_AGAIN}") from None
    if size != tokens * dtype.itemsize:
        raise UserError(f"{path} has {size:,} bytes and should have {tokens * dtype.itemsize:,}{_PREPARE_AGAIN}")
    return np.memmap(path, dtype=dtype, mode="r", shape=(tokens,)).view(np.ndarray)


def _map_npy(path: Path, stories: int) -> np.ndarray:
    """An .npy file of `stories` int64. Its header is compared, not parsed: NumPy's parser trusts it."""
    header = npy_header(stories)
    try:
        with path.open("rb") as file:
            fits = file.read(len(header)) == header and path.stat().st_size == len(header) + 8 * stories
    except FileNotFoundError:
        raise UserError(f"{path} is missing{_PREPARE_AGAIN}") from None
    if not fits:
        raise UserError(f"{path} does not hold {stories:,} int64{_PREPARE_AGAIN}")
    return np.memmap(path, dtype="<i8", mode="r", offset=len(header), shape=(stories,)).view(np.ndarray)
