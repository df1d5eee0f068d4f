"""Reads a story with onnxruntime as a teller does: its beginning at once, then token by token from the cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ALONE = 4
"""Tokens at a story's end that are read one by one."""


def reader(place: str) -> Callable[[np.ndarray], np.ndarray]:
    """Of a graph, or of a folder as `--to onnx` writes it."""
    from onnxruntime import InferenceSession

    graph = Path(place) / "onnx" / "model.onnx" if Path(place).is_dir() else Path(place)
    session = InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    outputs = [out.name for out in session.get_outputs()]
    caches = [given for given in session.get_inputs() if given.name.startswith("past_key_values.")]

    def read(ids: np.ndarray) -> np.ndarray:
        start = max(1, len(ids) - ALONE)
        past = {cache.name: np.zeros((1, cache.shape[1], 0, cache.shape[3]), np.float32) for cache in caches}
        logits = []
        for piece in [ids[:start], *ids[start:, None]]:
            stop = sum(map(len, logits)) + len(piece)
            given = {
                "input_ids": piece[None],
                "attention_mask": np.ones((1, stop), np.int64),
                "position_ids": np.arange(stop - len(piece), stop)[None],
            }
            found: dict[str, Any] = dict(zip(outputs, session.run(None, given | past), strict=True))
            past = {name: found[name.replace("past_key_values", "present")] for name in past}
            logits.append(found["logits"][0])
        return np.concatenate(logits)

    return read
