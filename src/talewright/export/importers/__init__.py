"""Models of other programs, in: what is read becomes a run folder that can do all that a trained one can."""

from __future__ import annotations

import dataclasses
import json
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
from talewright.export.adapters import PUBLISHED, READABLE, Layout, Tensors
from talewright.export.adapters.settings import Settings
from talewright.export.folder import RECORD, placed
from talewright.export.importers.files import find_source, read_settings, read_tensors
from talewright.export.importers.llama2c import llama2c_file, read_llama2c
from talewright.export.importers.tokenizer import read_tokenizer
from talewright.export.parity import bundled_stories, prove
from talewright.export.pretrained import BOUNDS
from talewright.model.gpt import GPT
from talewright.run.checkpoint import TrainState, save_checkpoint
from talewright.run.retention import apply_retention
from talewright.tokenizer import Tokenizer


@dataclass(frozen=True)
class Found:
    """A foreign model, in our terms."""

    kind: str
    """What it was, such as GPT2LMHeadModel."""
    config: ModelConfig
    tensors: Tensors
    tokenizer: Tokenizer


def import_model(source: str, run: Path, tokenizer: str | None = None, overwrite: bool = False) -> dict[str, Any]:
    """Make a run folder of the model in a folder or llama2.c's .bin, or of that name on the hub, and say what was done.

    Raises UserError, with nothing written, where the source is no model that ours can be, or one of its parts is
    missing, superfluous or of another shape.
    """
    found, where, client = _read(source, tokenizer)
    recipe = _recipe(source, found)
    model = GPT(found.config).eval()
    model.load_state_dict(found.tensors)
    stories = bundled_stories(found.tokenizer, found.config.context_length)
    proof = prove(model, client, where, stories, BOUNDS["f32"]).words if client else None
    record = {"source": source, "class": found.kind, "parameters": sum(t.numel() for t in model.parameters())}
    record |= {"vocab_size": found.config.vocab_size, "proof": proof}
    with placed(run, overwrite) as half:
        write_run(half, recipe, model, found.tokenizer)
        (half / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return record


def _read(source: str, tokenizer: str | None) -> tuple[Found, Path, str | None]:
    """The model, where it lies, and the client of `export/clients` that can read it there (None: none can)."""
    if (file := llama2c_file(source)) is not None:
        return Found("llama2.c's model", *read_llama2c(file, tokenizer)), file, "llama2c"
    folder = find_source(source)
    layout, found = read_model(folder, tokenizer)
    return found, folder, "hf" if layout in PUBLISHED and find_spec("transformers") is not None else None


def read_model(folder: Path, tokenizer: str | None = None) -> tuple[Layout, Found]:
    """The model of a folder with config.json and safetensors, as one of ours. Raises UserError as `import_model`."""
    where = folder / "config.json"
    settings = Settings(read_settings(folder), str(where))
    layout = _find_layout(settings)
    config = layout.config(settings)
    if problems := list(config.problems()):
        raise UserError(f"{where} describes no model that can be: " + "; ".join(problems))
    theirs = _named_whole(layout, read_tensors(folder))
    config = _tied_as_held(layout, config, theirs)
    _check_fit(folder, layout.shapes(config), theirs)
    tensors = {name: tensor.float() for name, tensor in layout.to_ours(config, theirs).items()}
    return layout, Found(layout.architecture, config, tensors, read_tokenizer(folder, tokenizer, config.vocab_size))


def write_run(run: Path, recipe: Recipe, model: GPT, tokenizer: Tokenizer, step: int = 0) -> None:
    """A run folder of a model that was trained elsewhere: its one checkpoint is that step's."""
    tokenizer.save(run / "tokenizer")
    state = TrainState(step=step, best_step=step)
    save_checkpoint(run, model, torch.optim.AdamW(model.parameters()), state)
    apply_retention(run, state, 1)
    (run / "recipe.yaml").write_text(recipe_to_yaml(recipe), encoding="utf-8")


def _recipe(source: str, found: Found) -> Recipe:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(source).name).strip("-.") or "imported"
    return Recipe(
        name=name,
        about=f"imported: {found.kind}",
        tokenizer=TokenizerConfig(kind="saved", source="tokenizer"),
        model=found.config,
        train=TrainConfig(max_epochs=1, learning_rate=3e-4),
    )


def _find_layout(settings: Settings) -> Layout:
    """The layout of a config.json, by its first architecture, else its model_type."""
    values = settings.values
    named = values.get("architectures")
    names = [str(name) for name in named] if isinstance(named, list) else []
    for layout in READABLE:
        if layout.architecture in names or (values.get("model_type") == layout.model_type and not names):
            return layout
    for layout in READABLE:  # a class of our own making over a known type, such as GPT2Model without its output layer
        if values.get("model_type") == layout.model_type and not any("For" in name for name in names):
            return layout
    what = names[0] if names else values.get("model_type") or "a model that does not say what it is"
    known = ", ".join(layout.architecture for layout in READABLE)
    raise UserError(f"{settings.where} is of {what}, which is not known here; known are {known}")


def _named_whole(layout: Layout, tensors: Mapping[str, Tensor]) -> Tensors:
    """The tensors by their whole names, without those that are computed."""
    bare = not any(name.startswith(layout.prefix) for name in tensors)
    whole = {name: name if name.startswith("lm_head.") or not bare else layout.prefix + name for name in tensors}
    return {whole[name]: tensor for name, tensor in tensors.items() if not name.endswith(layout.computed)}


def _tied_as_held(layout: Layout, config: ModelConfig, theirs: Tensors) -> ModelConfig:
    """The configuration, untied where the file holds an output layer that is not the embedding; else the output layer
    that only repeats the embedding is taken out.
    """
    if not config.tied:
        return config
    untied = dataclasses.replace(config, tied=False)
    names = {rule.ours: rule.tensors("weight")[0] for rule in layout.names(untied)}
    head, embedding = theirs.get(names["head"]), theirs.get(names["embedding"])
    if head is None or embedding is None:
        return config
    if not torch.equal(head, embedding):
        return untied
    del theirs[names["head"]]
    return config


def _check_fit(folder: Path, wanted: Mapping[str, tuple[int, ...]], found: Mapping[str, Tensor]) -> None:
    """Raise UserError, naming some of each, where tensors are missing, superfluous, of another shape, or no numbers."""
    missing, extra = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    both = sorted(wanted.keys() & found.keys())
    wrong = [
        f"{name} is {tuple(found[name].shape)}, config.json says {wanted[name]}"
        for name in both
        if tuple(found[name].shape) != wanted[name]
    ]
    whole = [f"{name} is {found[name].dtype}, not a float" for name in both if not found[name].is_floating_point()]
    lists = {"missing": missing, "more than that class has": extra, "of another shape": wrong, "of another kind": whole}
    words = [f"{what}: {', '.join(names[:4])}{_more(names)}" for what, names in lists.items() if names]
    if words:
        raise UserError(f"the weights in {folder} do not fit its config.json; " + "; ".join(words))


def _more(names: list[str]) -> str:
    return f" and {len(names) - 4:,} more" if len(names) > 4 else ""
