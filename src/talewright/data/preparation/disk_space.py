"""Disk space for a preparation: checked before and between its stages, and reported when it runs out."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from talewright.data.sources import SplitInput
from talewright.errors import UserError
from talewright.files import existing_parent

BYTES_PER_TOKEN = 3.0
"""Fewer than in English stories, where a token of a vocabulary of some thousands has about four."""
STORY_BYTES = 48
"""For each story beside its text: its digest and size while it is staged; its start, size and end of text for good."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


def bytes_for_tokens(text_bytes: int, n_stories: int, bytes_per_id: int) -> int:
    """Bytes of the shards of a text and of what lies beside them, about."""
    return int(text_bytes / BYTES_PER_TOKEN * bytes_per_id) + n_stories * STORY_BYTES


def bytes_for_input(inputs: Iterable[SplitInput]) -> int:
    """Bytes to stage and tokenize the local files that are read whole, about; what is not known yet counts as 0."""
    paths = [file.path for some in inputs if some.limit is None for file in some.files if file.path is not None]
    size = sum(path.stat().st_size for path in paths)
    return size + bytes_for_tokens(size, 0, 2)


def require_space(folder: Path, needed: int) -> None:
    """Raise the system's own error if the folder's disk has less than this free."""
    if needed > shutil.disk_usage(existing_parent(folder)).free:
        raise OSError(errno.ENOSPC, "No space left on device")


def is_full(error: OSError) -> bool:
    return error.errno in _FULL


def disk_full(folder: Path, needed: int) -> UserError:
    """The error for a disk that is full; `needed` is an estimate of all bytes that the folder takes, 0 if unknown."""
    free = shutil.disk_usage(existing_parent(folder)).free
    amount = f"about {needed:,}" if needed > free else f"more than {free:,}"
    return UserError(
        f"the disk of {folder} has too little free space: {amount} bytes are needed, and {free:,} are free. "
        "Free some, or choose another folder with --out or TALEWRIGHT_CACHE"
    )


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn an error of the folder's disk into a UserError of one sentence."""
    try:
        yield
    except OSError as error:
        path = error.filename or folder
        if is_full(error):
            raise disk_full(folder, 0) from None
        if error.errno in _DENIED or folder.absolute().is_relative_to(path):
            raise UserError(
                f"{path} cannot be written: {error.strerror}. Choose another folder with --out or TALEWRIGHT_CACHE"
            ) from None
        raise UserError(f"{path}: {error.strerror or error}") from None
