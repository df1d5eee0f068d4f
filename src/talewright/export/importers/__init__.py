"""Import models of other programs: the result is a run folder that can do all that a trained one can."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from talewright.config import ModelConfig, Recipe, TokenizerConfig, TrainConfig, recipe_to_yaml
from talewright.errors import UserError
from talewright.export.adapters import PUBLISHED, READABLE, Adapter, Tensors
from talewright.export.adapters.config_json import ConfigJson
from talewright.export.folder import RECORD, new_folder
from talewright.export.importers.llama2c import llama2c_file, read_llama2c
from talewright.export.importers.source import find_source, read_config_json, read_tensors
from talewright.export.importers.tokenizer import read_tokenizer
from talewright.export.importers.weights import convert
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
    published: bool
    """Whether transformers, too, reads the files as they are."""


def import_model(source: str, run: Path, tokenizer: str | None = None, overwrite: bool = False) -> dict[str, Any]:
    """Make a run folder of a model, and return the record that the folder contains.

    source: a folder with config.json and safetensors, a .bin of llama2.c, or a name on the hub. Raises UserError, with
    nothing written, if it is not a model that ours can be, or if a part is missing, unknown or of another shape.
    """
    imported, path, reader = _read(source, tokenizer)
    model = GPT(imported.config).eval()
    model.load_state_dict(imported.tensors)
    stories = bundled_stories(imported.tokenizer, imported.config.context_length)
    rounding = _rounding(model, stories)
    if not math.isfinite(rounding):
        raise UserError(f"the logits of {source} are NaN or infinite: its weights are too large")
    proof = check_parity(model, reader, path, stories, max(BOUNDS["f32"], 10 * rounding)) if reader else None
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


def _rounding(model: GPT, stories: Sequence[Sequence[int]]) -> float:
    """How far the rounding of float32 takes the logits, relative to the largest: some weights amplify it."""
    exact, worst, largest = copy.deepcopy(model).double(), 0.0, 1.0
    with torch.inference_mode():
        for story in stories:
            logits, true = model(torch.tensor([story])), exact(torch.tensor([story]))
            worst = max(worst, float((logits - true).abs().nan_to_num(math.inf, math.inf).max()))
            largest = max(largest, float(logits.abs().max()))
    return worst / largest


def _read(source: str, tokenizer: str | None) -> tuple[ImportedModel, Path, str | None]:
    """The model, its path, and the module under `export/readers` that can read it there (None if there is none)."""
    if (file := llama2c_file(source)) is not None:
        return ImportedModel("llama2.c's model", *read_llama2c(file, tokenizer), False), file, "llama2c"
    folder = find_source(source)
    _, imported = read_model(folder, tokenizer)
    return imported, folder, "hf" if imported.published and find_spec("transformers") is not None else None


def read_model(folder: Path, tokenizer: str | None = None) -> tuple[Adapter, ImportedModel]:
    """The model in a folder with config.json and safetensors. Raises UserError as `import_model` does."""
    json = ConfigJson(read_config_json(folder), str(folder / "config.json"))
    if json.values.get("quantization_config"):
        raise json.error("quantization_config", "quantized models are not supported, so import the original one")
    adapter = _find_adapter(json)
    config = adapter.from_json(json)
    if problems := list(config.problems()):
        raise UserError(f"{json.path} describes an impossible model: " + "; ".join(problems))
    config, tensors, plain = convert(folder, adapter, config, read_tensors(folder))
    own = read_tokenizer(folder, tokenizer, config.vocab_size)
    return adapter, ImportedModel(adapter.architecture, config, tensors, own, adapter in PUBLISHED and plain)


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
        if {adapter.architecture, *adapter.aliases} & {*names}:
            # transformers goes by the model_type, other readers by the architecture
            if adapter in PUBLISHED and model_type not in (None, adapter.model_type):
                raise json.error("model_type", f"of {names[0]}, it is {adapter.model_type}")
            return adapter
    if not any("For" in name for name in names):  # none, or a base such as GPT2Model, without its output layer
        for adapter in READABLE:
            if adapter.model_type == model_type:
                return adapter
    what = names[0] if names else model_type or "a model that does not say its class (architectures, model_type)"
    known = ", ".join(adapter.architecture for adapter in READABLE)
    raise UserError(f"{json.path} is of {what}, which is not supported. Supported: {known}")
