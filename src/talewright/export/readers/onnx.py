"""Reads a story with onnxruntime as generation does: the prompt at once, then token by token from the cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SINGLE = 4
"""Tokens at the end of a story that are read one by one."""
CHUNK = 16
"""Positions whose logits a graph of activations computes at once; it does so after every layer."""


def reader(path: str) -> Callable[[np.ndarray], np.ndarray]:
    """Reader of a graph, or of a folder that `--to onnx` wrote."""
    from onnxruntime import InferenceSession

    graph = Path(path) / "onnx" / "model.onnx" if Path(path).is_dir() else Path(path)
    session = InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    if "lens" in names:
        return _activations_reader(session)
    caches = [each for each in session.get_inputs() if each.name.startswith("past_key_values.")]

    def read(ids: np.ndarray) -> np.ndarray:
        start = max(1, len(ids) - SINGLE)
        past = {cache.name: np.zeros((1, cache.shape[1], 0, cache.shape[3]), np.float32) for cache in caches}
        logits = []
        for chunk in [ids[:start], *ids[start:, None]]:
            stop = sum(map(len, logits)) + len(chunk)
            inputs = {
                "input_ids": chunk[None],
                "attention_mask": np.ones((1, stop), np.int64),
                "position_ids": np.arange(stop - len(chunk), stop)[None],
            }
            outputs: dict[str, Any] = dict(zip(names, session.run(None, inputs | past), strict=True))
            past = {name: outputs[name.replace("past_key_values", "present")] for name in past}
            logits.append(outputs["logits"][0])
        return np.concatenate(logits)

    return read


def _activations_reader(session: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Reader of the graph of activations that `--to web` writes: its last logit lens is the model's prediction."""

    def read(ids: np.ndarray) -> np.ndarray:
        chunks = np.split(np.arange(len(ids)), range(CHUNK, len(ids), CHUNK))
        inputs = {"input_ids": ids[None]}
        return np.concatenate([session.run(["lens"], inputs | {"positions": chunk})[0][-1] for chunk in chunks])

    return read
