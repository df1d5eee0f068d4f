"""Story files on this machine: a file, a folder, or a glob pattern."""

from __future__ import annotations

import difflib
import glob
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from talewright.config import DataConfig
from talewright.data.layout import SplitName
from talewright.data.sources.compression import COMPRESSED
from talewright.data.sources.file_format import FileFormat, RecognizedFile
from talewright.data.sources.formats import read_records
from talewright.data.sources.recognize import OPTIONS, SAMPLE_BYTES, is_story_file, recognize
from talewright.errors import UserError
from talewright.files import expand_home

logger = logging.getLogger(__name__)

FEWEST_OF_SEVERAL = 20
"""Pieces of a text file that are taken for stories if it is one of several files, which may be one story each."""


@dataclass(frozen=True)
class SourceFile:
    """A file, or a shard on the hub: an interrupted preparation starts again at the beginning of one."""

    name: str
    read: Callable[[], Iterator[str]]
    """Its stories, in order."""
    path: Path | None = None
    """Where it is, if it is on this machine."""
    form: Callable[[], FileFormat | None] = lambda: None
    """How it holds its stories, if it is a file."""


def open_files(name: str, config: DataConfig) -> dict[SplitName, list[SourceFile]]:
    """The files of a name, by split. Raises UserError if there are none."""
    root = find_files(name)[1]
    return by_split((_relative(path, root), _local_file(path, form)) for path, form in recognize_files(name, config))


def recognize_files(name: str, config: DataConfig) -> list[tuple[Path, FileFormat]]:
    """The files of a name, sorted, and how each holds its stories, which is logged once per content and settings."""
    paths = find_files(name)[0]
    stats = [(str(path), path.stat()) for path in paths]
    files = tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats)
    settings = DataConfig(format=config.format, separator=config.separator, text_key=config.text_key)
    return list(zip(paths, _recognize_all(name, files, settings), strict=True))


@lru_cache(16)
def _recognize_all(name: str, files: tuple[tuple[str, int, int], ...], settings: DataConfig) -> list[FileFormat]:
    several = {"sample_bytes": max(SAMPLE_BYTES // len(files), 1 << 14), "fewest": FEWEST_OF_SEVERAL}
    found = [
        recognize(path, _opener(Path(path)), settings, size=size, **several if len(files) > 1 else {})
        for path, size, _ in files
    ]
    contents = (tuple((Path(path).resolve(), *stat) for path, *stat in files), settings)
    if contents not in _logged:  # a run names the same files by absolute paths
        _logged.add(contents)
        _log(name, found)
    return [each.form for each in found]


_logged: set[Any] = set()
"""The contents and settings whose recognition was logged."""


def _log(name: str, found: list[RecognizedFile]) -> None:
    """Log how the files of a name were recognized, one line for all that are alike."""
    alike: dict[FileFormat, list[RecognizedFile]] = {}
    for each in found:
        alike.setdefault(each.form, []).append(each)
    for some in alike.values():
        if some[0].message:
            alone, form = len(some) == 1, some[0].form
            logger.info(some[0].message if alone else f"{name}: {len(some):,} files of {form.describe()} ({OPTIONS})")


def find_files(name: str) -> tuple[list[Path], Path]:
    """The files of a name, sorted, and the folder that their names are relative to. UserError if there are none."""
    path = expand_home(name)
    if path.is_file():
        return [path], path.parent
    if path.is_dir():
        files, root = [entry for entry in path.rglob("*") if _is_story_file(entry, path)], path
        formats = f".txt, .jsonl, .json, .csv, .tsv and .parquet, each also as {' or '.join(COMPRESSED)}, are read"
        message = f'folder {name} holds no story file; {formats}. A glob names others, such as --data "{name}/*.md"'
    elif glob.has_magic(name):
        found = (Path(entry) for entry in glob.glob(str(path), recursive=True))  # noqa: PTH207 - Path.glob takes no ".."
        files, root = [entry for entry in found if entry.is_file()], glob_root(path)
        message = f"no file matches {name}"
    else:
        raise UserError(f"no such file or folder: {name}" + _suggestion(path))
    if not files:
        raise UserError(message)
    return sorted(files), root


def glob_root(pattern: Path) -> Path:
    """The folder before the first wildcard."""
    folders = pattern.parts[:-1]
    first = next((n for n, part in enumerate(folders) if glob.has_magic(part)), len(folders))
    return Path(*folders[:first])


def by_split(named: Iterable[tuple[str, SourceFile]]) -> dict[SplitName, list[SourceFile]]:
    """Files by the split that their names contain; all in `train` if there is one file, or none to train on."""
    files = list(named)
    splits: dict[SplitName, list[SourceFile]] = {}
    for name, file in files:
        splits.setdefault(_split_of(name), []).append(file)
    return splits if "train" in splits and len(files) > 1 else {"train": [file for _, file in files]}


_SPLIT_WORDS = re.compile(
    r"(?<![a-z])(?:(?P<train>train|training)|(?P<valid>valid|validation|val|dev)|(?P<test>test|testing))(?![a-z])"
)


def _split_of(name: str) -> SplitName:
    """The last split that a path names; `train` if it names none."""
    split: SplitName = "train"
    for match in _SPLIT_WORDS.finditer(name.lower()):
        split = "valid" if match["valid"] else "test" if match["test"] else "train"
    return split


def _local_file(path: Path, form: FileFormat) -> SourceFile:
    open_file = _opener(path)
    return SourceFile(str(path), lambda: read_records(str(path), open_file, form), path, lambda: form)


def _opener(path: Path) -> Callable[[], Any]:
    def open_file() -> Any:
        try:
            return path.open("rb")
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}") from None

    return open_file


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _is_story_file(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return not hidden and is_story_file(path.name) and path.is_file()


def _suggestion(path: Path) -> str:
    """A file of the same name nearby, or of a similar name in the same folder."""
    for folder in (Path(), Path(".."), Path("data"), path.parent / ".."):
        if (folder / path.name).exists():
            return f". Did you mean --data {(folder / path.name).as_posix()}?"
    if path.parent.is_dir():
        names = [entry.name for entry in islice(path.parent.iterdir(), 1000)]
        if similar := difflib.get_close_matches(path.name, names, 1):
            return f". Did you mean --data {PurePosixPath(path.parent.as_posix()) / similar[0]}?"
    return "; --data takes a file, a folder, a glob, hub:OWNER/NAME or bundled"
