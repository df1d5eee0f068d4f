"""Stories on the Hugging Face hub: a whole dataset, streamed by `datasets`, or files of its repository."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import cache, partial
from glob import has_magic
from pathlib import Path
from typing import Any, TypeVar, cast

from talewright.config import DataConfig
from talewright.data.layout import SplitName
from talewright.data.sources import HUB, InterruptedSourceError, StorySource
from talewright.data.sources.compression import ByteStream
from talewright.data.sources.file_format import FileFormat
from talewright.data.sources.files import SourceFile, by_split, glob_root
from talewright.data.sources.formats import read_records
from talewright.data.sources.keys import at_key, has_key, key_names, no_such_key
from talewright.data.sources.packages import import_package
from talewright.data.sources.recognize import is_story_file, recognize
from talewright.data.sources.recognize_tables import recognize_json
from talewright.errors import UserError
from talewright.files import shell_word

logger = logging.getLogger(__name__)

SAMPLE_BYTES = 1 << 20
"""Bytes of a file that are downloaded to recognize its format."""
TIMEOUT = 10.0
"""Seconds that the hub has for its first answer."""
RETRIES = 2
"""Of a failed request, some seconds apart; `datasets` itself would retry for many minutes."""
_BATCH = 256  # stories
_T = TypeVar("_T")
_SPLITS: dict[str, SplitName] = {"train": "train", "test": "test", "validation": "valid"}
_SPLITS |= {"valid": "valid", "val": "valid", "dev": "valid"}
_ALTERNATIVES = "name a local file with --data FILE, or use the bundled stories with --data bundled"


def open_hub(name: str, config: DataConfig) -> StorySource:
    """Open `hub:OWNER/NAME`, `hub:OWNER/NAME:CONFIGURATION` or `hub:OWNER/NAME/FILE-OR-GLOB`.

    Raises UserError if it is not available.
    """
    owner, _, rest = name.removeprefix(HUB).partition("/")
    dataset, _, pattern = rest.partition("/")
    dataset, colon, configuration = dataset.partition(":")
    if not owner or not dataset or (colon and not configuration):
        raise UserError(_not_a_name(name))
    if colon and pattern:
        raise UserError(
            f"{name} names a configuration and files; write one of them, as in {HUB}{owner}/{dataset}/{pattern}"
        )
    repo = f"{owner}/{dataset}"
    for package in ("datasets", "huggingface_hub"):  # before anything is downloaded
        import_package(package, "the hub needs")
    from huggingface_hub import HfApi

    with _hub_errors(repo, "cannot be reached"):
        info = HfApi().dataset_info(repo, timeout=TIMEOUT)
    revision = str(info.sha)
    if pattern:
        names = [entry.rfilename for entry in info.siblings or []]
        return StorySource(_repository_files(repo, revision, pattern, names, config), revision)
    return StorySource(_whole_dataset(repo, configuration or None, revision, config), revision)


@contextmanager
def _hub_errors(repo: str, what: str) -> Iterator[None]:
    """Limit retries, and turn any error of the hub's libraries, which raise many kinds, into one sentence."""
    from datasets import config

    own = {"STREAMING_READ_MAX_RETRIES": RETRIES, "STREAMING_OPEN_MAX_RETRIES": RETRIES}
    own["HF_DATASETS_TRUST_REMOTE_CODE"] = False  # a dataset's own program is not run
    before = {name: getattr(config, name) for name in own if hasattr(config, name)}  # none is in all versions
    try:
        for name, value in before.items():
            setattr(config, name, min(own[name], value) if value is not None else own[name])
        yield
    except UserError:
        raise
    except Exception as error:
        raise InterruptedSourceError(_message(error, repo, what)) from None
    finally:
        for name, value in before.items():
            setattr(config, name, value)


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


def _whole_dataset(
    repo: str, configuration: str | None, revision: str, config: DataConfig
) -> dict[SplitName, list[SourceFile]]:
    """A SourceFile for each file that a split is stored in."""
    from datasets import load_dataset, load_dataset_builder

    where = f"{repo}:{configuration}" if configuration else repo
    with _hub_errors(repo, f"does not provide {where}"):
        _check_configuration(repo, configuration, revision)
        builder = load_dataset_builder(repo, configuration, revision=revision)
        if _is_of_files(builder):
            data_files = cast(dict[Any, list[Any]], builder.config.data_files)
            texts = {str(split): [str(file) for file in some] for split, some in data_files.items()}
            found = _named_splits(where, texts)
            return {
                split: [_repository_file(repo, revision, _inside(file), config) for file in some]
                for split, some in found.items()
            }
        loaded = cast(dict[str, Any], load_dataset(repo, configuration, revision=revision, streaming=True))
    splits = _named_splits(where, loaded)
    column = _column(where, splits["train"], config.text_key)
    return {
        name: [SourceFile(where, partial(_read_rows, where, shard, column), remote=True) for shard in _shards(split)]
        for name, split in splits.items()
    }


def _check_configuration(repo: str, configuration: str | None, revision: str) -> None:
    """Raise UserError if the dataset has no such configuration, or several and none is named or its default."""
    from datasets import get_dataset_config_names, get_dataset_default_config_name

    names = get_dataset_config_names(repo, revision=revision)
    if configuration is None and (len(names) < 2 or get_dataset_default_config_name(repo, revision=revision)):
        return
    if configuration not in names:
        wrong = f"no configuration {configuration}; it has" if configuration else "several configurations:"
        listed = ", ".join(names[:20]) + (" ..." if len(names) > 20 else "")
        raise UserError(f"{repo} has {wrong} {listed}; name one, as in {HUB}{repo}:{names[0]}")


def _is_of_files(builder: Any) -> bool:
    """Whether a dataset is of text, CSV or JSON files, which are read as those on this machine are.

    `datasets` would make a story of every line of a text, and shift the cells of rows that are longer than the header.
    """
    kinds = {kind.__module__.rpartition(".")[2] for kind in type(builder).__mro__}
    of_lines = getattr(builder.config, "sample_by", "line") == "line"
    return bool(kinds & {"text", "csv", "json"}) and bool(builder.config.data_files) and of_lines


def _inside(url: str) -> str:
    """The name inside its repository of `hf://datasets/OWNER/NAME@REVISION/NAME-OF-FILE`."""
    return url.partition("@")[2].partition("/")[2]


def _named_splits(where: str, found: Mapping[str, _T]) -> dict[SplitName, _T]:
    """The splits by our names. Raises UserError if there is none to train on."""
    splits: dict[SplitName, _T] = {_SPLITS[name]: split for name, split in found.items() if name in _SPLITS}
    if "train" not in splits and len(found) == 1:  # the only split, whatever its name
        splits = {"train": next(iter(found.values()))}
    if "train" not in splits:
        raise UserError(f"{where} has no split train; it has {', '.join(found)}")
    return splits


def _shards(split: Any) -> list[Any]:
    """The rows of a split by the files that hold them."""
    count = split.num_shards
    return [split.shard(count, index) for index in range(count)] if count > 1 else [split]


def _column(where: str, rows: Any, key: str) -> Callable[[Collection[str]], str]:
    """Gives the column to read of those that there are: the key, or as in a file the only text of the first rows."""

    @cache
    def only_text() -> str:
        batch = next(iter(rows.iter(batch_size=_BATCH)), {})
        lines = (dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True))
        sample = "".join(json.dumps(line, default=lambda _: 0) + "\n" for line in lines)
        found = recognize_json(where, sample, key, "jsonl")
        if found.message:
            logger.info(found.message)
        return found.form.key

    return lambda names: key if key in names else only_text()


def _read_rows(where: str, rows: Any, column: Callable[[Collection[str]], str]) -> Iterator[str]:
    with _hub_errors(where, f"broke off within {where}; the same command continues"):
        for batch in rows.iter(batch_size=_BATCH):
            key = column(batch)
            for record in _cells(batch, key, where):
                if isinstance(record, bytes):  # as older programs write texts
                    record = record.decode()
                if record is not None and not isinstance(record, str):
                    kind = type(record).__name__
                    raise UserError(
                        f'{where} column "{key}" holds {kind}, not text; name the right one with --text-key'
                    )
                yield record or ""


def _cells(batch: Mapping[str, list[Any]], key: str, where: str) -> list[Any]:
    """A column of some rows; `outer.inner` is a field of a column of structs."""
    outer = key if key in batch else next((name for name in batch if key.startswith(f"{name}.")), None)
    if outer is None:
        raise UserError(no_such_key(batch, key, where))
    if outer == key:
        return batch[key]
    field = key.removeprefix(f"{outer}.")
    cells = [cell for cell in batch[outer] if cell is not None]
    if missing := next((cell for cell in cells if not has_key(cell, field)), None):
        raise UserError(no_such_key(key_names({outer: missing}), key, where))
    return [cell and at_key(cell, field) for cell in batch[outer]]


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
    @contextmanager
    def errors() -> Iterator[None]:
        try:
            with _hub_errors(repo, f"broke off within {name}; the same command continues"):
                yield
        except InterruptedSourceError:
            raise
        except UserError as error:
            get = f"hf download {repo} {shell_word(name)} --repo-type dataset --local-dir ."
            advice = (
                ""
                if "--text-key" in str(error) or get in str(error)
                else f". To correct the file, download it first: {get}"
            )
            raise UserError(f"{error}{advice}") from None

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
