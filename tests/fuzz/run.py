"""Fuzz one reader with coverage guidance: python -m tests.fuzz.run TARGET SECONDS [FOLDER]

Needs atheris (pip install "talewright[fuzz]"; Linux). What was found interesting is kept in FOLDER, and gone on from.
What makes a reader fail is left there too, as crash-..., and belongs into tests/fuzz/found/TARGET.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
import tempfile
from pathlib import Path

import atheris

# Programs, what needs a package more, and stories.
LEFT_OUT = tuple(f"talewright.{name}" for name in ("__main__", "export", "train.lightning", "data.bundled"))

with atheris.instrument_imports(include=["talewright"]):  # pyright: ignore[reportAttributeAccessIssue]
    import talewright
    from tests.fuzz.targets import TARGETS

    for module in pkgutil.walk_packages(talewright.__path__, "talewright."):
        if not module.name.startswith(
            ("talewright.__main__", "talewright.export.readers", "talewright.train.lightning")
        ):
            importlib.import_module(module.name)  # also what is imported only where it is needed


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
