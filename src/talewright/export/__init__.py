"""Export models to the formats of other programs, each checked by reading it back, and import models from them.

A target (`target.py`) writes one format. `export_model` lets it write next to the destination, checks in a fresh
process that the result computes the same (`parity.py`), and only then puts it in place (`folder.py`).
"""

from __future__ import annotations

import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from talewright.errors import UserError
from talewright.export.card import write_card
from talewright.export.folder import RECORD, check_free, new_folder
from talewright.export.gguf import GGUF
from talewright.export.hf import HuggingFace
from talewright.export.hub import check_hub, push_folder
from talewright.export.llama2c import Llama2C
from talewright.export.onnx import ONNX
from talewright.export.parity import check_parity, parity_stories
from talewright.export.remote import HuggingFaceRemote
from talewright.export.space import Space
from talewright.export.target import ExportSource, ExportTarget
from talewright.export.web import Web
from talewright.files import folder_size, write_json

__all__ = ["TARGETS", "ExportSource", "export_model"]

TARGETS: dict[str, ExportTarget] = {
    target.name: target for target in (HuggingFace(), HuggingFaceRemote(), GGUF(), ONNX(), Llama2C(), Web(), Space())
}


def export_model(
    source: ExportSource,
    to: str,
    folder: Path,
    dtype: str | None = None,
    overwrite: bool = False,
    push: str | None = None,
) -> dict[str, Any]:
    """Write the model into `folder` in the format `to`, check it, and return the record that the folder contains.

    With `push`, upload the folder to that repository on the hub. Raises UserError, with nothing written or removed, if
    the format cannot hold the model, the folder is not free, or what was written does not compute the same.
    """
    started = time.perf_counter()
    target, dtype = _choose_target(source, to, dtype)
    check_free(folder, overwrite)
    if push is not None:
        check_hub(push)
    with new_folder(folder, overwrite) as partial:
        target.write(source, partial, dtype)
        stories = parity_stories(source.recipe, source.tokenizer)
        results = {
            part: check_parity(source.model, target.reader, partial / part, stories, tolerance)
            for part, tolerance in target.readable_parts(dtype).items()
        }
        worst = max(results.values(), key=lambda result: result.difference)
        record = {
            "target": to,
            "dtype": dtype,
            "recipe": source.recipe.name,
            "checkpoint": source.checkpoint,
            "largest_difference": worst.difference,
            "bound": worst.bound,
            "proof": "; ".join(f"{part}: {result}" if part else str(result) for part, result in results.items()),
            "bytes": folder_size(partial),
            "seconds": round(time.perf_counter() - started, 1),
        }
        write_json(partial / RECORD, record)
        write_card(partial, source, record, target.usage(push or folder.name), target.front_matter(source))
    if push is not None:
        record["pushed"] = push_folder(folder, push, target.repo_type)
    return record


def _choose_target(source: ExportSource, name: str, dtype: str | None) -> tuple[ExportTarget, str]:
    """The target and the precision. Raises UserError if there is no such target, or it cannot export the model."""
    if name not in TARGETS:
        raise UserError(f"--to {name} is not an export format. Use one of " + ", ".join(TARGETS))
    target = TARGETS[name]
    if dtype is not None and dtype not in target.bounds:
        raise UserError(f"--to {name} does not support --dtype {dtype}. Use one of " + ", ".join(target.bounds))
    if reason := target.unsupported_reason(source.recipe.model):
        raise UserError(f"{source.run} cannot be exported to {name}: {reason}")
    missing = [package for package in target.packages if find_spec(package) is None]
    if missing:
        raise UserError(f'--to {name} needs {", ".join(missing)}: pip install "talewright[{target.extra}]"')
    return target, dtype or next(iter(target.bounds))
