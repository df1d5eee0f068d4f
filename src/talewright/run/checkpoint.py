"""A checkpoint: a folder that is whole or absent.

`checkpoints/step-N/` holds `model.safetensors`, `optimizer.safetensors`, `state.json` and `manifest.json` (the size and
SHA-256 of each). A matrix may be stored in 8 bits: its whole numbers, and beside them under `NAME.scale` a scale for
each row.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from talewright.errors import UserError, listed
from talewright.files import atomic_folder, error_reason, sha256_file, write_json

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

WEIGHTS, OPTIMIZER, STATE = "model.safetensors", "optimizer.safetensors", "state.json"
FILES = (WEIGHTS, OPTIMIZER, STATE)
SCALE = ".scale"
"""Behind the name of a matrix in 8 bits: the scales of its rows."""
TRAINED = "trained."
"""Prefix of the weights being trained, when the run's model is their moving average."""
ADAMW_STATE = ("step", "exp_avg", "exp_avg_sq")
MUON_STATE = ("momentum_buffer",)
ADAGRAD_STATE = ("sum",)


class UnsavedError(UserError):
    """A checkpoint could not be written. Those before it are unharmed."""


@dataclass
class TrainState:
    """How far a run has come, beside its weights and its optimizer's state."""

    step: int = 0
    """Optimizer steps made."""
    tokens: int = 0
    """Real tokens trained on."""
    seconds: float = 0.0
    """Training time, summed over all sessions: that of the updates, without evaluations, samples and saving."""
    warm_seconds: float = 0.0
    """Training time when the warmup ended."""
    best_loss: float | None = None
    """Lowest validation loss so far."""
    best_step: int | None = None
    """The step of `best_loss`."""
    waited: int = 0
    """Evaluations since `best_step`."""
    evaluated: int | None = None
    """The step that was evaluated last."""
    evaluated_seconds: float = 0.0
    """Training time at that step."""
    skipped: int = 0
    """Batches skipped because their loss or gradient was not finite."""
    loss_scale: float | None = None
    """Factor of the loss in fp16, which keeps small gradients above zero."""
    loss_scale_steps: int = 0
    """Updates since it last changed."""


def save_checkpoint(
    run: Path, model: nn.Module, optimizer: torch.optim.Optimizer, state: TrainState, average: nn.Module | None = None
) -> Path:
    """Write `checkpoints/step-N` whole or not at all. Raises UnsavedError if the folder cannot be written.

    An average of the weights, if given, is the run's model; the trained weights then lie in the optimizer's file.
    """
    from safetensors.torch import save_file

    folder = checkpoint_folder(run, state.step)
    tensors = {
        WEIGHTS: {name: tensor.detach().contiguous() for name, tensor in (average or model).state_dict().items()},
        OPTIMIZER: _optimizer_tensors(model, optimizer),
    }
    if average is not None:
        tensors[OPTIMIZER] |= {f"{TRAINED}{name}": tensor.detach() for name, tensor in model.state_dict().items()}
    try:
        folder.parent.mkdir(exist_ok=True)  # in a run folder that is there: it may have been moved
        with atomic_folder(folder) as partial:
            for name, contents in tensors.items():
                save_file(contents, partial / name)
            write_json(partial / STATE, asdict(state))
            write_manifest(partial)
    except (OSError, SafetensorError) as error:
        size = sum(tensor.nbytes for contents in tensors.values() for tensor in contents.values())
        raise UnsavedError(f"cannot save {folder}: {error_reason(error)}{_space_left(run, size)}") from None
    return folder


def write_manifest(folder: Path) -> None:
    """Write the size and the hash of each file of a checkpoint."""
    facts = {name: {"bytes": (folder / name).stat().st_size, "sha256": sha256_file(folder / name)} for name in FILES}
    write_json(folder / "manifest.json", facts)


def checkpoint_folder(run: Path, step: int) -> Path:
    return run / "checkpoints" / f"step-{step}"


def check(folder: Path, names: tuple[str, ...] = FILES) -> str | None:
    """What is wrong with a checkpoint folder, or None if the named files are what its manifest says."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        for name in names:
            path, size = folder / name, int(manifest[name]["bytes"])
            if path.stat().st_size != size:
                return f"{name} has {path.stat().st_size:,} bytes, not {size:,}"
            if sha256_file(path) != manifest[name]["sha256"]:
                return f"{name} was altered"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except OSError as error:
        return error_reason(error)
    except (ValueError, KeyError, TypeError, RecursionError):
        return "manifest.json was altered"
    return None


def load_weights(folder: Path, model: nn.Module) -> None:
    """Read a checkpoint's weights into the model. Raises UserError if they do not fit it, or hold NaN or infinity."""
    path = folder / WEIGHTS
    tensors = _dequantized(_read(path))
    check_fit(path, tensors, dict(model.state_dict()))
    if faults := not_finite(tensors):
        raise UserError(f"the weights in {path} hold NaN or infinity: {faults}. Such a model cannot generate")
    model.load_state_dict(tensors)


def load_training(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, average: nn.Module | None = None
) -> TrainState:
    """Restore weights, optimizer state and run state bit-for-bit. Raises UserError if they do not fit the model."""
    import torch

    load_weights(folder, average or model)
    path = folder / OPTIMIZER
    tensors = _read(path)
    trained = {name: tensors.pop(name) for name in list(tensors) if name.startswith(TRAINED)}
    check_fit(path, trained, {f"{TRAINED}{n}": t for n, t in model.state_dict().items()} if average else {})
    model.load_state_dict(
        {name.removeprefix(TRAINED): tensor for name, tensor in trained.items()}, strict=bool(trained)
    )
    names = {parameter: name for name, parameter in model.named_parameters()}
    keys_of = _state_keys(optimizer)
    shapes = {"step": lambda p: torch.zeros(()), "sum": lambda p: p[:, :1]}
    expected = {(key, p): shapes[key](p) if key in shapes else p for p, keys in keys_of.items() for key in keys}
    check_fit(path, tensors, {f"{key}.{names[p]}": tensor for (key, p), tensor in expected.items()})
    for p, keys in keys_of.items():
        # copied, so that they do not keep the file mapped: Windows deletes no such file
        optimizer.state[p] = {key: tensors[f"{key}.{names[p]}"].to(p.device, copy=True) for key in keys}
    return read_state(folder)


def read_state(folder: Path) -> TrainState:
    """The run's state in a checkpoint. Raises UserError if the file is damaged, or a newer version's."""
    path = folder / STATE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read: {error_reason(error)}") from None
    defaults = asdict(TrainState())
    if not isinstance(values, dict) or not all(_fits(values.get(name, 0), defaults[name]) for name in defaults):
        raise UserError(f"{path} is damaged: it does not hold the state of a run")
    if unknown := sorted(map(str, values.keys() - defaults.keys())):
        raise UserError(f"{path} holds {', '.join(unknown)}, unknown to this version: a newer version wrote it")
    return TrainState(**values)


def _fits(value: Any, default: float | None) -> bool:
    """Whether a value of the state is a count if its default is one, or else a number of at least 0, or its default."""
    if value is None or isinstance(value, bool):
        return value is default
    types = int if isinstance(default, int) else (int, float)
    return isinstance(value, types) and 0 <= value < 2**63  # not NaN either


def _state_keys(optimizer: torch.optim.Optimizer) -> dict[nn.Parameter, tuple[str, ...]]:
    """The names of the tensors that the optimizer keeps for each parameter."""
    return {
        parameter: MUON_STATE if "momentum" in group else ADAMW_STATE if "betas" in group else ADAGRAD_STATE
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


def _optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{key}.{name}": value.detach().contiguous()
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state[parameter].items()
    }


def not_finite(tensors: Mapping[str, Tensor]) -> str:
    """The names of some tensors with NaN or infinite values, as text; empty if all values are finite."""
    ends = ((name, tensor.aminmax()) for name, tensor in tensors.items() if tensor.numel())  # NaN if one value is
    names = [name for name, (low, high) in ends if not (math.isfinite(low) and math.isfinite(high))]
    return listed(names)


def check_fit(path: Path, tensors: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Raise UserError if the tensors of a file are not those that a model or its optimizer has, by name and shape."""
    for name in sorted(expected.keys() | tensors.keys()):
        shape, wanted = (tuple(those[name].shape) if name in those else "nothing" for those in (tensors, expected))
        if shape != wanted:
            raise UserError(
                f"{path} holds {name} as {shape}, the recipe says {wanted}; a run is opened with its own recipe"
            )


def _read(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read: {error_reason(error)}") from None


def _dequantized(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with each matrix that is stored in 8 bits, (N, K), as the product with its scales, (N,)."""
    import torch

    whole = dict(tensors)
    for name, levels in tensors.items():
        scales = tensors.get(name + SCALE)
        if levels.dtype == torch.int8 and levels.ndim == 2 and scales is not None and scales.shape == levels.shape[:1]:
            whole[name] = levels * scales[:, None]
            del whole[name + SCALE]
    return whole


def _space_left(run: Path, size: int) -> str:
    """The end of a message: how much space a checkpoint needs, and how much is free."""
    try:
        free = shutil.disk_usage(run).free
    except OSError:
        return ""
    return f". It needs {size:,} bytes, and {free:,} are free; earlier checkpoints are unharmed"
