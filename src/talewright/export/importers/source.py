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
from talewright.export.importers.pickled import PICKLED, PICKLED_RISK, conversion
from talewright.files import expand_home
from talewright.run.new_folder import RECIPE

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PATTERNS = ["*.json", "*.safetensors", "merges.txt"]
MERGE = (
    "merge it into that model with peft's `merge_and_unload()`, save the result with `save_pretrained`, and import that"
)
LFS = b"version https://git-lfs"
"""How a file begins that Git LFS leaves in place of a large one."""

AS_SAVED = (
    "import takes the model as transformers saves it, in a folder with config.json and model.safetensors (an export of "
    "a run: --to hf)"
)


def find_source(source: str) -> Path:
    """The folder of a model: a local folder, or that of a name on the hub, downloaded if it is not here yet."""
    folder = expand_home(source)
    if folder.is_file() and folder.suffix in PICKLED:
        raise UserError(f"{source} is not read: {conversion(folder)}")
    if folder.suffix == ".gguf" and folder.is_file():
        raise UserError(f"{source} is not read: {AS_SAVED}")
    if folder.is_file():
        raise UserError(f"{source} is a file; name the folder that contains it and its config.json")
    if folder.is_dir():
        if (folder / "onnx").is_dir() and not any(
            each.suffix in (".safetensors", *PICKLED) for each in folder.iterdir()
        ):
            raise UserError(f"{folder} has no weights, only a graph for ONNX: {AS_SAVED}")
        return folder
    if source.count("/") > 1 or source.startswith((".", "/", "~")) or {*"\\:"} & {*source}:
        raise UserError(f"there is no folder {source}")
    return _download(source)


def read_config_json(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        if (folder / "adapter_config.json").is_file():
            raise UserError(f"{folder} is an adapter of another model (it has adapter_config.json): {MERGE}")
        if pickled := sorted(each for each in folder.iterdir() if each.suffix in PICKLED):  # as nanoGPT leaves it
            raise UserError(f"{folder} has no config.json, only {pickled[0].name}: {conversion(pickled[0])}")
        if any(folder.glob("*.gguf")):
            raise UserError(f"{folder} has no config.json, only a GGUF file: {AS_SAVED}")
        if (folder / RECIPE).is_file():
            raise UserError(f"{folder} is a run already; every command takes it as it is")
        names = ", ".join(sorted(each.name for each in folder.iterdir())[:8]) or "nothing"
        raise UserError(f"{folder} is not a model: it has no config.json, but {names}")
    values = _read_json(path)
    if not isinstance(values, dict):
        raise UserError(f"{path} does not describe a model: its JSON is not an object")
    return values


def read_tensors(folder: Path) -> Tensors:
    """All tensors of the folder's safetensors, in one file or several. Raises UserError if the index of several does
    not agree with them, or if a file is damaged.
    """
    tensors: Tensors = {}
    for path, listed in _weight_files(folder).items():
        found = _load(path)
        if absent := sorted(listed - found.keys()):
            raise UserError(f"{folder / INDEX} lists {absent[0]} in {path.name}, which does not contain it")
        if twice := sorted(found.keys() & tensors.keys()):
            raise UserError(f"{path} contains {twice[0]}, which is also in another file of {folder / INDEX}")
        tensors |= found
    return tensors


def _weight_files(folder: Path) -> dict[Path, set[str]]:
    """The files to read, and the tensors that the index says each has. As in transformers, model.safetensors is read
    before an index.
    """
    if (folder / WHOLE).is_file():
        return {folder / WHOLE: set()}
    if (folder / INDEX).is_file():
        return _indexed_files(folder)
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLED)
    if pickled:
        raise UserError(f"{folder} has no {WHOLE}, only {', '.join(pickled[:3])}: {conversion(folder / pickled[0])}")
    others = sorted(path.name for path in folder.glob("*.safetensors"))
    rename = f", but {', '.join(others[:3])}; the weights of a model are read from {WHOLE} alone" if others else ""
    raise UserError(f"{folder} has no {WHOLE}{rename}")


def _indexed_files(folder: Path) -> dict[Path, set[str]]:
    index = _read_json(folder / INDEX)
    names = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(names, dict) or not names:
        raise UserError(f'{folder / INDEX} has no "weight_map"')
    files: dict[Path, set[str]] = {}
    for tensor, name in sorted(names.items()):
        if not isinstance(name, str) or Path(name).name != name:
            raise UserError(f"{folder / INDEX} names {json.dumps(name)[:80]} for {tensor}, which is not a file name")
        files.setdefault(folder / name, set()).add(tensor)
    for path in files:
        if not path.is_file():
            raise UserError(f"{folder / INDEX} names {path.name}, which is missing")
    return files


def _load(path: Path) -> Tensors:
    _check_fetched(path)
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read as safetensors: {error}") from None
    except KeyError as error:  # a data type that torch does not have
        raise UserError(f"{path} has tensors of the data type {error.args[0]}, which is not supported") from None


def _check_fetched(path: Path) -> None:
    """Raise UserError if Git LFS has not put the file in its place yet."""
    with path.open("rb") as file:
        if file.read(len(LFS)) == LFS:
            raise UserError(f"{path} is a Git LFS pointer, not the file itself: run `git lfs pull` in {path.parent}")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, ValueError):
            _check_fetched(path)
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
        raise UserError(
            f"{name} has no safetensors on the hub, and its pytorch_model.bin is not downloaded: {PICKLED_RISK}. If "
            f"you trust it, run `hf download {name} --local-dir FOLDER`, import FOLDER, and follow the message"
        )
    return folder
