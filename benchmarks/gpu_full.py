"""gpt2-124m from its first step to its last: ten epochs of 20,000 stories, as its author trained it."""

from __future__ import annotations

import dataclasses
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from benchmarks.gpu import stand_in

import talewright
from talewright.config import load_recipe
from talewright.data import open_corpus
from talewright.train.schedule import Budget
from talewright.train.trainer import training_batches

MOST_MINUTES = 15.0
"""Of training. The learning rate is constant, so that a run that is cut is the beginning of the whole one."""
LAST_STEPS = 100
"""The training loss at the end is a mean over so many steps."""


def train_in_full(device: torch.device, tinystories: Path | None, gpt2: Path | None) -> dict[str, Any]:
    """Train into the next free runs/gpt2-124m-N; its times, tokens and losses.

    Without a folder of TinyStories the stories are bundled ones; without GPT-2's files the tokenizer is trained on
    them. The model, and so the cost of a token, is the same, but the losses are other ones.
    """
    recipe = load_recipe("gpt2-124m", overrides(tinystories, gpt2)) if device.type == "cuda" else stand_in("gpt2-124m")
    if device.type != "cuda":
        data = dataclasses.replace(recipe.data, source="bundled:60", limit=None)
        train = dataclasses.replace(recipe.train, max_epochs=1, accelerator=device.type)
        tokenizer = dataclasses.replace(recipe.tokenizer, kind="bpe")
        recipe = dataclasses.replace(recipe, data=data, train=train, tokenizer=tokenizer)
    started = time.perf_counter()
    corpus = open_corpus(recipe)
    prepared = time.perf_counter()
    run = talewright.fit(recipe)
    ended = time.perf_counter()
    history, batches = run.history(), training_batches(recipe, corpus.split("train"))
    whole = Budget.of(recipe.train, batches.samples_per_epoch, recipe.sequence_length).max_steps
    training, evaluations = history.training, history.evaluations
    log = json.loads((run.path / "log.jsonl").read_text(encoding="utf-8").split("\n", 1)[0])
    return {
        "recipe": recipe.name,
        "stories": recipe.data.source,
        "tokenizer": recipe.tokenizer.kind,
        "precision": log["precision"],
        "compiled": log["compiled"],
        "steps": history.steps,
        "steps_of_the_recipe": whole,
        "tokens": training["tokens"][-1],
        "preparation_seconds": prepared - started,
        "wall_seconds": ended - prepared,
        "training_seconds": training["seconds"][-1],
        "tokens_per_second": training["tokens"][-1] / training["seconds"][-1],
        "training_loss": statistics.fmean(training["loss"][-LAST_STEPS:]),
        "validation_loss": evaluations["loss"][-1],
        "best_validation_loss": min(evaluations["loss"]),
        "bits_per_byte": evaluations["bits_per_byte"][-1],
        "run": str(run.path),
        "note": None if history.steps == whole else f"cut after {recipe.train.max_minutes:g} minutes of training",
    }


def overrides(tinystories: Path | None, gpt2: Path | None) -> dict[str, str]:
    """The settings that name the stories and the tokenizer, and the time limit."""
    settings = {
        "train.max_minutes": str(MOST_MINUTES),
        "train.max_epochs": "10",
    }  # one budget alone replaces all others
    if tinystories is None:
        settings |= {"data.source": "bundled:25000", "data.splits": "[80, 20]", "data.limit": "null"}
    else:
        train, valid = (json.dumps(str(tinystories / name)) for name in ("train.txt", "valid.txt"))
        settings |= {"data.source": train, "data.valid": valid}
    if gpt2 is None:
        return settings | {"tokenizer.kind": "bpe"}
    return settings | {"tokenizer.source": json.dumps(str(gpt2))}
