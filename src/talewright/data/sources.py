"""Where stories come from: the bundled grammar, the hub, or files of one's own, named by one text."""

from __future__ import annotations

import difflib
import glob
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from talewright.config import DataConfig
from talewright.data.formats import Record, format_of, read_records
from talewright.data.splits import SplitName
from talewright.data.unpack import PACKINGS, StoryFile
from talewright.errors import UserError

BUNDLED_STORIES = 20_000
HUB = "hub:"


class InterruptedSourceError(UserError):
    """The source broke off; what was read of it stays good."""


@dataclass(frozen=True)
class Part:
    """A file, or a shard on the hub: what reading begins again at when it was interrupted."""

    name: str
    read: Callable[[int], Iterator[Record]]
    """Its stories in order, without the first so many."""
    path: Path | None = None
    """Where it lies on this machine."""
    count: int | None = None
    """How many stories it has, where that is known beforehand."""


@dataclass(frozen=True)
class Source:
    """An opened source."""

    parts: dict[SplitName, list[Part]]
    """By the source's own splits; all under `train` where it has none."""
    version: str = ""
    """Changes when the hub's copy does; the same while nothing does."""

    def evaluation_parts(self, name: SplitName) -> list[Part]:
        """The parts to take where the whole source is named as that split: its own of that name, else all."""
        return self.parts.get(name) or [part for parts in self.parts.values() for part in parts]


@dataclass(frozen=True)
class Role:
    """What is read as one split, before any is shared out."""

    parts: list[Part]
    limit: int | None = None
    """Read at most this many stories."""

    def records(self) -> Iterator[Record]:
        """The stories as they are in the source."""
        return islice((record for part in self.parts for record in part.read(0)), self.limit)


def open_source(name: str, config: DataConfig) -> Source:
    """Find a source's parts. Raises UserError where there are none, or the hub cannot be reached."""
    if is_bundled(name):
        return _open_bundled(_bundled_count(name))
    if name.startswith(HUB):
        from talewright.data.hub import open_hub

        return open_hub(name, config)
    files, root = find_files(name)
    return Source(by_role([(_relative(path, root), file_part(_local(path), config, path)) for path in files]))


def open_roles(config: DataConfig) -> tuple[dict[SplitName, Role], list[str]]:
    """What is read for each split, and the versions of the sources.

    The source's own validation and test stories are read where no shares are asked for; `config.valid` and
    `config.test` stand in for them.
    """
    main = open_source(config.source, config)
    versions = [main.version]
    limits = {"train": config.limit, "valid": config.valid_limit, "test": None}
    taken: dict[SplitName, list[Part]] = main.parts if config.splits is None else {"train": main.parts["train"]}
    roles = {name: Role(parts, limits[name]) for name, parts in taken.items()}
    own: list[tuple[SplitName, str | None]] = [("valid", config.valid), ("test", config.test)]
    for name, source in own:
        if source is not None:
            opened = open_source(source, config)
            versions.append(opened.version)
            roles[name] = Role(opened.evaluation_parts(name), limits[name])
    return roles, versions


def from_anywhere(name: str) -> str:
    """The name as it holds whatever folder one works in: files by their whole path."""
    if is_bundled(name) or name.startswith(HUB):
        return name
    path = Path(name).expanduser()
    if glob.has_magic(name) and not path.exists():
        return str(Path(glob.escape(str(Path.cwd()))) / path)
    return str(path.absolute())


def last_name(name: str) -> str:
    """The name without the folders that files lie in, which say where they are and not what."""
    return name if is_bundled(name) or name.startswith(HUB) else Path(name).name


def identify(name: str) -> dict[str, Any]:
    """What the prepared stories of a source are known by, found without the network, as plain values."""
    if is_bundled(name):
        first = "\0".join(record or "" for record in _open_bundled(100).parts["train"][0].read(0))
        return {"bundled": _bundled_count(name), "grammar": blake2b(first.encode(), digest_size=8).hexdigest()}
    if name.startswith(HUB):
        return {"hub": name.removeprefix(HUB)}
    files = [(path.resolve(), path.stat()) for path in find_files(name)[0]]
    return {"files": [[str(path), found.st_size, found.st_mtime_ns] for path, found in files]}


# --- the bundled stories -------------------------------------------------------------------------------------------


def is_bundled(name: str) -> bool:
    """Whether the name is `bundled`, or `bundled:` and how many."""
    return name == "bundled" or name.startswith("bundled:")


def _bundled_count(name: str) -> int:
    if name == "bundled":
        return BUNDLED_STORIES
    text = name.removeprefix("bundled:").replace("_", "")
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise UserError(f"{name} does not say how many stories; such as bundled:{BUNDLED_STORIES}")
    return int(text)


def _open_bundled(count: int) -> Source:
    def read(skip: int) -> Iterator[Record]:
        from talewright.data.bundled import stories

        return islice(stories(count), skip, None)

    return Source({"train": [Part("bundled", read, count=count)]})


# --- files ---------------------------------------------------------------------------------------------------------


def find_files(name: str) -> tuple[list[Path], Path]:
    """Files of a name, a folder or a glob, sorted, and the folder that their names are read from.

    Raises UserError where there are none.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return [path], path.parent
    if path.is_dir():
        found = (entry for entry in path.rglob("*") if _is_stories(entry, path))
        return _some(sorted(found), f"folder {name} holds no file of stories; {_endings()} are read"), path
    if glob.has_magic(name):
        found = (Path(entry) for entry in glob.glob(str(path), recursive=True))  # noqa: PTH207 - Path.glob takes no ".."
        files = sorted(entry for entry in found if entry.is_file())
        return _some(files, f"no file here fits {name}"), glob_root(path)
    raise UserError(f"no file or folder {name} here" + _near(path))


def glob_root(path: Path) -> Path:
    """The folder before the first wildcard."""
    plain = path.parts[:-1]
    first = next((n for n, part in enumerate(plain) if glob.has_magic(part)), len(plain))
    return Path(*plain[:first])


def file_part(file: StoryFile, config: DataConfig, path: Path | None = None) -> Part:
    """A file as a part of a source; `path` where it lies on this machine."""
    return Part(file.name, lambda skip: islice(read_records(file, config), skip, None), path)


def by_role(named: Iterable[tuple[str, Part]]) -> dict[SplitName, list[Part]]:
    """Parts by the split that their names tell; one pool where there is one part, or none to train on."""
    parts = list(named)
    found: dict[SplitName, list[Part]] = {}
    for name, part in parts:
        found.setdefault(_role_of(name), []).append(part)
    return found if "train" in found and len(parts) > 1 else {"train": [part for _, part in parts]}


_ROLE = re.compile(
    r"(?<![a-z])(?:(?P<train>train|training)|(?P<valid>valid|validation|val|dev)|(?P<test>test|testing))(?![a-z])"
)


def _role_of(name: str) -> SplitName:
    """What the last word of that kind in a path says; nothing said is to be trained on."""
    role: SplitName = "train"
    for found in _ROLE.finditer(name.lower()):
        role = "valid" if found["valid"] else "test" if found["test"] else "train"
    return role


def _local(path: Path) -> StoryFile:
    def opened() -> Any:
        try:
            return path.open("rb")
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}") from None

    return StoryFile(str(path), opened)


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _is_stories(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return not hidden and format_of(path.name) is not None and path.is_file()


def _some(files: list[Path], otherwise: str) -> list[Path]:
    if not files:
        raise UserError(otherwise)
    return files


def _endings() -> str:
    return f".txt, .jsonl, .json, .csv and .parquet, each also as {' or '.join(PACKINGS)},"


def _near(path: Path) -> str:
    """A hint at a file of that name near by, or of a like name where it was looked for."""
    for folder in (Path(), Path(".."), Path("data"), path.parent / ".."):
        near = folder / path.name
        if near.exists():
            return f"; is it --data {near.as_posix()}?"
    if path.parent.is_dir():
        names = [entry.name for entry in islice(path.parent.iterdir(), 1000)]
        if like := difflib.get_close_matches(path.name, names, 1):
            return f"; is it --data {PurePosixPath(path.parent.as_posix()) / like[0]}?"
    return "; --data takes a file, a folder, a glob, hub:OWNER/NAME or bundled"
