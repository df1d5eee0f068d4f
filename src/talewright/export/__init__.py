"""Models in the forms that other programs read, each proven by reading it back; and models of other programs, in.

A target (`target.py`) writes one form. `export_model` has it write beside the place it is meant for, proves in a fresh
process that what was written computes the same (`proof.py`), and only then puts it there (`folder.py`).
"""

from __future__ import annotations

import json
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from talewright.errors import UserError
from talewright.export.card import write_card
from talewright.export.folder import RECORD, check_free, placed
from talewright.export.gguf import GGUF
from talewright.export.hf import HuggingFace
from talewright.export.hub import check_hub, push_folder
from talewright.export.llama2c import Llama2C
from talewright.export.onnx import ONNX
from talewright.export.parity import proof_stories, prove
from talewright.export.remote import HuggingFaceRemote
from talewright.export.space import Space
from talewright.export.target import Source, Target
from talewright.export.web import Web

__all__ = ["TARGETS", "Source", "export_model"]

FORMS = (HuggingFace(), HuggingFaceRemote(), GGUF(), ONNX(), Llama2C(), Web(), Space())
TARGETS: dict[str, Target] = {target.name: target for target in FORMS}


def export_model(
    source: Source,
    to: str,
    folder: Path,
    dtype: str | None = None,
    overwrite: bool = False,
    push: str | None = None,
) -> dict[str, Any]:
    """Write the model into `folder` in the form `to`, prove it, and say what was done (the record that stands there).
    With `push`, upload the folder to that repository of the hub.

    Raises UserError, with nothing written and nothing taken away, where the form cannot hold the model, the folder
    holds something, or what was written does not compute the same.
    """
    started = time.perf_counter()
    target = find_target(to)
    dtype = _precision(target, dtype)
    why_not = target.why_not(source.recipe.model)
    if why_not is not None:
        raise UserError(f"{source.run} cannot go to {to}: {why_not}")
    _check_packages(target)
    check_free(folder, overwrite)
    if push is not None:
        check_hub(push)
    with placed(folder, overwrite) as half:
        target.write(source, half, dtype)
        stories = proof_stories(source.recipe, source.tokenizer)
        proofs = {
            part: prove(source.model, target.client, half / part, stories, share)
            for part, share in target.parts(dtype).items()
        }
        worst = max(proofs.values(), key=lambda proof: proof.difference)
        record = {
            "target": to,
            "dtype": dtype,
            "recipe": source.recipe.name,
            "checkpoint": source.checkpoint,
            "largest_difference": worst.difference,
            "bound": worst.bound,
            "proof": "; ".join(f"{part}: {proof.words}" if part else proof.words for part, proof in proofs.items()),
            "bytes": sum(path.stat().st_size for path in half.rglob("*") if path.is_file()),
            "seconds": round(time.perf_counter() - started, 1),
        }
        (half / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        write_card(half, source, record, target.usage(push or folder.name), target.front(source))
    if push is not None:
        record["pushed"] = push_folder(folder, push, target.repo_type)
    return record


def find_target(name: str) -> Target:
    if name not in TARGETS:
        raise UserError(f"--to {name} is no form of export; there are " + ", ".join(TARGETS))
    return TARGETS[name]


def _precision(target: Target, dtype: str | None) -> str:
    if dtype is not None and dtype not in target.bounds:
        raise UserError(f"--dtype {dtype} is none that {target.name} has; it has " + ", ".join(target.bounds))
    return dtype or next(iter(target.bounds))


def _check_packages(target: Target) -> None:
    missing = [name for name in target.packages if find_spec(name) is None]
    if missing:
        raise UserError(f'{target.name} needs {", ".join(missing)}: pip install "talewright[{target.extra}]"')
