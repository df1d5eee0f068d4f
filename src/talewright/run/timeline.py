"""The timeline of a run: light checkpoints, which show what the model was at many steps of its training.

`timeline/step-N.safetensors` holds the weights alone, in bfloat16: a sixth of a full checkpoint at most. Training
cannot resume from one. Its metadata holds the SHA-256 of its tensors.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from talewright.errors import UserError
from talewright.files import error_reason, rename
from talewright.run.checkpoint import UnsavedError, check_fit, not_finite

if TYPE_CHECKING:
    from torch import Tensor, nn

FOLDER, SUFFIX = "timeline", ".safetensors"
HASH = "sha256"


def timeline_file(run: Path, step: int) -> Path:
    return run / FOLDER / f"step-{step}{SUFFIX}"


def timeline_steps(run: Path) -> list[int]:
    """The steps that have a light checkpoint, damaged or not, in order."""
    names = [path.name[len("step-") : -len(SUFFIX)] for path in (run / FOLDER).glob(f"step-*{SUFFIX}")]
    return sorted(int(name) for name in names if name.isascii() and name.isdigit() and len(name) < 20)


def save_light(run: Path, step: int, model: nn.Module) -> Path:
    """Write a light checkpoint whole or not at all. Raises UnsavedError if the folder cannot be written."""
    import torch
    from safetensors.torch import save_file

    weights = {name: tensor.detach().to("cpu", torch.bfloat16) for name, tensor in model.state_dict().items()}
    tensors = {name: tensor.contiguous() for name, tensor in weights.items()}
    path = timeline_file(run, step)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(exist_ok=True)
        save_file(tensors, part, metadata={HASH: _digest(tensors)})
        rename(part, path)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise UnsavedError(f"cannot save {path}: {error_reason(error)}") from None
    return path


def load_light(path: Path, model: nn.Module) -> None:
    """Read a light checkpoint into a model, in the model's own precision. Raises UserError if the file is damaged, or
    holds another model's weights.
    """
    tensors = _read(path)
    check_fit(path, tensors, dict(model.state_dict()))
    if faults := not_finite(tensors):
        raise UserError(f"the weights in {path} hold NaN or infinity: {faults}")
    model.load_state_dict(tensors)


def light_fault(path: Path) -> str | None:
    """What is wrong with a light checkpoint; None if it is as it was written."""
    try:
        _read(path)
    except UserError as error:
        return str(error)
    return None


def rewind_timeline(run: Path, step: int) -> None:
    """Delete the light checkpoints after that step, which a resumed run writes again, and what an interrupted save left
    behind. Raises UserError if they cannot be deleted.
    """
    late = [timeline_file(run, each) for each in timeline_steps(run) if each > step]
    try:
        for path in (*late, *(run / FOLDER).glob("*.part")):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot delete {error.filename}: {error_reason(error)}") from None


def _read(path: Path) -> dict[str, Tensor]:
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a dict
            expected = (file.metadata() or {}).get(HASH)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read: {error_reason(error)}") from None
    if _digest(tensors) != expected:
        raise UserError(f"{path} is damaged: it does not have the SHA-256 that it was written with")
    return tensors


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """The SHA-256 of the names, shapes and bytes of bfloat16 tensors."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
