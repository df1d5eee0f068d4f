"""The tensors of a foreign model as ours: their names without wrappers, their layout, and what must not be in them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from talewright.config import ModelConfig
from talewright.errors import UserError, listed
from talewright.export.adapters import Adapter, Tensors
from talewright.export.adapters.gpt import NANOGPT_MAP
from talewright.export.importers.source import MERGE
from talewright.run.checkpoint import not_finite

WRAPPED = re.compile(r"(?<![^.])(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""What torch.compile, FSDP and activation checkpointing put into the names of what they wrap."""
OUTER = ("module.", "model.")
"""What DistributedDataParallel and Lightning put before all names."""
ADAPTERS = (".lora_", ".ia3_", ".modules_to_save.", "base_model.model.")
"""What names of peft's adapters contain."""


def convert(
    folder: Path, adapter: Adapter, config: ModelConfig, stored: Mapping[str, Tensor]
) -> tuple[ModelConfig, Tensors, bool]:
    """The model's shape as the file has it, its tensors by our names in float32, and whether transformers reads such a
    file too, where it has the class.

    Raises UserError, naming some of each, if tensors are missing, unknown, of another shape or not numbers.
    """
    if peft := next((name for name in stored if any(part in f".{name}" for part in ADAPTERS)), None):
        raise UserError(f"{folder} has the tensor {peft}, part of an adapter that was not merged: {MERGE}")
    if not stored:
        raise UserError(f"the weights in {folder} have no tensors")
    foreign = _full_names(folder, adapter, stored)
    names_kept = foreign.keys() <= {*stored, *(adapter.prefix + name for name in stored)}
    if config.n_layers > len(foreign):  # checked first: listing the tensors of a billion layers would take hours
        raise UserError(
            f"{folder / 'config.json'} describes {config.n_layers:,} layers, but {folder} has {len(foreign)} tensors"
        )
    config = _tied_as_stored(adapter, config, foreign)
    tensor_map = adapter.stored_map({name: tuple(tensor.shape) for name, tensor in foreign.items()})
    if tensor_map is NANOGPT_MAP:
        config = _bias_as_stored(config, foreign, tensor_map.shapes(config))
    _check_tensors(folder, tensor_map.shapes(config), foreign)
    foreign = {name: tensor.float() for name, tensor in foreign.items()}
    if faults := not_finite(foreign):
        raise UserError(f"the weights in {folder} contain NaN or infinite values: {faults}")
    plain = tensor_map is adapter.tensor_map and names_kept
    return config, tensor_map.import_tensors(config, foreign), plain


def _full_names(folder: Path, adapter: Adapter, stored: Mapping[str, Tensor]) -> Tensors:
    """The learned tensors by the names that the class has, without wrappers around it or its parts."""
    names = {name: WRAPPED.sub("", name) for name in stored}
    while outer := next((each for each in OUTER if all(name.startswith(each) for name in names.values())), None):
        names = {name: short.removeprefix(outer) for name, short in names.items()}
    bare = not any(name.startswith(adapter.prefix) for name in names.values())
    full: Tensors = {}
    for name, short in names.items():
        if short.endswith(adapter.computed):
            continue
        short = adapter.prefix + short if bare and not short.startswith("lm_head.") else short
        if short in full:
            raise UserError(f"{folder} has two tensors for {short}; {name} is one of them")
        full[short] = stored[name]
    return full


def _tied_as_stored(adapter: Adapter, config: ModelConfig, foreign: Tensors) -> ModelConfig:
    """Untie the output layer if the file has one that differs from the embedding; otherwise remove such a copy."""
    head_name, embedding_name = (f"{adapter.tensor_map.modules[module]}.weight" for module in ("head", "embedding"))
    if not config.tied or head_name not in foreign:
        return config
    if embedding_name in foreign and not torch.equal(foreign[head_name], foreign[embedding_name]):
        return dataclasses.replace(config, tied=False)
    foreign[embedding_name] = foreign.pop(head_name)  # some files have one of the two, under either name
    return config


def _bias_as_stored(config: ModelConfig, foreign: Tensors, shapes: Mapping[str, tuple[int, ...]]) -> ModelConfig:
    """Without biases if the file has none: those of norms, which ours always have, are then zeros."""
    biases = [name for name in shapes if name.endswith(".bias")]
    if any(name in foreign for name in biases):
        return config
    foreign |= {name: torch.zeros(shapes[name]) for name in biases if ".ln_" in name}
    return dataclasses.replace(config, bias=())


def _check_tensors(folder: Path, shapes: Mapping[str, tuple[int, ...]], tensors: Mapping[str, Tensor]) -> None:
    """Raise UserError, naming some of each, if tensors are missing, unknown, of another shape, or not floats."""
    both = sorted(shapes.keys() & tensors.keys())
    problems = {
        "missing": sorted(shapes.keys() - tensors.keys()),
        "unknown": sorted(tensors.keys() - shapes.keys()),
        "of another shape": [
            f"{name} is {tuple(tensors[name].shape)}, config.json says {shapes[name]}"
            for name in both
            if tuple(tensors[name].shape) != shapes[name]
        ],
        "not floats": [f"{name} is {tensors[name].dtype}" for name in both if not tensors[name].is_floating_point()],
    }
    lists = [f"{what}: {listed(names)}" for what, names in problems.items() if names]
    if lists:
        raise UserError(f"the weights in {folder} do not fit its config.json; " + "; ".join(lists))
