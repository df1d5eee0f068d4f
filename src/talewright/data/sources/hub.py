"""Stories on the Hugging Face hub: a whole dataset, streamed by `datasets`, or files of its repository."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import cache, partial
from glob import has_magic
from pathlib import Path
from typing import Any, cast

from talewright.config import DataConfig
from talewright.data.layout import SplitName
from talewright.data.sources import HUB, InterruptedSourceError, StorySource
from talewright.data.sources.compression import ByteStream
from talewright.data.sources.file_format import FileFormat
from talewright.data.sources.files import SourceFile, by_split, glob_root
from talewright.data.sources.formats import read_records
from talewright.data.sources.keys import no_such_key
from talewright.data.sources.recognize import is_story_file, recognize
from talewright.errors import UserError

logger = logging.getLogger(__name__)

SAMPLE_BYTES = 1 << 20
"""Bytes of a file that are downloaded to recognize its format."""
TIMEOUT = 10.0
"""Seconds that the hub has for its first answer."""
RETRIES = 2
"""Of a failed request, some seconds apart; `datasets` itself would retry for many minutes."""
_BATCH = 256  # stories
_SPLITS: dict[str, SplitName] = {"train": "train", "test": "test", "validation": "valid"}
_SPLITS |= {"valid": "valid", "val": "valid", "dev": "valid"}
_ALTERNATIVES = "name a local file with --data FILE, or use the bundled stories with --data bundled"


def open_hub(name: str, config: DataConfig) -> StorySource:
    """Open `hub:OWNER/NAME` or `hub:OWNER/NAME/FILE-OR-GLOB`. Raises UserError if it is not available."""
    owner, _, rest = name.removeprefix(HUB).partition("/")
    dataset, _, pattern = rest.partition("/")
    if not owner or not dataset:
        raise UserError(_not_a_name(name))
    repo = f"{owner}/{dataset}"
    try:
        import datasets  # noqa: F401 - a missing package is reported before anything is downloaded
        from huggingface_hub import HfApi
    except ImportError:
        raise UserError('the hub needs another package: pip install "talewright[data]"') from None
    with _hub_errors(repo, "cannot be reached"):
        info = HfApi().dataset_info(repo, timeout=TIMEOUT)
    revision = str(info.sha)
    if pattern:
        names = [entry.rfilename for entry in info.siblings or []]
        return StorySource(_repository_files(repo, revision, pattern, names, config), revision)
    return StorySource(_dataset_shards(repo, revision, config), revision)


@contextmanager
def _hub_errors(repo: str, what: str) -> Iterator[None]:
    """Limit retries, and turn any error of the hub's libraries, which raise many kinds, into one sentence."""
    from datasets import config

    names = ("STREAMING_READ_MAX_RETRIES", "STREAMING_OPEN_MAX_RETRIES")
    before = {name: getattr(config, name) for name in names}
    try:
        for name in names:
            setattr(config, name, min(RETRIES, before[name]))
        yield
    except UserError:
        raise
    except Exception as error:
        raise InterruptedSourceError(_message(error, repo, what)) from None
    finally:
        for name in names:
            setattr(config, name, before[name])


def _message(error: Exception, repo: str, what: str) -> str:
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    if isinstance(error, GatedRepoError):
        return f"{repo} needs permission: request access on its page on the hub, then log in with: hf auth login"
    if isinstance(error, RepositoryNotFoundError):
        return f"the hub has no dataset {repo}, or it is private; {_ALTERNATIVES}"
    if isinstance(error, HFValidationError):
        return _not_a_name(repo)
    reason = (str(error).strip().splitlines() or [""])[0]
    return f"the hub {what} ({type(error).__name__}: {reason[:200]}); {_ALTERNATIVES}"


def _not_a_name(name: str) -> str:
    return f"{name} is not a name on the hub; write {HUB}OWNER/NAME, such as {HUB}roneneldan/TinyStories"


# --- a whole dataset -----------------------------------------------------------------------------------------------


def _dataset_shards(repo: str, revision: str, config: DataConfig) -> dict[SplitName, list[SourceFile]]:
    """A SourceFile for each file that a split is stored in."""
    from datasets import load_dataset

    with _hub_errors(repo, f"does not provide {repo}"):
        loaded = cast(dict[str, Any], load_dataset(repo, revision=revision, streaming=True))
    splits: dict[SplitName, Any] = {_SPLITS[name]: split for name, split in loaded.items() if name in _SPLITS}
    if "train" not in splits and len(loaded) == 1:  # the only split, whatever its name
        splits = {"train": next(iter(loaded.values()))}
    if "train" not in splits:
        raise UserError(f"{repo} has no split train; it has {', '.join(loaded)}")
    files: dict[SplitName, list[SourceFile]] = {}
    for name, split in splits.items():
        count = max(1, split.num_shards)
        shards = (split.shard(count, index) if count > 1 else split for index in range(count))
        files[name] = [SourceFile(repo, partial(_read_rows, repo, shard, config.text_key)) for shard in shards]
    return files


def _read_rows(repo: str, rows: Any, key: str) -> Iterator[str]:
    with _hub_errors(repo, f"broke off within {repo}; the same command continues"):
        for batch in rows.iter(batch_size=_BATCH):
            if key not in batch:
                raise UserError(no_such_key(batch, key, repo))
            for record in batch[key]:
                if record is not None and not isinstance(record, str):
                    kind = type(record).__name__
                    raise UserError(f'{repo} column "{key}" holds {kind}, not text; name the right one with --text-key')
                yield record or ""


# --- files of a repository -----------------------------------------------------------------------------------------


def _repository_files(
    repo: str, revision: str, pattern: str, names: list[str], config: DataConfig
) -> dict[SplitName, list[SourceFile]]:
    matching = sorted(name for name in names if fnmatchcase(name, pattern))
    if not matching:
        stories = [name for name in names if is_story_file(name)]
        listed = ", ".join(stories[:8]) + (" ..." if len(stories) > 8 else "")
        raise UserError(f"{repo} has no file {pattern} on the hub; it has {listed or 'no story files'}")
    root = glob_root(Path(pattern)).as_posix() if has_magic(pattern) else ""
    files = (_repository_file(repo, revision, name, config) for name in matching)
    return by_split((name.removeprefix(root), file) for name, file in zip(matching, files, strict=True))


def _repository_file(repo: str, revision: str, name: str, config: DataConfig) -> SourceFile:
    errors = partial(_hub_errors, repo, f"broke off within {name}; the same command continues")
    open_file = partial(_open_file, repo, revision, name)

    @cache
    def form() -> FileFormat:
        with errors():
            found = recognize(name, open_file, config, SAMPLE_BYTES)
        if found.message:
            logger.info(found.message)
        return found.form

    def read() -> Iterator[str]:
        with errors():
            yield from read_records(name, open_file, form())

    return SourceFile(f"{repo}/{name}", read, form=form, remote=True)


def _open_file(repo: str, revision: str, name: str) -> ByteStream:
    from huggingface_hub import HfFileSystem

    files, path = HfFileSystem(), f"datasets/{repo}@{revision}/{name}"
    if name.lower().endswith(".parquet"):
        return cast(ByteStream, files.open(path, "rb"))  # seeks, and knows its own length
    return _SizedStream(cast(ByteStream, files.open(path, "rb", block_size=0)), int(files.info(path)["size"]), name)


class _SizedStream:
    """A stream that raises ConnectionError if it ends before all its bytes have come."""

    def __init__(self, stream: ByteStream, size: int, name: str) -> None:
        self._stream, self._left, self._name = stream, size, name

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if not data and size and self._left > 0:
            raise ConnectionError(f"{self._name} ended {self._left:,} bytes too soon")
        return data

    def close(self) -> None:
        self._stream.close()
