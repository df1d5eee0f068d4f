"""Prepares a corpus and kills itself with SIGKILL at the n-th call that makes something durable on the disk.

python -m tests.data.preparation.dying SOURCE FOLDER N     (0: is not killed)
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from talewright.config import DataConfig, TokenizerConfig
from talewright.data import layout, prepare
from talewright.data.preparation import builder, staging, tokenize


def main(source: str, folder: str, calls: int) -> None:
    fsync, replace = os.fsync, Path.replace
    left = calls or -1

    def count() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted_fsync(handle: int) -> None:
        count()
        fsync(handle)

    def counted_replace(self: Path, target: Path) -> Path:
        count()
        return replace(self, target)

    os.fsync, Path.replace = counted_fsync, counted_replace  # type: ignore[assignment,method-assign]
    builder.SAVE_SECONDS, builder._UPDATE = 0.0, 40
    staging._BUFFER, tokenize.BATCH, layout.SHARD_TOKENS = 3000, 4000, 3000
    config = DataConfig(source=source, splits=(70, 20, 10), limit=290)
    prepare(config, TokenizerConfig(), 300, Path(folder), progress=False)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
