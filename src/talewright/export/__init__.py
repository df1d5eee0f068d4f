"""Export models to the formats of other programs, each checked by reading it back, and import models from them.

A target (`target.py`) writes one format. `check_export` finds every problem before a weight is read.
`export_model` lets the target write next to the destination, checks in a fresh process that the result computes the
same (`parity.py`), and only then puts it in place (`folder.py`). Importing this package does not import torch.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from talewright.config import ModelConfig
from talewright.errors import UserError
from talewright.export.card import check_license, write_card
from talewright.export.folder import RECORD, check_free, new_folder
from talewright.export.gguf import GGUF
from talewright.export.hf import HuggingFace
from talewright.export.hub import check_hub, push_folder
from talewright.export.llama2c import Llama2C
from talewright.export.onnx import ONNX
from talewright.export.parity import ParityResult, check_parity, parity_stories
from talewright.export.remote import HuggingFaceRemote
from talewright.export.space import Space
from talewright.export.target import ExportSource, ExportTarget, fitted, missing_modules
from talewright.export.web import Web
from talewright.files import folder_size, write_json

__all__ = ["TARGETS", "ExportSource", "check_export", "check_license", "export_model", "supported_targets"]

TARGETS: dict[str, ExportTarget] = {
    target.name: target for target in (HuggingFace(), HuggingFaceRemote(), GGUF(), ONNX(), Llama2C(), Web(), Space())
}


def supported_targets(config: ModelConfig) -> list[str]:
    """The formats that can hold a model of that shape."""
    return [name for name, target in TARGETS.items() if target.unsupported_reason(config) is None]


def check_export(
    run: Path,
    config: ModelConfig,
    to: str | None,
    folder: Path | None,
    dtype: str | None = None,
    overwrite: bool = False,
    push: str | None = None,
) -> ExportTarget:
    """The target. Raises UserError with every reason against the export that the options, the model's shape and the
    installed packages give.
    """
    target = TARGETS.get(to or "")
    if target is None or folder is None:
        problem = "name a folder and a format" if to is None or target else f"--to {to} is not an export format"
        names = ", ".join(supported_targets(config))
        example = f"talewright export {run} FOLDER --to FORMAT"
        raise UserError(f"{problem} (`{example}`). {run} can be exported to: {names}")
    problems = []
    if reason := target.unsupported_reason(config):
        problems.append(f"{run} cannot be exported to {to}: {reason}")
    if dtype is not None and dtype not in target.bounds:
        problems.append(f"--to {to} does not support --dtype {dtype}. Use one of " + ", ".join(target.bounds))
    problems += target.setup_problems()
    for check in (lambda: check_free(folder, overwrite), lambda: push and check_hub(push)):
        try:
            check()
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise UserError("\n".join(problems))
    return target


def export_model(
    source: ExportSource,
    to: str,
    folder: Path,
    dtype: str | None = None,
    overwrite: bool = False,
    push: str | None = None,
) -> dict[str, Any]:
    """Write the model into `folder` in the format `to`, verify it, and return the record that the folder contains.

    If the packages that verify the format are not installed, the record says so. With `push`, upload the folder to that
    repository on the hub. Raises UserError, with nothing written or removed, if `check_export` does, or if what was
    written does not compute the same.
    """
    started = time.perf_counter()
    source = fitted(source)
    target = check_export(source.run, source.recipe.model, to, folder, dtype, overwrite, push)
    dtype = dtype or next(iter(target.bounds))
    with new_folder(folder, overwrite) as partial:
        target.write(source, partial, dtype)
        record = {
            "target": to,
            "dtype": dtype,
            "recipe": source.recipe.name,
            "checkpoint": source.checkpoint,
            **_verify(source, target, partial, dtype),
            "bytes": folder_size(partial),
            "seconds": round(time.perf_counter() - started, 1),
        }
        write_json(partial / RECORD, record)
        write_card(partial, source, record, target, push or f"./{folder.resolve().name}")
        for path in partial.rglob("*.safetensors"):  # safetensors writes files that only their owner can read
            shutil.copymode(partial / RECORD, path)
    if push is not None:
        record["pushed"] = push_folder(folder, push, target.space_sdk)
    return record


def _verify(source: ExportSource, target: ExportTarget, folder: Path, dtype: str) -> dict[str, Any]:
    """Compare what was written with the model: entries for the record. Raises UserError if it computes otherwise."""
    if missing := missing_modules(target.reader_packages):
        requirement = target.reader_requirement or f'"talewright[{target.extra}]"'
        contents = target.check_contents(source, folder, dtype)
        proof = (
            f"not verified by running it, because {', '.join(missing)} is not installed"
            f"{f' ({contents})' if contents else ''}. To verify it: pip install {requirement}, then "
            "export again with --overwrite"
        )
        return {"verified": False, "largest_difference": None, "bound": None, "proof": proof}
    stories = parity_stories(source.recipe, source.tokenizer)
    results = {
        part: check_parity(source.model, target.reader, folder / part, stories, tolerance)
        for part, tolerance in target.readable_parts(dtype).items()
    }
    worst = max(results.values(), key=lambda result: result.difference)
    proof = "verified in a fresh process: " + "; ".join(
        _describe(result, part, dtype) for part, result in results.items()
    )
    return {"verified": True, "largest_difference": worst.difference, "bound": worst.bound, "proof": proof}


def _describe(result: ParityResult, part: str, dtype: str) -> str:
    text = f"8-bit matches within tolerance ({result})" if "q8" in (part or dtype) else str(result)
    return f"{Path(part).stem}: {text}" if part else text
