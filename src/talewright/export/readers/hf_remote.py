"""Reads a folder as a user of transformers does who trusts the code that comes with it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable

import numpy as np


def reader(folder: str) -> Callable[[np.ndarray], np.ndarray]:
    os.environ["HF_MODULES_CACHE"] = tempfile.mkdtemp(dir=".")  # a copy of the code that was left there is not this one
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, trust_remote_code=True)

    def read(ids: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(ids)[None]).logits[0].numpy()

    return read
