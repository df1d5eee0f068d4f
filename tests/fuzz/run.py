"""Fuzz one reader with coverage guidance: python -m tests.fuzz.run TARGET SECONDS [FOLDER]

Needs atheris (pip install "talewright[fuzz]"; Linux). Interesting inputs are kept in FOLDER; the next run starts from
them.
An input that makes a reader fail is written there as crash-...; add it to tests/fuzz/found/TARGET.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["talewright"]):  # pyright: ignore[reportAttributeAccessIssue]
    import talewright
    from tests.fuzz.targets import TARGETS

    for module in pkgutil.walk_packages(talewright.__path__, "talewright."):
        if not module.name.startswith(
            ("talewright.__main__", "talewright.export.readers", "talewright.train.lightning")
        ):
            importlib.import_module(module.name)  # including modules that are imported lazily


def main(name: str, seconds: str, folder: str = "") -> None:
    target, kept = TARGETS[name], Path(folder or tempfile.mkdtemp()) / name
    kept.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (kept / f"seed-{number}").write_bytes(seed)
    read = 0

    def one(data: bytes) -> None:
        nonlocal read
        read += target.try_(data)

    options = [
        f"-max_total_time={seconds}",
        f"-artifact_prefix={kept.parent}/{name}-",
        "-timeout=20",
        "-rss_limit_mb=4096",
    ]
    atheris.Setup([sys.argv[0], str(kept), *options, "-max_len=65536", "-print_final_stats=1"], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
