"""Reads the file with llama.cpp."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np


def reader(folder: str) -> Callable[[np.ndarray], np.ndarray]:
    from llama_cpp import GGML_TYPE_F32, Llama  # pyright: ignore[reportMissingImports]

    cache = {"type_k": GGML_TYPE_F32, "type_v": GGML_TYPE_F32}  # float16 by default
    model = Llama(str(Path(folder) / "model.gguf"), n_ctx=0, logits_all=True, verbose=False, **cache)

    def read(ids: np.ndarray) -> np.ndarray:
        model.reset()
        model.eval(ids.tolist())
        return np.array(model.scores[: len(ids)])

    return read
