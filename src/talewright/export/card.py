"""The model card: what the model is, what it learned from, how well it does, how to use it, where its limits are."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from talewright.config import HUB_TINYSTORIES, Recipe, recipe_to_yaml
from talewright.data.sources import HUB, is_bundled
from talewright.export.target import Source
from talewright.generate.engine import Engine
from talewright.generate.sampling import Sampling
from talewright.model.cost import count_parameters
from talewright.run.log import read_log

STORIES = 3
"""Sample stories in a card."""
TOLD = Sampling(temperature=0.8, top_p=0.95, max_new_tokens=120)


def write_card(
    folder: Path, source: Source, record: dict[str, Any], usage: str, front: dict[str, Any] | None = None
) -> None:
    """Write README.md, and the training curve beside it where the run has one. front: what the hub reads, where it is
    not that of a model.
    """
    curve = source.run / "plots" / "training_curves.png"
    if curve.is_file():
        shutil.copyfile(curve, folder / curve.name)
    parts = [
        _front(source) if front is None else _matter(front),
        _about(source),
        _usage(source, usage),
        _training(source),
    ]
    parts += ["![The training curves](training_curves.png)"] if curve.is_file() else []
    parts += [_samples(source), _proof(record), _limits(source), _recipe(source.recipe)]
    (folder / "README.md").write_text("\n\n".join(filter(None, parts)) + "\n", encoding="utf-8")


def _front(source: Source) -> str:
    """What the hub reads: YAML between two lines of dashes."""
    values: dict[str, Any] = {"pipeline_tag": "text-generation", "tags": ["talewright", "story-generation"]}
    data = source.recipe.data.source
    if data.startswith(HUB):
        values["datasets"] = [data.removeprefix(HUB)]
    if data == HUB_TINYSTORIES or is_bundled(data):
        values["language"] = "en"
    return _matter(values)


def _matter(values: dict[str, Any]) -> str:
    return f"---\n{yaml.safe_dump(values, sort_keys=False, allow_unicode=True)}---"


def _about(source: Source) -> str:
    recipe, c = source.recipe, source.recipe.model
    heads = f"{c.n_heads} heads" + (f" ({c.kv_heads} of keys and values)" if c.kv_heads != c.n_heads else "")
    local = f", {'/'.join(c.attention)} attention over {c.window} tokens" if "local" in c.attention else ""
    return (
        f"# {recipe.name}\n\nA small GPT that tells stories{': ' + recipe.about if recipe.about else ''}. Trained with "
        f"Talewright, by its recipe `{recipe.name}`, from which it was exported at {source.checkpoint}.\n\n"
        f"{count_parameters(c).total:,} parameters: {c.n_layers} layers, {heads}, width {c.d_model}, feed-forward "
        f"{c.d_ff} ({c.activation}), {c.norm} ({c.norm_placement}), {c.positions} positions{local}; "
        f"{c.vocab_size:,} tokens, a context of {c.context_length:,}."
    )


def _usage(source: Source, usage: str) -> str:
    return (
        f"## Use it\n\n{usage.strip()}\n\nWith Talewright, from the run folder:\n\n```python\nimport talewright\n\n"
        f'run = talewright.load("{source.run.name}")\nprint(run.generate("Once upon a time").text)\n```'
    )


def _training(source: Source) -> str:
    """What the run's log tells: the stories, the training, the scores."""
    recipe, events = source.recipe, list(read_log(source.run / "log.jsonl"))
    step = int(source.checkpoint.removeprefix("step-"))
    lines = [f"## Training\n\nStories: `{_public(recipe.data.source)}`{_counts(events)}."]
    done = [event for event in events if event["event"] == "step" and event["step"] <= step]
    if done:
        lines.append(
            f"{step:,} steps, {done[-1]['tokens']:,} tokens, {done[-1]['seconds'] / 60:,.1f} minutes of training; "
            f"{recipe.optimizer.kind}, learning rate {recipe.train.learning_rate:g} ({recipe.schedule.kind}), seed "
            f"{recipe.seed}. The whole recipe is below."
        )
    scored = [event for event in events if event["event"] == "evaluation" and event["step"] <= step]
    if scored:
        lines.append(_scores(scored[-1], recipe, source))
    return "\n\n".join(lines)


def _counts(events: list[dict[str, Any]]) -> str:
    data = next((event["data"] for event in events if event["event"] == "run"), None)
    if data is None:
        return ""
    return f" ({data['stories']:,} to train on, {data['tokens']:,} tokens, {data['bytes'] / 1e6:,.1f} MB of text)"


def _scores(score: dict[str, Any], recipe: Recipe, source: Source) -> str:
    some = recipe.train.evaluate_stories
    stories = "the validation stories" if some is None else f"the first {some:,} validation stories"
    number = source.checkpoint.removeprefix("step-")
    return (
        f"On {stories}, at step {score['step']:,}:\n\n| loss | perplexity | bits per byte | token accuracy |\n"
        f"|---|---|---|---|\n| {score['loss']:.3f} | {score['perplexity']:.2f} | {score['bits_per_byte']:.3f} | "
        f"{100 * score['token_accuracy']:.1f} % |\n\nAll validation stories are scored by "
        f"`talewright evaluate {source.run.name} --checkpoint {number}`."
    )


def _samples(source: Source) -> str:
    prompts = list(source.recipe.train.prompts or ("Once upon a time",))[:STORIES]
    stories = Engine(source.model, source.tokenizer, notify=lambda words: None).generate(prompts, TOLD)
    quoted = ["> " + story.text.strip().replace("\n", "\n> ") + ("" if story.finished else " ...") for story in stories]
    how = f"temperature {TOLD.temperature}, top-p {TOLD.top_p}, seed {TOLD.seed}, {TOLD.max_new_tokens} tokens at most"
    return f"## What it tells\n\nThe first answer to each prompt ({how}):\n\n" + "\n\n".join(quoted)


def _proof(record: dict[str, Any]) -> str:
    return f"## The same model\n\nExported as `{record['target']}` in {record['dtype']}: {record['proof']}."


def _limits(source: Source) -> str:
    return "## Limits\n\n" + " ".join(_limit_words(source))


def _limit_words(source: Source) -> Iterator[str]:
    context = source.recipe.model.context_length
    yield f"It sees {context:,} tokens at once; a story that is longer is not told well, and may not be told at all."
    yield "It knows only what stands in the stories that it was trained on, and nothing of the world."
    yield "What it tells may make no sense, and nobody has checked it before you read it."
    yield "It was not made to follow instructions or to answer questions."


def _recipe(recipe: Recipe) -> str:
    return f"## Recipe\n\n```yaml\n{recipe_to_yaml(public_recipe(recipe)).strip()}\n```"


def public_recipe(recipe: Recipe) -> Recipe:
    """The recipe whole, but for where files lay on the machine that trained."""
    found = {name: getattr(recipe.data, name) for name in ("source", "valid", "test")}
    data: dict[str, Any] = {name: value and _public(value) for name, value in found.items()}
    tokenizer = dataclasses.replace(recipe.tokenizer, source=_public(recipe.tokenizer.source))
    runs = {name: getattr(recipe.train, name) for name in ("init_from", "teacher")}
    own: dict[str, Any] = {name: value and Path(value).name for name, value in runs.items()}
    train = dataclasses.replace(recipe.train, **own)
    return dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, **data), tokenizer=tokenizer, train=train)


def _public(source: str) -> str:
    """A source's name without the folders that it lies in."""
    if is_bundled(source) or source.startswith(HUB) or not (Path(source).is_absolute() or Path(source).exists()):
        return source
    return Path(source).name
