"""Small models with a tokenizer, ready to export."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from talewright.config import ModelConfig, load_recipe
from talewright.data import bundled
from talewright.export import ExportSource
from talewright.export.parity import ParityResult
from talewright.tokenizer import Tokenizer
from talewright.tokenizer.bpe import train_bpe
from tests.model.shapes import lively_model

SMALL = {"n_layers": 2, "n_heads": 2, "d_model": 16, "d_ff": 32, "vocab_size": 300, "context_length": 24}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def no_parity_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the parity checks, each of which starts a process, in tests of something else."""
    for module in ("talewright.export", "talewright.export.importers"):
        monkeypatch.setattr(f"{module}.check_parity", lambda *args: ParityResult(0.0, 1.0, 1, 1))


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """A BPE of 300 tokens."""
    return train_bpe(bundled.stories(40), 300)


@pytest.fixture(scope="session")
def run_c(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """llama2.c's own run.c, compiled, if it is in the folder of real data."""
    source, compiler = shared / "llama2.c" / "run.c", shutil.which("gcc") or shutil.which("cc")
    if not source.is_file() or compiler is None:
        pytest.skip(f"no {source}, or no C compiler")
    program = tmp_path_factory.mktemp("llama2c") / "run"
    subprocess.run([compiler, "-O2", "-o", str(program), str(source), "-lm"], check=True)
    return program


@pytest.fixture
def make_source(tokenizer: Tokenizer, tmp_path: Path) -> Callable[..., ExportSource]:
    """Make the source of a small model with these settings, with all weights far from 0."""

    def make(seed: int = 0, **settings: Any) -> ExportSource:
        config = ModelConfig(**{**SMALL, **settings})
        recipe = dataclasses.replace(load_recipe("quickstart"), model=config)
        model = lively_model(config, seed)
        return ExportSource(recipe=recipe, model=model, tokenizer=tokenizer, run=tmp_path / "run", checkpoint="step-1")

    return make
