"""Reads the file as llama.cpp does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np


def reader(folder: str) -> Callable[[np.ndarray], np.ndarray]:
    from llama_cpp import GGML_TYPE_F32, Llama  # pyright: ignore[reportMissingImports]

    # without a cache rounded to float16, which is how it tells by default
    model = Llama(
        str(Path(folder) / "model.gguf"),
        n_ctx=0,
        logits_all=True,
        verbose=False,
        type_k=GGML_TYPE_F32,
        type_v=GGML_TYPE_F32,
    )

    def read(ids: np.ndarray) -> np.ndarray:
        model.reset()
        model.eval(ids.tolist())
        return np.array(model.scores[: len(ids)])

    return read
