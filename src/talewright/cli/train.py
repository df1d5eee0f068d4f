"""Commands that prepare stories and train with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from tyro.conf import FlagCreatePairsOff, Positional

from talewright.cli.shared import data_settings, dump, end, say, settings, stream, way_on
from talewright.config import load_recipe
from talewright.errors import UserError


def demo(out: str | None = None) -> None:
    """Train the recipe `quickstart` on the bundled stories, in about two minutes, and read what it tells.

    Args:
        out: Folder of the run; the next free one under runs/ unless told.
    """
    from talewright import api
    from talewright.cli.tables import score_table
    from talewright.generate.sampling import Sampling
    from talewright.inspect.curves import draw_curves
    from talewright.run.folder import new_run_path
    from talewright.train.session import start_run

    recipe = load_recipe("quickstart")
    folder = new_run_path(recipe, out)
    say("A small GPT learns to tell stories, from nothing, on this machine. About two minutes.\n")
    with way_on(folder):
        outcome = start_run(recipe, folder, api.CALLBACKS)
    end(outcome, folder)
    run = api.load(folder)
    print(score_table({"untrained": run.evaluate(untrained=True), "trained": run.evaluate()}))
    for i, prompt in enumerate(recipe.train.prompts):
        print()
        stream(run, prompt, Sampling(seed=i, max_new_tokens=200))
    print()
    say(f"\nThe training curves are in {draw_curves(folder)}. What to try next:")
    say(f'  talewright generate {folder} --prompt "One day, a dragon"')
    say("  talewright train --recipe mini-2m --data stories.txt --max-minutes 30     # stories of your own")
    say("  talewright recipes                                                        # what else there is to train")


def recipes(name: Positional[str | None] = None, json: FlagCreatePairsOff[bool] = False) -> None:
    """List the recipes, or show one whole: its settings, parameters and cost.

    Args:
        name: A recipe's name, or a YAML file; all are listed without it.
        json: Print JSON.
    """
    from talewright.cli import tables as listing
    from talewright.config import recipe_names

    if name is not None:
        recipe = load_recipe(name, settings)
        print(dump(listing.facts(recipe)) if json else listing.page(recipe))
        return
    found = [load_recipe(each, settings) for each in recipe_names()]
    if json:
        print(dump([listing.facts(recipe) for recipe in found]))
    else:
        listing.print_table(found)


def prepare(
    recipe: str = "quickstart",
    data: str | None = None,
    valid: str | None = None,
    test: str | None = None,
    text_key: str | None = None,
    separator: str | None = None,
    limit: int | None = None,
    out: str | None = None,
) -> None:
    """Read, clean, split and tokenise stories once, into a folder that training maps into memory.

    `train` does this by itself where it is missing. Interrupted and started again, it goes on.

    Args:
        recipe: Recipe whose tokenizer and splits are used: a name, or a YAML file.
        data: Stories: bundled, hub:OWNER/NAME, or a file, folder or glob (.txt .jsonl .json .csv .parquet, .gz .zst).
        valid: Stories to validate on, where they are a source of their own.
        test: Stories to test on, where they are a source of their own.
        text_key: Column or key that holds the story.
        separator: Line that ends a story in a .txt file.
        limit: Read at most this many stories.
        out: Folder to write; a cache folder unless told.
    """
    from talewright.data import prepare as prepare_stories

    data_settings(data, valid, test, text_key, separator, limit)
    chosen = load_recipe(recipe, settings)
    folder = Path(out) if out else None
    with way_on():
        corpus = prepare_stories(chosen.data, chosen.tokenizer, chosen.model.vocab_size, folder)
    print(dump({"folder": str(corpus.folder), **corpus.manifest}))


def train(
    recipe: str | None = None,
    data: str | None = None,
    valid: str | None = None,
    test: str | None = None,
    text_key: str | None = None,
    separator: str | None = None,
    limit: int | None = None,
    out: str | None = None,
    resume: str | None = None,
    init_from: str | None = None,
    max_steps: int | None = None,
    max_minutes: float | None = None,
    seed: int | None = None,
) -> None:
    """Train a model from a recipe into a run folder, or go on with a run that was stopped.

    Ctrl-C saves first. A budget given here takes the place of the recipe's own.

    Args:
        recipe: A recipe's name (`talewright recipes` lists them), or a YAML file; quickstart unless told.
        data: Stories: bundled, hub:OWNER/NAME, or a file, folder or glob (.txt .jsonl .json .csv .parquet, .gz .zst).
        valid: Stories to validate on, where they are a source of their own.
        test: Stories to test on, where they are a source of their own.
        text_key: Column or key that holds the story.
        separator: Line that ends a story in a .txt file.
        limit: Read at most this many stories.
        out: Folder of the run; the next free runs/NAME-N unless told.
        resume: Run folder to go on with, bit for bit as if it had not stopped.
        init_from: Run folder whose model is trained further, into a new run: its weights, its model's shape and its
            tokenizer. The rest is --recipe's, or that run's own.
        max_steps: Stop after this many optimiser steps.
        max_minutes: Stop after this many minutes; the learning rate's schedule ends with them.
        seed: Seeds weights, order of the data, dropout and sample stories.
    """
    data_settings(data, valid, test, text_key, separator, limit)
    named = {"train.max_steps": max_steps, "train.max_minutes": max_minutes, "seed": seed}
    settings.update({key: str(value) for key, value in named.items() if value is not None})
    if resume and init_from:
        raise UserError("give --resume or --init-from, not both")
    chosen = None
    if not resume and not init_from:
        chosen = load_recipe(recipe or "quickstart", settings)  # a wrong setting is told before torch is loaded

    from talewright import api
    from talewright.inspect.curves import draw_curves
    from talewright.run.folder import new_run_path
    from talewright.train.session import recipe_from_run, resume_run, start_run

    if init_from:
        chosen = recipe_from_run(init_from, recipe, settings)
    folder = Path(str(resume)) if chosen is None else new_run_path(chosen, out)
    callbacks = api.CALLBACKS
    with way_on(folder):
        outcome = resume_run(folder, settings, callbacks) if chosen is None else start_run(chosen, folder, callbacks)
    end(outcome, folder)
    if not outcome.main_process:
        return
    if outcome.state.step:
        try:
            say(f"curves: {draw_curves(folder)}")
        except OSError as error:  # a disk that is full: the run itself is saved
            say(f"the curves cannot be drawn: {error.strerror}")
    print(folder)


def tokenizer(
    action: Positional[Literal["train", "show"]],
    folder: Positional[str | None] = None,
    recipe: str = "mini-2m",
    data: str | None = None,
    out: str = "tokenizer",
    json: FlagCreatePairsOff[bool] = False,
) -> None:
    """Train a tokenizer on stories, or show one: its size, tokens per word, coverage, longest tokens.

    Args:
        action: train makes one of --data into --out; show describes the one in a folder, or a run's.
        folder: With show: a run folder, or a tokenizer's.
        recipe: With train: the recipe that says its kind and size (--tokenizer.kind, --model.vocab-size).
        data: Stories to train on, or to measure on.
        out: With train: the folder to write.
        json: Print JSON.
    """
    from talewright.cli import tables as listing

    if action == "show" and folder is None:
        raise UserError("talewright tokenizer show needs a folder: a run's, or one with a tokenizer.json")
    data_settings(data, None, None, None, None, None)
    found = listing.show_tokenizer(str(folder), data) if action == "show" else _train_tokenizer(recipe, out)
    print(dump(found) if json else listing.tokenizer_page(found))


def _train_tokenizer(recipe: str, out: str) -> dict[str, Any]:
    from talewright.cli.tables import show_tokenizer
    from talewright.data import prepare as prepare_stories

    chosen = load_recipe(recipe, settings)
    corpus = prepare_stories(chosen.data, chosen.tokenizer, chosen.model.vocab_size)
    corpus.tokenizer.save(Path(out))
    return show_tokenizer(out, chosen.data.source)
