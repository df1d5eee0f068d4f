"""The model card: what the model is, its training data, its scores, how to use it, and its limits."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from talewright.config import HUB_TINYSTORIES, Recipe
from talewright.config.loading import recipe_to_dict, write_yaml
from talewright.data.sources import HUB, is_bundled
from talewright.errors import UserError
from talewright.export.folder import RECORD
from talewright.export.target import ExportSource, ExportTarget
from talewright.files import read_json, shell_word
from talewright.generate.sampling import Sampling
from talewright.markdown import as_block, as_code, as_line, as_text
from talewright.model.cost import count_parameters
from talewright.run.evaluated import evaluated_text, start_of
from talewright.run.log import read_log

MAX_SAMPLES = 3
TAGS = ["talewright", "story-generation"]
"""What a card is found by on the hub."""
METRICS = {
    "loss": "loss",
    "perplexity": "perplexity",
    "bits_per_byte": "bits_per_byte",
    "token_accuracy": "accuracy",
}
"""The figures of an evaluation that a card names, and their types on the hub."""
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)
OWN_SHAPE = (
    " No class of other programs has its short convolutions, value residual or bigram embedding: of Talewright's\n"
    "exports it fits `hf-remote`, `onnx`, `web` and `space` alone."
)
LICENSE_NOTE = """

No license is stated: choose one that fits the training data before you publish the model, and name it with
`talewright export --license`, or in the first lines of this file."""
TEMPLATE = Path(__file__).with_name("card.md")


def write_card(folder: Path, source: ExportSource, record: dict[str, Any], target: ExportTarget, place: str) -> None:
    """Write README.md, and next to it the training curves if the run has them. place: the folder or repository."""
    config = source.recipe.model
    grouped = f" ({config.kv_heads} for keys and values)" if config.kv_heads != config.n_heads else ""
    kinds = "/".join(config.attention)
    front = front_matter(source, target)
    card = TEMPLATE.read_text(encoding="utf-8").format(
        front_matter=yaml.safe_dump(front, sort_keys=False, allow_unicode=True),
        name=as_line(source.recipe.name),
        recipe=as_code(source.recipe.name),
        about=f": {as_line(source.recipe.about)}" if source.recipe.about.strip() else "",
        checkpoint=source.checkpoint,
        parameters=count_parameters(config).total,
        model=config,
        heads=f"{config.n_heads} heads{grouped}",
        local=f", {kinds} attention over {config.window} tokens" if "local" in config.attention else "",
        usage=target.usage(place, source.recipe.model).strip(),
        run=json.dumps(source.run.name, ensure_ascii=False),
        training=_training(source, folder),
        tokenizer=_tokenizer(source.recipe),
        own=OWN_SHAPE if config.short_convolution or config.value_residual or config.bigrams else "",
        license="" if "license" in front else LICENSE_NOTE,
        sampling=Sampling(),
        samples=_samples(source),
        record=record,
        yaml=as_block(_recipe_yaml(source.recipe), "yaml"),
    )
    (folder / "README.md").write_text(card, encoding="utf-8", errors="replace", newline="\n")


def front_matter(source: ExportSource, target: ExportTarget) -> dict[str, Any]:
    """What the hub reads. Weights that come from another model have unknown data, so nothing is said of it."""
    if target.space_sdk is not None:
        return {**_space(source, target), **license_entry(source), "tags": TAGS}
    data = known_data(source)
    dataset, base_model = hub_dataset(data), _base_model(source)
    values: dict[str, Any] = license_entry(source)
    if dataset == hub_dataset(HUB_TINYSTORIES) or is_bundled(data):
        values["language"] = "en"
    if target.library is not None:
        values["library_name"] = target.library
    values |= {"pipeline_tag": "text-generation", "tags": TAGS}
    if dataset is not None:
        values["datasets"] = [dataset]
    if base_model is not None:
        values["base_model"] = base_model
    if results := _results(source):
        values["model-index"] = [{"name": source.recipe.name, "results": results}]
    return values


def _space(source: ExportSource, target: ExportTarget) -> dict[str, Any]:
    return {
        "title": f"Stories by {source.recipe.name}",
        "emoji": "📖",
        "colorFrom": "green",
        "colorTo": "yellow",
        "sdk": target.space_sdk,
        **target.space_settings(),
        "pinned": False,
        "short_description": "Stories by a small GPT, trained from scratch",
    }


def known_data(source: ExportSource) -> str:
    """The source of all the stories that the weights come from; empty if they come from another model."""
    return source.recipe.data.source if source.step and source.recipe.train.init_from is None else ""


def license_entry(source: ExportSource) -> dict[str, Any]:
    """The license for a front matter: the one that was given, or that of the bundled stories; empty if not known."""
    own = "apache-2.0" if is_bundled(known_data(source)) else None
    return {"license": source.license or own} if source.license or own else {}


def check_license(name: str) -> str:
    """The license by the hub's name for it. Raises UserError if it cannot be one."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", name.lower()):
        raise UserError(
            f"--license {name} is not the hub's name of a license, such as apache-2.0, mit, cc-by-4.0 or other"
        )
    return name.lower()


def hub_dataset(source: str) -> str | None:
    """The repository OWNER/NAME of a source on the hub, without what is chosen of it; None for any other source."""
    match = _REPOSITORY.match(source.removeprefix(HUB)) if source.startswith(HUB) else None
    return match and match[0]


def _base_model(source: ExportSource) -> str | None:
    """The repository on the hub whose model was imported: as this run, or as the one that it began with."""
    start = source.recipe.train.init_from
    for folder in (source.run, *([Path(start)] if start else [])):
        record = read_json(folder / RECORD)
        if isinstance(record, dict) and record.get("hub"):
            return str(record["hub"])
    return None


def _results(source: ExportSource) -> list[dict[str, Any]]:
    """The scores of the exported step, as the hub reads them; none if it was not evaluated."""
    scores = [event for event in _past_events(source) if event.get("event") == "evaluation"]
    if not scores or scores[-1]["step"] != source.step:
        return []
    values = {name: scores[-1].get(key) for key, name in METRICS.items()}
    metrics = [
        {"type": name, "value": value, "name": name.replace("_", " ")}
        for name, value in values.items()
        if isinstance(value, int | float) and math.isfinite(value)
    ]
    stories = source.recipe.data.valid or source.recipe.data.source
    dataset = {"type": hub_dataset(stories) or "text", "name": f"validation stories of {_public(stories)}"}
    return [{"task": {"type": "text-generation"}, "dataset": dataset, "metrics": metrics}] if metrics else []


def _past_events(source: ExportSource) -> list[dict[str, Any]]:
    """What the run's log holds up to the exported step."""
    events = read_log(source.run / "log.jsonl")
    return [event for event in events if event.get("step", source.step + 1) <= source.step]


def _tokenizer(recipe: Recipe) -> str:
    source = as_code(_public(recipe.tokenizer.source))
    return {
        "bpe": "a byte-level BPE trained on the training stories",
        "gpt2": f"GPT-2's BPE ({source})",
        "gpt2-top": f"the tokens of GPT-2's BPE ({source}) that are most frequent in the training stories",
        "saved": f"the tokenizer of {source}",
    }[recipe.tokenizer.kind]


def _recipe_yaml(recipe: Recipe) -> str:
    """The recipe as YAML, without the source of a tokenizer that is trained here and has none."""
    values = recipe_to_dict(public_recipe(recipe))
    if recipe.tokenizer.kind == "bpe":
        del values["tokenizer"]["source"]
    return write_yaml(values).strip()


def _training(source: ExportSource, folder: Path) -> str:
    """What the run's log says about the data, the training and the scores, with the training curves."""
    recipe, start = source.recipe, start_of(source.run)
    data = start.get("data")
    paragraphs = [f"Data: {as_code(_public(recipe.data.source))}."]
    if data is not None:
        size = f"{data['tokens']:,} tokens, {data['bytes'] / 1e6:,.1f} MB of text"
        paragraphs[0] = (
            f"Data: {as_code(_public(recipe.data.source))} ({data['stories']:,} stories for training, {size})."
        )
    past = _past_events(source)
    steps = [event for event in past if event.get("event") == "step"]
    if steps:
        paragraphs.append(
            f"{source.step:,} steps, {steps[-1]['tokens']:,} tokens, {steps[-1]['seconds'] / 60:,.1f} minutes; "
            f"{recipe.optimizer.kind}, learning rate {recipe.train.learning_rate:g} ({recipe.schedule.kind}), seed "
            f"{recipe.seed}. The full recipe is below."
        )
    scores = [event for event in past if event.get("event") == "evaluation" and "not_finite" not in event]
    if scores:
        paragraphs.append(_scores(scores[-1], start, source))
    curves = source.run / "plots" / "training_curves.png"
    if curves.is_file():
        shutil.copyfile(curves, folder / curves.name)
        paragraphs.append(f"![Training curves]({curves.name})")
    return "\n\n".join(paragraphs)


def _scores(scores: dict[str, Any], start: dict[str, Any], source: ExportSource) -> str:
    stories = evaluated_text(start, source.recipe.train.evaluate_stories)
    return (
        f"Scores on {stories}, at step {scores['step']:,}:\n\n| loss | perplexity | bits per byte | token accuracy |\n"
        f"|---|---|---|---|\n| {scores['loss']:.3f} | {scores['perplexity']:.2f} | {scores['bits_per_byte']:.3f} | "
        f"{scores['token_accuracy']:.1%} |\n\nTo score all validation stories: "
        f"{as_code(f'talewright evaluate {shell_word(source.run.name)} --checkpoint {source.step}')}."
    )


def _samples(source: ExportSource) -> str:
    prompts = list(source.recipe.train.prompts or ("Once upon a time",))[:MAX_SAMPLES]
    quotes = map(as_text, stories_of(source, prompts))
    return "\n\n".join("> " + "\n> ".join(quote.splitlines()) for quote in quotes)


def stories_of(source: ExportSource, prompts: Sequence[str]) -> list[str]:
    """A story for each prompt; three dots follow one that has not ended."""
    from talewright.generate.engine import Engine

    stories = Engine(source.model, source.tokenizer, notify=lambda message: None).generate(prompts)
    return [story.text.strip() + ("" if story.finished else " ...") for story in stories]


def public_recipe(recipe: Recipe) -> Recipe:
    """The recipe without the folders in which files lie on this machine."""
    sources = {name: getattr(recipe.data, name) for name in ("source", "valid", "test")}
    data: dict[str, Any] = {name: value and _public(value) for name, value in sources.items()}
    runs = {name: getattr(recipe.train, name) for name in ("init_from", "teacher")}
    names: dict[str, Any] = {name: value and Path(value).name for name, value in runs.items()}
    return dataclasses.replace(
        recipe,
        data=dataclasses.replace(recipe.data, **data),
        tokenizer=dataclasses.replace(recipe.tokenizer, source=_public(recipe.tokenizer.source)),
        train=dataclasses.replace(recipe.train, **names),
    )


def _public(source: str) -> str:
    """The name of a source without its folders."""
    if is_bundled(source) or source.startswith(HUB) or not (Path(source).is_absolute() or Path(source).exists()):
        return source
    return Path(source).name
