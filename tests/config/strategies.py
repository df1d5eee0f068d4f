"""Recipes drawn by Hypothesis, and recipes read from a text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from talewright.config import (
    DataConfig,
    OptimizerConfig,
    Recipe,
    ScheduleConfig,
    TokenizerConfig,
    TrainConfig,
    load_recipe,
)
from talewright.errors import UserError
from tests.model.shapes import model_configs

COUNTS = st.integers(1, 10**9)
MAYBE = st.none() | COUNTS
SECTIONS = ["tokenizer", "data", "model", "optimizer", "schedule", "train"]
TEXTS = st.text(max_size=30)
POSITIVE = st.floats(1e-12, 1e12)
SHARES = st.floats(0, 1)
LOGGERS: list[Any] = ["tensorboard", "wandb", "trackio", "mlflow"]
SPLITS = st.lists(st.floats(0.1, 100), min_size=2, max_size=3).map(tuple)


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    """Any recipe without a problem."""
    model = draw(model_configs(vocab_size=draw(st.integers(257, 60000)), dropout=draw(st.floats(0, 0.99))))
    length = draw(st.none() | st.integers(1, model.context_length))
    layout: Any = draw(st.sampled_from(["packed", "aligned", "rows"]))
    budgets = {"max_steps": COUNTS, "max_epochs": POSITIVE, "max_tokens": COUNTS, "max_minutes": POSITIVE}
    chosen = draw(st.lists(st.sampled_from(sorted(budgets)), min_size=1, unique=True))
    devices, nodes = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    return Recipe(
        name=draw(TEXTS.filter(lambda name: name.strip() and name.isprintable() and not set(name) & set("/\\"))),
        about=draw(TEXTS),
        seed=draw(st.integers(0, 2**63 - 1)),
        tokenizer=draw(st.builds(TokenizerConfig, kind=st.sampled_from(["bpe", "gpt2", "gpt2-top"]), source=TEXTS)),
        data=DataConfig(
            source=draw(TEXTS),
            valid=draw(st.none() | TEXTS),
            splits=draw(st.none() | SPLITS),
            limit=draw(MAYBE),
            text_key=draw(TEXTS),
            separator=draw(st.none() | TEXTS),
            format=draw(st.sampled_from(["auto", "lines", "text", "csv"])),
            min_chars=draw(st.integers(0, 10**6)),
            drop_damaged=draw(st.booleans()),
            layout=layout,
            sequence_length=length,
            stride=draw(st.none() | st.integers(1, length or model.context_length)) if layout == "packed" else None,
        ),
        model=model,
        optimizer=OptimizerConfig(
            kind=draw(st.sampled_from(["adamw", "muon"])),
            betas=(draw(st.floats(0, 0.999)), draw(st.floats(0, 0.999))),
            weight_decay=draw(st.floats(0, 10)),
            clip=draw(st.none() | POSITIVE),
        ),
        schedule=ScheduleConfig(
            kind=draw(st.sampled_from(["constant", "cosine", "linear", "wsd"])),
            warmup_steps=draw(st.integers(0, 10**6)),
            final_fraction=draw(SHARES),
        ),
        train=TrainConfig(
            learning_rate=draw(POSITIVE),
            accumulation=devices * nodes * draw(st.integers(1, 8)),
            devices=devices,
            nodes=nodes,
            patience=draw(MAYBE),
            prompts=tuple(draw(st.lists(TEXTS, max_size=3))),
            compile=draw(st.sampled_from(["auto", True, False])),
            loggers=tuple(draw(st.lists(st.sampled_from(LOGGERS), unique=True))),
            **{budget: draw(budgets[budget]) for budget in chosen},
        ),
    )


def load_text(folder: Path, text: str, overrides: dict[str, str] | None = None) -> Recipe:
    file = folder / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    return load_recipe(file, overrides)


def error_of(folder: Path, text: str, overrides: dict[str, str] | None = None) -> str:
    with pytest.raises(UserError) as caught:
        load_text(folder, text, overrides)
    return str(caught.value)
