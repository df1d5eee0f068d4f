"""Import models of other programs: the result is a run folder that can do all that a trained one can."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from talewright.config import ModelConfig, Recipe, TokenizerConfig, TrainConfig, recipe_to_yaml
from talewright.errors import UserError
from talewright.export.adapters import PUBLISHED, READABLE, Adapter, Tensors
from talewright.export.adapters.config_json import ConfigJson
from talewright.export.folder import RECORD, new_folder
from talewright.export.importers.llama2c import llama2c_file, read_llama2c
from talewright.export.importers.source import find_source, read_config_json, read_tensors
from talewright.export.importers.tokenizer import read_tokenizer
from talewright.export.parity import bundled_stories, check_parity
from talewright.export.pretrained import BOUNDS
from talewright.files import expand_home, write_json
from talewright.model.gpt import GPT
from talewright.run.checkpoint import TrainState, save_checkpoint
from talewright.run.retention import apply_retention
from talewright.tokenizer import Tokenizer


@dataclass(frozen=True)
class ImportedModel:
    """A foreign model as one of ours."""

    kind: str
    """What it was, such as GPT2LMHeadModel."""
    config: ModelConfig
    tensors: Tensors
    tokenizer: Tokenizer


def import_model(source: str, run: Path, tokenizer: str | None = None, overwrite: bool = False) -> dict[str, Any]:
    """Make a run folder of a model, and return the record that the folder contains.

    source: a folder with config.json and safetensors, a .bin of llama2.c, or a name on the hub. Raises UserError, with
    nothing written, if it is not a model that ours can be, or if a part is missing, unknown or of another shape.
    """
    imported, path, reader = _read(source, tokenizer)
    model = GPT(imported.config).eval()
    model.load_state_dict(imported.tensors)
    stories = bundled_stories(imported.tokenizer, imported.config.context_length)
    proof = check_parity(model, reader, path, stories, BOUNDS["f32"]) if reader else None
    record = {
        "source": source,
        "hub": None if expand_home(source).exists() else source,
        "class": imported.kind,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "vocab_size": imported.config.vocab_size,
        "proof": f"verified in a fresh process: {proof}" if proof else None,
    }
    with new_folder(run, overwrite) as partial:
        write_run(partial, _make_recipe(source, imported), model, imported.tokenizer)
        write_json(partial / RECORD, record)
    return record


def _read(source: str, tokenizer: str | None) -> tuple[ImportedModel, Path, str | None]:
    """The model, its path, and the module under `export/readers` that can read it there (None if there is none)."""
    if (file := llama2c_file(source)) is not None:
        return ImportedModel("llama2.c's model", *read_llama2c(file, tokenizer)), file, "llama2c"
    folder = find_source(source)
    adapter, imported = read_model(folder, tokenizer)
    return imported, folder, "hf" if adapter in PUBLISHED and find_spec("transformers") is not None else None


def read_model(folder: Path, tokenizer: str | None = None) -> tuple[Adapter, ImportedModel]:
    """The model in a folder with config.json and safetensors. Raises UserError as `import_model` does."""
    json = ConfigJson(read_config_json(folder), str(folder / "config.json"))
    adapter = _find_adapter(json)
    config = adapter.from_json(json)
    if problems := list(config.problems()):
        raise UserError(f"{json.path} describes an impossible model: " + "; ".join(problems))
    foreign = _with_prefix(adapter, read_tensors(folder))
    if config.n_layers > len(foreign):  # checked first: listing the tensors of a billion layers would take hours
        raise UserError(f"{json.path} describes {config.n_layers:,} layers, but {folder} has {len(foreign)} tensors")
    config = _tied_as_stored(adapter, config, foreign)
    _check_tensors(folder, adapter.tensor_map.shapes(config), foreign)
    tensors = adapter.tensor_map.import_tensors(config, foreign)
    tensors = {name: tensor.float() for name, tensor in tensors.items()}
    own = read_tokenizer(folder, tokenizer, config.vocab_size)
    return adapter, ImportedModel(adapter.architecture, config, tensors, own)


def write_run(run: Path, recipe: Recipe, model: GPT, tokenizer: Tokenizer, step: int = 0) -> None:
    """Write a run folder of a model that was trained elsewhere, with one checkpoint, of that step."""
    tokenizer.save(run / "tokenizer")
    state = TrainState(step=step, best_step=step)
    save_checkpoint(run, model, torch.optim.AdamW(model.parameters()), state)
    apply_retention(run, state, 1)
    (run / "recipe.yaml").write_text(recipe_to_yaml(recipe), encoding="utf-8", newline="\n")


def _make_recipe(source: str, imported: ImportedModel) -> Recipe:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(source).name).strip("-.") or "imported"
    return Recipe(
        name=name,
        about=f"imported: {imported.kind}",
        tokenizer=TokenizerConfig(kind="saved", source="tokenizer"),
        model=imported.config,
        train=TrainConfig(max_epochs=1, learning_rate=3e-4),
    )


def _find_adapter(json: ConfigJson) -> Adapter:
    """The adapter of a config.json, by its architecture, otherwise by its model_type."""
    architectures, model_type = json.values.get("architectures"), json.values.get("model_type")
    names = [str(name) for name in architectures] if isinstance(architectures, list) else []
    for adapter in READABLE:
        if adapter.architecture in names:
            return adapter
    if not any("For" in name for name in names):  # none, or a base such as GPT2Model, without its output layer
        for adapter in READABLE:
            if adapter.model_type == model_type:
                return adapter
    what = names[0] if names else model_type or "a model that does not say its class"
    known = ", ".join(adapter.architecture for adapter in READABLE)
    raise UserError(f"{json.path} is of {what}, which is not supported. Supported: {known}")


def _with_prefix(adapter: Adapter, tensors: Mapping[str, Tensor]) -> Tensors:
    """The learned tensors by their full names."""
    bare = not any(name.startswith(adapter.prefix) for name in tensors)
    full = {name: name if name.startswith("lm_head.") or not bare else adapter.prefix + name for name in tensors}
    return {full[name]: tensor for name, tensor in tensors.items() if not name.endswith(adapter.computed)}


def _tied_as_stored(adapter: Adapter, config: ModelConfig, foreign: Tensors) -> ModelConfig:
    """Untie the output layer if the file has one that differs from the embedding; otherwise remove such a copy."""
    names = [f"{adapter.tensor_map.modules[module]}.weight" for module in ("head", "embedding")]
    head, embedding = map(foreign.get, names)
    if not config.tied or head is None or embedding is None:
        return config
    if not torch.equal(head, embedding):
        return dataclasses.replace(config, tied=False)
    del foreign[names[0]]
    return config


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
    lists = [f"{what}: {', '.join(names[:4])}{_more(names)}" for what, names in problems.items() if names]
    if lists:
        raise UserError(f"the weights in {folder} do not fit its config.json; " + "; ".join(lists))


def _more(names: list[str]) -> str:
    return f" and {len(names) - 4:,} more" if len(names) > 4 else ""
