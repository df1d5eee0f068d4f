"""The files of a foreign model: where they are and what they contain. Nothing is read that could run code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from talewright.errors import UserError
from talewright.export.adapters import Tensors
from talewright.export.hub import TIMEOUT, reach_hub, short_reason
from talewright.files import expand_home

INDEX = "model.safetensors.index.json"
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
PATTERNS = ["*.json", "*.safetensors", "merges.txt"]
CONVERT = (
    "this file is pickled, and reading it can run any code that its author put there. If you trust it, save it once as "
    'safetensors: `torch.load(FILE, weights_only=True)` and `safetensors.torch.save_file(tensors, "model.safetensors")`'
    ", or in transformers `AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW)`"
)


def find_source(source: str) -> Path:
    """The folder of a model: a local folder, or that of a name on the hub, downloaded if it is not here yet."""
    folder = expand_home(source)
    if folder.is_file() and folder.suffix in PICKLED:
        raise UserError(f"{source} is not read: {CONVERT}")
    if folder.is_file():
        raise UserError(f"{source} is a file; name the folder that contains it and its config.json")
    if folder.is_dir():
        return folder
    if source.count("/") > 1 or source.startswith((".", "/", "~")) or {*"\\:"} & {*source}:
        raise UserError(f"there is no folder {source}")
    return _download(source)


def read_config_json(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        names = ", ".join(sorted(each.name for each in folder.iterdir())[:8]) or "nothing"
        raise UserError(f"{folder} is not a model: it has no config.json, but {names}")
    values = _read_json(path)
    if not isinstance(values, dict):
        raise UserError(f"{path} is not a model's: its JSON is not an object")
    return values


def read_tensors(folder: Path) -> Tensors:
    """All tensors of the folder's safetensors, in one file or several."""
    tensors: Tensors = {}
    for path in _weight_files(folder):
        try:
            tensors.update(load_file(path))
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path} cannot be read as safetensors: {error}") from None
    return tensors


def _weight_files(folder: Path) -> list[Path]:
    if (folder / INDEX).is_file():
        index = _read_json(folder / INDEX)
        names = index.get("weight_map") if isinstance(index, dict) else None
        if not isinstance(names, dict):
            raise UserError(f'{folder / INDEX} has no "weight_map"')
        paths = [folder / name for name in sorted({Path(str(name)).name for name in names.values()})]
        missing = [path.name for path in paths if not path.is_file()]
        if missing:
            raise UserError(f"{folder / INDEX} names {missing[0]}, which is missing")
        return paths
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLED)
    if pickled:
        raise UserError(f"{folder} has no model.safetensors, only {', '.join(pickled[:3])}: {CONVERT}")
    raise UserError(f"{folder} has no model.safetensors")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read as JSON: {error}") from None


def _download(name: str) -> Path:
    """The files of a model on the hub: those that an earlier call downloaded, otherwise a new download."""
    from huggingface_hub import constants, snapshot_download

    try:
        folder = Path(snapshot_download(name, allow_patterns=PATTERNS, local_files_only=True))
        if (folder / "config.json").is_file() and any(folder.glob("*.safetensors")):
            return folder
    except Exception:  # of any kind: it is not here, or the name is invalid
        pass
    try:
        reach_hub()
        folder = Path(snapshot_download(name, allow_patterns=PATTERNS, etag_timeout=TIMEOUT))
    except Exception as error:  # no network, no such model, an invalid name
        raise UserError(
            f"{name} is not a local folder, and cannot be downloaded from {constants.ENDPOINT} "
            f"({short_reason(error).split('. ')[0]}). Name a folder with config.json and model.safetensors"
        ) from None
    if not any(folder.glob("*.safetensors")):
        raise UserError(f"{name} has no safetensors on the hub, and its pytorch_model.bin is not downloaded: {CONVERT}")
    return folder
