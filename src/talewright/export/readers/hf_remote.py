"""Reads a folder as a user of transformers does who trusts the code in it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable

import numpy as np


def reader(folder: str) -> Callable[[np.ndarray], np.ndarray]:
    os.environ["HF_MODULES_CACHE"] = tempfile.mkdtemp(dir=".")  # an earlier copy of the code would be used instead
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, trust_remote_code=True)

    def read(ids: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(ids)[None]).logits[0].numpy()

    return read
