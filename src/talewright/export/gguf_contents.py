"""Compare a GGUF file with its model without llama.cpp: read back by the package gguf, which is plain Python."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from talewright.errors import UserError

if TYPE_CHECKING:
    from talewright.export.adapters.tensor_map import Tensors

ROUNDING = {"F32": 0.0, "F16": 2**-11, "BF16": 2**-8, "Q8_0": 1 / 127}
"""For each type of tensor: the allowed difference of a value, relative to the largest value of its row."""


def check_contents(path: Path, settings: Mapping[str, Any], tensors: Tensors) -> str:
    """Say how many tensors and settings were compared. Raises UserError, naming the first ones that differ."""
    from gguf import GGUFReader

    reader = GGUFReader(path)
    stored = {name: field.contents() for name, field in reader.fields.items()}
    wrong = [name for name, value in settings.items() if not _equal(stored.get(name), value)]
    found = {tensor.name: tensor for tensor in reader.tensors}
    wrong += sorted(found.keys() ^ tensors.keys())
    wrong += [name for name in sorted(found.keys() & tensors.keys()) if not _holds(found[name], tensors[name].numpy())]
    if wrong:
        raise UserError(f"{path.name} does not hold the model: {', '.join(wrong[:4])} differ. Nothing was kept")
    return f"read back, its {len(tensors)} tensors and {len(settings)} settings are those of the model"


def _equal(stored: Any, value: Any) -> bool:
    return bool(np.isclose(stored, value, rtol=1e-6)) if isinstance(value, float) else stored == value


def _holds(stored: Any, values: np.ndarray) -> bool:
    """Whether a stored tensor has the values, but for the rounding of its type."""
    from gguf import quants

    restored = quants.dequantize(stored.data, stored.tensor_type)
    if restored.shape != values.shape:
        return False
    allowed = ROUNDING[stored.tensor_type.name] * np.abs(values).max(-1, keepdims=True)
    return bool((np.abs(restored - values) <= allowed + (1e-7 if allowed.any() else 0)).all())
