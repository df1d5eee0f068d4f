"""The name under which the training speed of a recipe on this machine is kept."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import torch

from talewright.config import Recipe
from talewright.machine import choose_precision, default_device, device_name
from talewright.machine.speeds import processor_name


def setup_name(recipe: Recipe, compiled: bool) -> str:
    """What determines the speed, besides the micro-batch: machine, versions, precision, the model's shape."""
    device, model, train = recipe_device(recipe), recipe.model, recipe.train
    values = [dataclasses.asdict(model), recipe.sequence_length, recipe.optimizer.kind, train.teacher, train.average]
    values += [train.devices, train.nodes]
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]
    machine = [processor_name()] if device.type == "cpu" else []
    return ", ".join(
        [
            *machine,
            device_name(device),
            f"torch {torch.__version__}",
            choose_precision(train.precision, device),
            "compiled" if compiled else "eager",
            f"{model.n_layers} layers of {model.d_model}, {model.vocab_size} tokens, {digest}",
        ]
    )


def recipe_device(recipe: Recipe) -> torch.device:
    """The device that this machine trains the recipe on."""
    return torch.device("cpu") if recipe.train.accelerator == "cpu" else default_device()
