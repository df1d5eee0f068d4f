"""Small models with a tokenizer, ready to export."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from talewright.config import ModelConfig, load_recipe
from talewright.data import bundled
from talewright.export import ExportSource, export_model
from talewright.export.parity import ParityResult
from talewright.generate.engine import Engine
from talewright.tokenizer import Tokenizer
from talewright.tokenizer.bpe import train_bpe
from tests.export.browser import WebPage, chromium, package_or_skip, served
from tests.export.sources import source_of
from tests.model.shapes import lively_model

SMALL = {"n_layers": 2, "n_heads": 2, "d_model": 16, "d_ff": 32, "vocab_size": 300, "context_length": 24}

SITE = ModelConfig(n_layers=2, n_heads=4, d_model=32, d_ff=48, context_length=40, vocab_size=290)
"""The shape of the model behind the page that `site` exports."""


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


@pytest.fixture(scope="session")
def site(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ExportSource]:
    """The page of a small model with extra ids, and its source."""
    for module in ("onnxruntime", "onnxscript"):
        pytest.importorskip(module, reason=f"writing the page needs {module} (the extra onnx)")
    package = package_or_skip()
    work = tmp_path_factory.mktemp("web")
    source = source_of(SITE, tokenizer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TALEWRIGHT_CACHE", str(work / "cache"))
        (work / "cache" / "onnxruntime-web").mkdir(parents=True)
        (work / "cache" / "onnxruntime-web" / package.name).symlink_to(package)
        export_model(source, "web", work / "site")
    return work / "site", source


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="session")
def address(site: tuple[Path, ExportSource]) -> Iterator[str]:
    with served(site[0]) as url:
        yield url


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[WebPage]:
    """The page with 32 bits, ready to generate. At the end, it requested nothing of other servers and had no errors."""
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    web_page = WebPage(context.new_page(), address).ready()
    web_page.tab.evaluate("document.getElementById('settings').open = true")
    web_page.tab.select_option("#kind", "f32")
    yield web_page.ready()
    assert web_page.errors == []
    assert any("model/f32.onnx" in url for url in web_page.requests)  # requests of the worker are seen too
    assert all(url.startswith((address, f"blob:{address}")) for url in web_page.requests)
    context.close()


@pytest.fixture
def engine(site: tuple[Path, ExportSource]) -> Engine:
    return Engine(site[1].model, site[1].tokenizer, notify=lambda message: None)
