"""Settings that other programs may lack: an export computes the same, or is refused with the reason."""

from __future__ import annotations

import json
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from talewright.api import load
from talewright.cli import main
from talewright.config import ModelConfig
from talewright.export import TARGETS
from tests.export.sources import source_of
from tests.model.shapes import token_batch
from tests.train.conftest import write_stories

SIZES: dict[str, Any] = {"n_layers": 2, "n_heads": 4, "d_model": 32, "d_ff": 48, "context_length": 24}
LLAMA: dict[str, Any] = {"norm": "rmsnorm", "positions": "rotary", "activation": "swiglu", "bias": ()}
LAYERNORM = "its model.norm is layernorm, not rmsnorm"
CASES: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "GPT-2, normalized queries": (
        {"qk_norm": True},
        {**dict.fromkeys(("hf", "gguf"), "its model.qk_norm is True, not False"), "llama2c": LAYERNORM},
    ),
    "Llama, normalized queries": ({**LLAMA, "qk_norm": True}, {"llama2c": "its model.qk_norm is True, not False"}),
    "Llama, normalized queries, unscaled scores": (
        {**LLAMA, "qk_norm": True, "attention_scaled": False},
        {"llama2c": "its model.qk_norm is True, not False"},
    ),
    "GPT-2, ReLU squared": (
        {"activation": "relu2"},
        {"gguf": "its model.activation is relu2, not gelu_tanh", "llama2c": LAYERNORM},
    ),
    "GPT-Neo, ReLU squared": (
        {"activation": "relu2", "attention": ("global", "local"), "window": 6, "bias": ("out", "mlp")},
        {"gguf": "some of its layers have local attention", "llama2c": LAYERNORM},
    ),
    "Llama, ReLU squared": (
        {**LLAMA, "activation": "relu2"},
        dict.fromkeys(("hf", "gguf", "llama2c"), "its model.activation is relu2, not swiglu"),
    ),
    "GPT-2, rotary positions": (
        {"positions": "rotary"},
        {**dict.fromkeys(("hf", "gguf"), "its model.positions is rotary, not learned"), "llama2c": LAYERNORM},
    ),
    "GPT-2, grouped heads": (
        {"n_kv_heads": 2},
        {**dict.fromkeys(("hf", "gguf"), "its heads of keys and values are grouped"), "llama2c": LAYERNORM},
    ),
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("case", CASES)
def test_a_setting_is_exported_or_refused_with_the_reason(case, target, tokenizer, tmp_path):
    shape, refused = CASES[case]
    source = source_of(ModelConfig(**SIZES, **shape), tokenizer)
    reason = TARGETS[target].unsupported_reason(source.recipe.model)
    if target in refused:
        assert refused[target] in str(reason)
        assert "--to hf-remote takes any model" in str(reason)
        return
    assert reason is None
    if target not in ("hf", "gguf", "llama2c"):
        return  # these hold our own model in any shape; their own tests draw shapes
    if target == "gguf" and find_spec("llama_cpp") is None:
        pytest.skip("opening GGUF needs llama-cpp-python (the extra gguf)")
    TARGETS[target].write(source, tmp_path, "f32")
    tokens = token_batch(source.recipe.model, 1, rows=1)
    ours = source.model(tokens)[0].detach().numpy()
    reader = import_module(f"talewright.export.readers.{TARGETS[target].reader}").reader
    tolerance = TARGETS[target].bounds["f32"]
    np.testing.assert_allclose(
        reader(str(tmp_path))(tokens[0].numpy()), ours, atol=tolerance * max(1, np.abs(ours).max()), rtol=0
    )


TRAINED = {
    "model.qk-norm": "true",
    "model.n-layers": "2",
    "model.d-model": "64",
    "model.d-ff": "96",
    "model.vocab-size": "300",
    "model.context-length": "32",
    "optimizer.kind": "muon",
    "train.average": "0.8",
    "train.max-steps": "40",
    "train.evaluate-every": "40",
    "data.layout": "aligned",
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with Muon, normalized queries and averaged weights."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TALEWRIGHT_CACHE", str(folder / "cache"))
        stories = write_stories(folder / "stories.txt", 120)
        arguments = [argument for name, value in TRAINED.items() for argument in (f"--{name}", value)]
        main(["train", "--recipe", "quickstart", "--data", str(stories), "--out", str(folder / "run"), *arguments])
    return folder / "run"


@pytest.mark.slow
@pytest.mark.parametrize("target", ["hf", "hf-remote", "gguf", "onnx", "space"])
def test_a_run_with_muon_and_averaged_weights_passes_its_parity_check(target, trained, tmp_path):
    missing = [
        name for name in (*TARGETS[target].packages, *TARGETS[target].reader_packages) if find_spec(name) is None
    ]
    if missing:
        pytest.skip(f"{missing[0]} is not installed")
    run = load(trained)
    assert run.recipe.optimizer.kind == "muon"
    record = run.export(tmp_path / "out", to=target)  # raises if the check fails
    assert record["largest_difference"] <= record["bound"]
    if target == "hf":
        assert json.loads((tmp_path / "out" / "config.json").read_text())["architectures"] == ["Qwen3ForCausalLM"]
