"""Story files on this machine: a file, a folder, or a glob pattern."""

from __future__ import annotations

import difflib
import errno
import glob
import logging
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from talewright.config import DataConfig
from talewright.data.layout import SplitName
from talewright.data.sources.compression import COMPRESSED
from talewright.data.sources.file_format import KEYED, FileFormat, RecognizedFile
from talewright.data.sources.formats import read_records
from talewright.data.sources.recognize import ENDINGS, OPTIONS, SAMPLE_BYTES, TEXT, ending_of, is_story_file, recognize
from talewright.data.sources.walk import Walk, literal
from talewright.errors import UserError, listed
from talewright.files import error_reason, expand_home, shell_word

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
    remote: bool = False
    """Whether it is on the hub, and its form known only once it is downloaded."""


def open_files(name: str, config: DataConfig) -> dict[SplitName, list[SourceFile]]:
    """The files of a name, by split. Raises UserError if there are none."""
    paths, root = find_files(name)
    recognized = _recognized(name, paths, config)
    return by_split((_relative(path, root), _local_file(path, form)) for path, form in recognized)


def recognize_files(name: str, config: DataConfig) -> list[tuple[Path, FileFormat]]:
    """The files of a name, sorted, and how each holds its stories, which is logged once per content and settings."""
    return _recognized(name, find_files(name)[0], config)


def _recognized(name: str, paths: list[Path], config: DataConfig) -> list[tuple[Path, FileFormat]]:
    stats = [(str(path), file_stat(path)) for path in paths]
    files = tuple((path, found.st_size, found.st_mtime_ns) for path, found in stats)
    settings = DataConfig(format=config.format, separator=config.separator, text_key=config.text_key)
    return list(zip(paths, _recognize_all(name, files, settings), strict=True))


def file_stat(path: Path) -> os.stat_result:
    """The size and the times of a file. Raises UserError if it vanished meanwhile, or cannot be read."""
    try:
        return path.stat()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error_reason(error)}") from None


@lru_cache(16)
def _recognize_all(name: str, files: tuple[tuple[str, int, int], ...], settings: DataConfig) -> list[FileFormat]:
    several = {"sample_bytes": max(SAMPLE_BYTES // len(files), 1 << 14), "fewest": FEWEST_OF_SEVERAL}
    found = []
    for path, size, _ in files:
        with _reading_errors(Path(path)):
            options = several if len(files) > 1 else {}
            found.append(recognize(path, _opener(Path(path)), settings, size=size, **options))
    contents = (tuple((Path(path).resolve(), *stat) for path, *stat in files), settings)
    if contents not in _logged:  # a run names the same files by absolute paths
        _logged.add(contents)
        _log(name, found)
        _log_text(name, [path for path, _, _ in files], settings)
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


def _log_text(name: str, paths: list[str], settings: DataConfig) -> None:
    """Say that a format of text is followed where the names of files say otherwise."""
    others = [path for path in paths if ENDINGS.get(ending_of(path), TEXT) != TEXT]
    if settings.format not in ("auto", *KEYED) and others:
        logger.info(
            "%s: read as text (--format %s), whatever its name says: %s", name, settings.format, listed(others, 5)
        )


def find_files(name: str) -> tuple[list[Path], Path]:
    """The files of a name, sorted, and the folder that their names are relative to. UserError if there are none."""
    path = named_path(name)
    if path.is_file():
        return [path], path.parent
    if path.is_dir():
        walk, root = Walk().folder(path, is_story_file), path
        formats = f".txt, .jsonl, .json, .csv, .tsv and .parquet, each also as {' or '.join(COMPRESSED)}, are read"
        message = f'folder {name} holds no story file; {formats}. A glob names others, such as --data "{name}/*.md"'
    elif glob.has_magic(name):
        root = glob_root(path)
        walk = Walk().pattern(root, path.parts[len(root.parts) :])
        message = f"no file matches {name}"
    else:
        raise UserError(f"no such file or folder: {name}" + _suggestion(path))
    if not walk.files:
        if left_out := walk.unreadable + walk.foreign:
            raise UserError(
                f"{name} has no stories; skipped: {listed(left_out, 5)}. To read one of these files, name it directly"
            )
        raise UserError(message)
    _log_left_out(name, walk)
    return walk.files, root


def named_path(name: str) -> Path:
    """The path of a name. Raises UserError if it is empty, or no file can have it, or it can be read only once."""
    if not name.strip():
        raise UserError(
            "the name of the stories is empty; --data takes a file, a folder, a glob, a hub name or bundled"
        )
    path = expand_home(name)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        if isinstance(error, PermissionError):
            raise UserError(f"{name} cannot be read: {error_reason(error)}") from None
        if isinstance(error, ValueError) or error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL):
            raise UserError(f"{_shortened(name)} is not a valid file name: {error_reason(error)}") from None
        if path.is_symlink():
            raise UserError(f"{name} is a broken link to {path.readlink()}") from None
        mode = None
    once = mode is not None and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
    if once or (name == "-" and mode is None) or _OPEN_FILE.match(str(path)):
        raise UserError(
            f"{name} is a stream, but stories are read again by later commands, which need a file; write one first, as "
            "in: zcat stories.gz > stories.txt (.gz and .zst files themselves are read too)"
        )
    return path


_OPEN_FILE = re.compile(r"/dev/(?:stdin|fd/\d+)|/proc/(?:self|\d+)/fd/\d+")
"""Files that only one command has open."""


def _shortened(name: str) -> str:
    return name if len(name) <= 100 else f"{name[:60]}... ({len(name):,} characters)"


def _log_left_out(name: str, walk: Walk) -> None:
    """Say once what was left out of a folder or a pattern."""
    key = (name, *walk.unreadable, "", *walk.foreign)
    if key not in _logged:
        _logged.add(key)
        if walk.unreadable:
            logger.warning("%s: skipped, because unreadable: %s", name, listed(walk.unreadable, 5))
        if walk.foreign:
            logger.info("%s: skipped, because they are not stories: %s", name, listed(walk.foreign, 5))


def glob_root(pattern: Path) -> Path:
    """The folder before the first wildcard."""
    folders = pattern.parts[:-1]
    first = next((n for n, part in enumerate(folders) if literal(part) is None), len(folders))
    return Path(*(literal(part) or part for part in folders[:first]))


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
    return SourceFile(str(path), lambda: _read(path, form), path, lambda: form)


def _opener(path: Path) -> Callable[[], Any]:
    def open_file() -> Any:
        with _reading_errors(path):
            return path.open("rb")

    return open_file


def _read(path: Path, form: FileFormat) -> Iterator[str]:
    with _reading_errors(path):
        yield from read_records(str(path), _opener(path), form)


@contextmanager
def _reading_errors(path: Path) -> Iterator[None]:
    """Turn an error of the disk into a UserError that names the file; a full disk is another file's."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(f"{path} cannot be read: {error_reason(error)}") from None


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _suggestion(path: Path) -> str:
    """A file of the same name nearby, or of a similar name in the same folder."""
    with suppress(OSError):  # a folder that cannot be read
        for folder in (Path(), Path(".."), Path("data"), path.parent / ".."):
            if path.name and (folder / path.name).exists():
                return f". Did you mean --data {shell_word((folder / path.name).as_posix())}?"
        if path.parent.is_dir():
            names = [entry.name for entry in islice(path.parent.iterdir(), 1000)]
            if similar := difflib.get_close_matches(path.name, names, 1):
                near = PurePosixPath(path.parent.as_posix()) / similar[0]
                return f". Did you mean --data {shell_word(str(near))}?"
    return "; --data takes a file, a folder, a glob, hub:OWNER/NAME or bundled"
