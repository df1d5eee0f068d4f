"""Pickled checkpoints are never read, because reading one can run code; the error says how to convert one."""

from __future__ import annotations

import json
import shlex
import zipfile
from pathlib import Path

PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
"""The endings of their names."""
PICKLED_RISK = "this file is pickled, and reading it can run any code that its author put there"
NANOGPT, LIGHTNING = b"model_args", b"pytorch-lightning_version"
"""What only a checkpoint of nanoGPT, or of Lightning, has among its keys."""


def conversion(path: Path) -> str:
    """Why a pickled file is not read, and a command that converts it for the import."""
    keys = _pickle_text(path)
    entry = '["model"]' if NANOGPT in keys else '["state_dict"]' if LIGHTNING in keys else ""
    folder = path.parent.absolute()
    source, weights, config = (
        json.dumps(str(folder / name)) for name in (path.name, "model.safetensors", "config.json")
    )
    steps = [
        "import json, torch, safetensors.torch",
        f'c = torch.load({source}, map_location="cpu", weights_only=True)',
        f"t = {{n: t.contiguous().clone() for n, t in c{entry}.items()}}",
        f"safetensors.torch.save_file(t, {weights})",
    ]
    then = f"import {folder}"
    if NANOGPT in keys:
        settings = '{"model_type": "nanogpt", "activation_function": "gelu", **c["model_args"]}'
        steps.append(f'json.dump({settings}, open({config}, "x"))')
        then += " with --tokenizer; in its config.json, activation_function is gelu_new if an early nanoGPT trained it"
    elif not (folder / "config.json").is_file():
        then = f"write the model's config.json beside it, and {then}"
    return f"{PICKLED_RISK}. If you trust it, convert it with `python -c {shlex.quote('; '.join(steps))}`, then {then}"


def _pickle_text(path: Path) -> bytes:
    """The bytes of the pickle in a file of torch, in which its keys can be seen; empty if it has another format."""
    try:
        with zipfile.ZipFile(path) as archive:
            name = next((name for name in archive.namelist() if name.endswith("/data.pkl")), None)
            return archive.read(name) if name else b""
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError):
        return b""
