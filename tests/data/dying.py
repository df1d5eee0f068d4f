"""Prepares a corpus and kills itself, by SIGKILL, at the n-th time that anything is made lasting on the disk.

python -m tests.data.dying SOURCE FOLDER N     (0: lives)
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from talewright.config import DataConfig, TokenizerConfig
from talewright.data import encode, preparation, prepare, shards, spool


def main(source: str, folder: str, left: int) -> None:
    lasting, replace = os.fsync, Path.replace
    calls = left or -1

    def count() -> None:
        nonlocal calls
        calls -= 1
        if calls == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def fsync(handle: int) -> None:
        count()
        lasting(handle)

    def moved(self: Path, target: Path) -> Path:
        count()
        return replace(self, target)

    os.fsync, Path.replace = fsync, moved  # type: ignore[assignment,method-assign]
    preparation.SYNC_SECONDS, preparation._LOOK = 0.0, 40
    spool._BUFFER, encode.BATCH, shards.SHARD_TOKENS = 3000, 4000, 3000
    config = DataConfig(source=source, splits=(70, 20, 10), limit=290)
    prepare(config, TokenizerConfig(), 300, Path(folder), progress=False)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
