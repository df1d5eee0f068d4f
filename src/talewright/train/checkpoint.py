"""Checkpoints that are whole or absent: written beside, synced, given a manifest, then renamed into place.

`checkpoints/step-N/` holds `model.safetensors`, `optimizer.safetensors`, `state.json` and `manifest.json` (the size and
SHA-256 of each). `checkpoints/best` and `checkpoints/last` are one-line files that name one of the folders.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from talewright.errors import UserError

INITIAL = "initial"
"""Folder of a run that holds, as `model.safetensors`, the weights it began with, where those are another run's."""
FILES = ("model.safetensors", "optimizer.safetensors", "state.json")


@dataclass
class State:
    """Where a run stands, beside its weights."""

    step: int = 0
    """Updates made."""
    tokens: int = 0
    """Real tokens trained on."""
    seconds: float = 0.0
    """Time spent in training, all its sittings together."""
    warm_seconds: float = 0.0
    """The same when the warm-up ended."""
    best_loss: float | None = None
    """Lowest validation loss so far."""
    best_step: int | None = None
    """Where it was reached."""
    waited: int = 0
    """Evaluations since then."""


def save_checkpoint(run: Path, model: nn.Module, optimizer: torch.optim.Optimizer, state: State) -> Path:
    """Write `checkpoints/step-N` whole, or leave nothing. Raises UserError where the folder cannot be written."""
    folder = run / "checkpoints" / f"step-{state.step}"
    half = folder.with_name(f".{folder.name}.partial")
    try:
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        save_file({name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}, half / FILES[0])
        save_file(_optimizer_tensors(model, optimizer), half / FILES[1])
        (half / FILES[2]).write_text(json.dumps(asdict(state), indent=1), encoding="utf-8")
        manifest = {name: {"bytes": (half / name).stat().st_size, "sha256": _sha256(half / name)} for name in FILES}
        (half / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        for path in [*half.iterdir(), half]:
            _sync(path)
        if folder.exists():  # the same step again, after a resume: it equals the new one, but may be damaged
            shutil.rmtree(folder)
        half.rename(folder)
        _sync(folder.parent)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(half, ignore_errors=True)
        raise UserError(f"cannot save {folder}: {_reason(error)}; earlier checkpoints are unharmed") from None
    point(run, "last", state.step)
    if state.best_step == state.step:
        point(run, "best", state.step)
    return folder


def point(run: Path, name: str, step: int) -> None:
    """Have `checkpoints/best` or `last` name a step, in one move."""
    path = run / "checkpoints" / name
    half = path.with_name(f".{name}.partial")
    half.write_text(f"step-{step}\n", encoding="utf-8")
    half.replace(path)


def prune(run: Path, keep: int, best_step: int | None) -> None:
    """Delete all checkpoints but the newest `keep` and the best."""
    for step in steps(run)[:-keep]:
        if step != best_step:
            shutil.rmtree(run / "checkpoints" / f"step-{step}", ignore_errors=True)


def steps(run: Path) -> list[int]:
    """Steps that have a checkpoint folder, oldest first."""
    names = [path.name.removeprefix("step-") for path in (run / "checkpoints").glob("step-*") if path.is_dir()]
    return sorted(int(name) for name in names if name.isdigit())


def find_checkpoint(run: Path, which: str = "best") -> Path:
    """The run's checkpoint of that name: best, last, or a step's number. Raises UserError where there is none."""
    if which.isdigit():
        step = int(which)
    else:
        pointer = run / "checkpoints" / which
        named = pointer.read_text(encoding="utf-8").strip() if pointer.is_file() else ""
        step = int(named.removeprefix("step-")) if named.removeprefix("step-").isdigit() else -1
    found = steps(run)
    if step in found:
        return run / "checkpoints" / f"step-{step}"
    if not found:
        raise UserError(f"{run} has no checkpoint yet; let it train to its first evaluation")
    if which in ("best", "last"):
        return run / "checkpoints" / f"step-{found[-1]}"
    raise UserError(f"{run} has no checkpoint {which}; it has best, last, " + ", ".join(map(str, found)))


def check(folder: Path) -> str | None:
    """What is wrong with a checkpoint folder, in words, or None where every file is what its manifest says."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        for name in FILES:
            path = folder / name
            if path.stat().st_size != manifest[name]["bytes"]:
                return f"{name} has {path.stat().st_size:,} bytes, not {manifest[name]['bytes']:,}"
            if _sha256(path) != manifest[name]["sha256"]:
                return f"{name} was altered"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return _reason(error)
    return None


def load_model(folder: Path, model: nn.Module) -> None:
    """Read the checkpoint's weights into the model. Raises UserError where they do not fit it."""
    path = folder / FILES[0]
    tensors = _read(path)
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise UserError(
                f"{path} holds {name} as {found.get(name, 'nothing')}, the recipe says {wanted.get(name, 'nothing')}; "
                "a run goes with its own recipe"
            )
    model.load_state_dict(tensors)


def load_training(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> State:
    """Read weights, the optimiser's state and the run's state back, each bit as it was saved."""
    load_model(folder, model)
    tensors = _read(folder / FILES[1])
    names = {parameter: name for name, parameter in model.named_parameters()}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            name = names[parameter]
            state = {key: tensors[f"{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq")}
            optimizer.state[parameter] = {key: value.to(parameter.device) for key, value in state.items()}
    return State(**json.loads((folder / FILES[2]).read_text(encoding="utf-8")))


def _optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{key}.{name}": value.detach().contiguous()
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state[parameter].items()
    }


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read: {_reason(error)}") from None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def remove_partial(run: Path) -> None:
    """Delete what an interrupted save left."""
    leftovers: Iterable[Any] = (run / "checkpoints").glob(".*.partial")
    for path in leftovers:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
