"""Stories of the Hugging Face hub: a whole dataset, streamed through `datasets`, or files of its repository."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from glob import has_magic
from pathlib import Path
from typing import Any, cast

from talewright.config import DataConfig
from talewright.data.formats import Record, format_of, no_such_key
from talewright.data.sources import HUB, InterruptedSourceError, Part, Source, by_role, file_part, glob_root
from talewright.data.splits import SplitName
from talewright.data.unpack import Input, StoryFile
from talewright.errors import UserError

TIMEOUT = 10.0  # seconds that the hub has for its first answer
RETRIES = 2  # of a piece that did not come, each after some seconds; `datasets` itself would try for many minutes
_AT_ONCE = 256  # stories
_ROLES: dict[str, SplitName] = {"train": "train", "test": "test"} | dict.fromkeys(
    ("validation", "valid", "val", "dev"), "valid"
)
_WAYS_ON = "name a local file with --data FILE, or use the stories that come along with --data bundled"


def open_hub(name: str, config: DataConfig) -> Source:
    """Open `hub:OWNER/NAME` or `hub:OWNER/NAME/FILE-OR-GLOB`. Raises UserError where it cannot be had."""
    owner, _, rest = name.removeprefix(HUB).partition("/")
    dataset, _, pattern = rest.partition("/")
    if not owner or not dataset:
        raise UserError(f"{name} is no name on the hub; it is {HUB}OWNER/NAME, such as {HUB}roneneldan/TinyStories")
    repo = f"{owner}/{dataset}"
    try:
        import datasets  # noqa: F401 - asked for here, so that its absence is said before anything is fetched
        from huggingface_hub import HfApi
    except ImportError:
        raise UserError('the hub needs a package more: pip install "talewright[data]"') from None
    with _hub_errors(repo, "cannot be reached"):
        found = HfApi().dataset_info(repo, timeout=TIMEOUT)
    revision = str(found.sha)
    if pattern:
        names = [entry.rfilename for entry in found.siblings or []]
        return Source(_file_parts(repo, revision, pattern, names, config), revision)
    return Source(_dataset_parts(repo, revision, config), revision)


@contextmanager
def _hub_errors(repo: str, what: str) -> Iterator[None]:
    """Turn whatever goes wrong on the way to the hub into one sentence. Its libraries raise many kinds of errors."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise InterruptedSourceError(_message(error, repo, what)) from None


def _message(error: Exception, repo: str, what: str) -> str:
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    if isinstance(error, GatedRepoError):
        return f"the hub gives {repo} only to those who asked for it there; then log in with: hf auth login"
    if isinstance(error, RepositoryNotFoundError):
        return f"the hub has no dataset {repo}, or it is private; {_WAYS_ON}"
    if isinstance(error, HFValidationError):
        return f"{repo} is no name on the hub; it is {HUB}OWNER/NAME, such as {HUB}roneneldan/TinyStories"
    reason = (str(error).strip().splitlines() or [""])[0]
    return f"the hub {what} ({type(error).__name__}: {reason[:200]}); {_WAYS_ON}"


# --- a whole dataset -----------------------------------------------------------------------------------------------


def _dataset_parts(repo: str, revision: str, config: DataConfig) -> dict[SplitName, list[Part]]:
    from datasets import load_dataset

    with _hub_errors(repo, f"does not give {repo}"), _short_retries():
        splits = cast(dict[str, Any], load_dataset(repo, revision=revision, streaming=True))
    named = {_ROLES.get(name): split for name, split in splits.items()}
    if "train" not in named:  # a dataset of one split, whatever it is called
        named = {"train": next(iter(splits.values()))} if len(splits) == 1 else named
    if "train" not in named:
        raise UserError(f"{repo} has no split train; it has {', '.join(splits)}")
    return {role: _shards(repo, role, split, config.text_key) for role, split in named.items() if role is not None}


def _shards(repo: str, role: str, split: Any, key: str) -> list[Part]:
    """A part for each file that the split is kept in: what was read of them need not be fetched again."""
    count = max(1, split.num_shards)

    def reader(index: int) -> Callable[[int], Iterator[Record]]:
        return lambda skip: _rows(repo, split.shard(count, index) if count > 1 else split, skip, key)

    return [Part(f"{repo} {role} {index}", reader(index)) for index in range(count)]


def _rows(repo: str, rows: Any, skip: int, key: str) -> Iterator[Record]:
    with _hub_errors(repo, f"broke off within {repo}; the same command goes on from there"), _short_retries():
        for batch in (rows.skip(skip) if skip else rows).iter(batch_size=_AT_ONCE):
            if key not in batch:
                raise UserError(no_such_key(batch, key, repo))
            for record in batch[key]:
                if record is not None and not isinstance(record, str):
                    kind = type(record).__name__
                    raise UserError(f'{repo} column "{key}" holds {kind}, not text; name the right one with --text-key')
                yield record


@contextmanager
def _short_retries() -> Iterator[None]:
    from datasets import config

    names = ("STREAMING_READ_MAX_RETRIES", "STREAMING_OPEN_MAX_RETRIES")
    before = {name: getattr(config, name) for name in names}
    try:
        for name in names:
            setattr(config, name, min(RETRIES, before[name]))
        yield
    finally:
        for name in names:
            setattr(config, name, before[name])


# --- files of a repository -----------------------------------------------------------------------------------------


def _file_parts(
    repo: str, revision: str, pattern: str, names: list[str], config: DataConfig
) -> dict[SplitName, list[Part]]:
    found = sorted(name for name in names if fnmatchcase(name, pattern))
    if not found:
        stories = [name for name in names if format_of(name)]
        listed = ", ".join(stories[:8]) + (" ..." if len(stories) > 8 else "")
        raise UserError(f"{repo} has no file {pattern} on the hub; it has {listed or 'none of stories'}")
    root = glob_root(Path(pattern)).as_posix() if has_magic(pattern) else ""
    named = [(name.removeprefix(root), _hub_part(repo, revision, name, config)) for name in found]
    return by_role(named)


def _hub_part(repo: str, revision: str, name: str, config: DataConfig) -> Part:
    part = file_part(StoryFile(name, lambda: _open_file(repo, revision, name)), config)

    def read(skip: int) -> Iterator[Record]:
        with _hub_errors(repo, f"broke off within {name}; the same command goes on from there"):
            yield from part.read(skip)

    return Part(f"{repo}/{name}", read)


def _open_file(repo: str, revision: str, name: str) -> Input:
    from huggingface_hub import HfFileSystem

    files, path = HfFileSystem(), f"datasets/{repo}@{revision}/{name}"
    size = int(files.info(path)["size"])
    if format_of(name) == "parquet" and name.endswith(".parquet"):
        return cast(Input, files.open(path, "rb"))  # seeks, and knows its own length
    return _Whole(cast(Input, files.open(path, "rb", block_size=0)), size, name)


class _Whole:
    """A stream whose end is believed only where all its bytes have come."""

    def __init__(self, stream: Input, size: int, name: str) -> None:
        self._stream, self._left, self._name = stream, size, name

    def read(self, size: int = -1, /) -> bytes:
        piece = self._stream.read(size)
        self._left -= len(piece)
        if not piece and size and self._left > 0:
            raise ConnectionError(f"{self._name} ended {self._left:,} bytes too soon")
        return piece

    def close(self) -> None:
        self._stream.close()
