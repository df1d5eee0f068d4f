"""The files below a folder, or that match a glob pattern: what cannot be read, or is no story, is left out by name."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

from talewright.data.layout import FORMAT, MANIFEST
from talewright.files import error_reason, read_json

_FOREIGN: tuple[tuple[str, tuple[set[str], ...]], ...] = (
    ("a run", ({"recipe.yaml", "tokenizer"}, {"recipe.yaml", "data.json"}, {"recipe.yaml", "checkpoints"})),
    ("a model", ({"model.safetensors"}, {"talewright.json"})),
    ("a sweep", ({"journal.log", "base.yaml"},)),
    ("an unfinished preparation", ({"progress.json", "staging"},)),
    ("a cache", ({"CACHEDIR.TAG"}, {"corpora", "peaks.json"}, {"corpora", "speeds.json"})),
    ("installed programs", ({"pyvenv.cfg"}, {"node_modules", "package.json"})),
)
"""What a folder is that holds all the names of one of these sets."""
_NO_STORIES = re.compile(
    r"(?:readme|license|licence|copying|changelog|requirements)(?:[-_.].*)?|tokenizer(?:_config)?\.json|vocab\.json|"
    r"merges\.txt|special_tokens_map\.json|added_tokens\.json|(?:generation_)?config\.json|.*\.index\.json|"
    r"package(?:-lock)?\.json|dataset_infos?\.json",
    re.IGNORECASE,
)
"""Names of files about a model, a data set or a program."""


class Walk:
    """The files that were found, sorted, and what was left out: each as `NAME (REASON)`."""

    def __init__(self) -> None:
        self.files: list[Path] = []
        self.unreadable: list[str] = []
        self.foreign: list[str] = []
        """Readable, but no stories."""
        self._seen: set[tuple[int, int, int]] = set()

    def folder(self, folder: Path, accept: Callable[[str], bool]) -> Walk:
        """Find the files below a folder whose names are accepted, but hidden ones."""
        return self._sorted(self._expand(folder, ("**", "*"), accept))

    def pattern(self, root: Path, parts: tuple[str, ...]) -> Walk:
        """Find the files that match a glob pattern: its parts below the folder `root`."""
        return self._sorted(self._expand(root, parts, lambda _: True))

    def _sorted(self, files: Iterable[Path]) -> Walk:
        self.files = sorted(set(files))
        self.foreign = list(dict.fromkeys(self.foreign))
        self.unreadable = list(dict.fromkeys(self.unreadable))
        return self

    def _expand(self, folder: Path, parts: tuple[str, ...], accept: Callable[[str], bool]) -> Iterator[Path]:
        first, rest = parts[0], parts[1:]
        if first == "**" and self._is_new(folder, len(parts)):
            yield from self._expand(folder, rest or ("*",), accept)
            for entry in self._entries(folder):
                if not entry.name.startswith(".") and _is_folder(entry):
                    yield from self._expand(folder / entry.name, parts, accept)
        elif first == "**":
            return
        elif (name := literal(first)) is not None and not rest:
            yield from [folder / name] if (folder / name).is_file() else []
        elif name is not None:
            yield from self._expand(folder / name, rest, accept) if (folder / name).is_dir() else []
        else:
            for entry in self._entries(folder):
                if fnmatch(entry.name, first) and (not entry.name.startswith(".") or first.startswith(".")):
                    yield from self._entry(folder, entry, rest, accept)

    def _entry(
        self, folder: Path, entry: os.DirEntry[str], rest: tuple[str, ...], accept: Callable[[str], bool]
    ) -> Iterator[Path]:
        """The file of an entry, or what matches the rest of a pattern below it."""
        path = folder / entry.name
        if _is_folder(entry):
            yield from self._expand(path, rest, accept) if rest else []
        elif not rest and accept(entry.name):
            if _NO_STORIES.fullmatch(entry.name):
                self.foreign.append(str(path))
            elif _is_file(entry):
                yield path
            else:
                reason = "a broken link" if entry.is_symlink() else "neither a file nor a folder"
                self.unreadable.append(f"{path} ({reason})")

    def _entries(self, folder: Path) -> list[os.DirEntry[str]]:
        """What a folder holds, sorted; nothing if it cannot be read, or holds no stories but a run or the like."""
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self.unreadable.append(f"{folder} ({error_reason(error)})")
            return []
        names = {entry.name for entry in found}
        kind = next((kind for kind, marks in _FOREIGN if any(mark <= names for mark in marks)), None)
        if kind is None and MANIFEST in names:
            manifest = read_json(folder / MANIFEST)
            kind = "prepared stories" if isinstance(manifest, dict) and manifest.get("format") == FORMAT else None
        if kind:
            self.foreign.append(f"{folder} ({kind})")
        return [] if kind else found

    def _is_new(self, folder: Path, depth: int) -> bool:
        """Whether a folder was not walked before by this part of the pattern: links may lead back."""
        try:
            stat = folder.stat()
        except OSError as error:
            self.unreadable.append(f"{folder} ({error_reason(error)})")
            return False
        key = (depth, stat.st_dev, stat.st_ino)
        new = key not in self._seen
        self._seen.add(key)
        return new


def literal(part: str) -> str | None:
    """The name that a part of a pattern stands for; None if it has a wildcard, and so may match several."""
    name = re.sub(r"\[([*?[])\]", r"\1", part)
    return name if (name == part and not glob.has_magic(part)) or glob.escape(name) == part else None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # such as links in a circle
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False
