"""Names of a sweep's points and trials: as text, and as names of run folders."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from talewright.files import portable_name
from talewright.scaling.sweep.reading import POINT

LONGEST_NAME = 100
"""Most characters of a point in the name of a folder."""


def describe(point: Mapping[str, str]) -> str:
    """A point in one line, by its name or by its settings without their sections."""
    return ", ".join(_words(point, " ")) or "the unchanged recipe"


def trial_label(point: Mapping[str, str], seed: int) -> str:
    """A trial in one line, such as "wide, seed 1"."""
    return f"{describe(point)}, seed {seed}"


def run_name(point: Mapping[str, str], seed: int, taken: Collection[str] = ()) -> str:
    """The name of a trial's run folder, such as "wide-seed-1" or "d_model-256-seed-0".

    It is none of `taken`, also where case does not count; a number after the point tells it from those.
    """
    text = re.sub(r"[^\w.+-]+", "-", "-".join(_words(point, "-")))
    base = portable_name(text[:LONGEST_NAME].strip("-.") or ("point" if point else "recipe"))
    used, name, number = {each.casefold() for each in taken}, f"{base}-seed-{seed}", 2
    while name.casefold() in used:
        name, number = f"{base}-{number}-seed-{seed}", number + 1
    return name


def output_of(run: Path) -> Path:
    """The file with the output of a trial's training, beside its run folder."""
    return run.with_name(f"{run.name}.out")


def _words(point: Mapping[str, str], separator: str) -> list[str]:
    return [
        value if name == POINT else f"{name.rpartition('.')[2]}{separator}{_short(value)}"
        for name, value in point.items()
    ]


def _short(value: str) -> str:
    """A number with many digits, as a sampler draws it, with four."""
    return f"{float(value):.4g}" if re.fullmatch(r"-?\d*\.\d{5,}(e-?\d+)?", value) else value
