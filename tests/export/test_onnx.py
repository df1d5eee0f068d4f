"""ONNX graphs, run by onnxruntime: with a cache, with padding on the left, of any shape that we have."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from talewright.config import ModelConfig
from talewright.export import TARGETS, export_model
from talewright.export.readers.onnx import reader
from talewright.generate.engine import Engine
from talewright.generate.sampling import Sampling
from tests.export.sources import source_of
from tests.model.shapes import SEEDS, model_configs, token_batch

onnxruntime = pytest.importorskip("onnxruntime", reason="running ONNX needs onnxruntime (the extra onnx)")
pytest.importorskip("onnxscript", reason="writing ONNX needs onnxscript (the extra onnx)")
NEO = {"attention": ("global", "local"), "window": 4, "attention_scaled": False, "bias": ("out", "mlp")}
LLAMA = {"norm": "rmsnorm", "positions": "rotary", "activation": "swiglu", "n_kv_heads": 2, "bias": (), "qk_norm": True}
POST: dict[str, Any] = {
    "norm_placement": "post",
    "positions": "sinusoidal",
    "embedding_scaled": True,
    "activation": "relu2",
}
SIZES = {"n_layers": 2, "n_heads": 4, "d_model": 32, "d_ff": 48, "context_length": 24}


@pytest.mark.slow
@given(data=st.data(), seed=SEEDS)
@settings(max_examples=10, deadline=None)
def test_logits_are_equal_on_drawn_shapes(data, seed, tokenizer, tmp_path_factory):
    source = source_of(data.draw(model_configs()), tokenizer, seed)
    folder = tmp_path_factory.mktemp("onnx")
    TARGETS["onnx"].write(source, folder, "f32")
    tokens = token_batch(source.recipe.model, seed, rows=1)
    ours = source.model(tokens)[0].detach().numpy()
    np.testing.assert_allclose(reader(str(folder))(tokens[0].numpy()), ours, atol=1e-4 * max(1, np.abs(ours).max()))


@pytest.fixture(scope="module", params=[NEO, LLAMA, POST], ids=["neo", "qwen3", "post"])
def exported(request, tokenizer, tmp_path_factory) -> tuple[Path, torch.nn.Module]:
    source = source_of(ModelConfig(**{**SIZES, "vocab_size": 300, **request.param}), tokenizer)
    folder = tmp_path_factory.mktemp("onnx") / "out"
    record = export_model(source, "onnx", folder)
    assert 0 < record["largest_difference"] < record["bound"]
    return folder, source.model


def test_the_folder_is_laid_out_as_transformers_js_opens_it(exported):
    """By what its source reads: the shape of the cache from config.json, inputs and outputs by name."""
    folder, model = exported
    shape = json.loads((folder / "config.json").read_text())
    session = onnxruntime.InferenceSession(str(folder / "onnx" / "model.onnx"))
    inputs = {given.name: given.shape for given in session.get_inputs()}
    layers = [f"{i}.{kind}" for i in range(shape["num_hidden_layers"]) for kind in ("key", "value")]
    assert list(inputs) == ["input_ids", "attention_mask", "position_ids", *(f"past_key_values.{n}" for n in layers)]
    assert [out.name for out in session.get_outputs()] == ["logits", *(f"present.{n}" for n in layers)]
    for name in layers:
        rows, heads, tokens, size = inputs[f"past_key_values.{name}"]
        assert (heads, size) == (shape["num_key_value_heads"], shape["head_dim"])
        assert rows == "batch_size"  # by this name transformers.js makes the first cache as large as the prompts
        assert isinstance(rows, str)  # a name: of any size
        assert isinstance(tokens, str)
    assert {"tokenizer.json", "tokenizer_config.json", "generation_config.json"} <= {p.name for p in folder.iterdir()}
    assert shape["vocab_size"] == model.config.vocab_size


def test_the_graph_names_no_folder_of_the_machine_and_holds_each_weight_once(exported):
    folder, model = exported
    whole = (folder / "onnx" / "model.onnx").read_bytes()
    assert str(Path(torch.__file__).parent).encode() not in whole
    assert b".py" not in whole
    weights = 4 * sum(tensor.numel() for tensor in model.state_dict().values())
    assert weights < len(whole) < weights + 60_000


def test_rows_with_padding_on_the_left_get_what_they_get_alone(exported):
    folder, model = exported
    session = onnxruntime.InferenceSession(str(folder / "onnx" / "model.onnx"))
    rows = [token_batch(model.config, seed, rows=1, T=length)[0] for seed, length in enumerate((9, 4, 7))]
    ids, mask = np.zeros((3, 9), np.int64), np.zeros((3, 9), np.int64)
    for i, row in enumerate(rows):
        ids[i, 9 - len(row) :], mask[i, 9 - len(row) :] = row.numpy(), 1
    places = np.maximum(mask.cumsum(1) - 1, 0)
    names = [given.name for given in session.get_inputs()][3:]
    past = {n: np.zeros((3, model.config.kv_heads, 0, model.config.head_dim), np.float32) for n in names}
    for start, stop in ((0, 5), (5, 8), (8, 9)):  # several new tokens after a cache, then a single one
        given = {
            "input_ids": ids[:, start:stop],
            "attention_mask": mask[:, :stop],
            "position_ids": places[:, start:stop],
        }
        logits, *kept = session.run(None, given | past)
        past = dict(zip(names, kept, strict=True))
        for i, row in enumerate(rows):
            with torch.no_grad():
                ours = model(row[None])[0].numpy()
            first = 9 - len(row)  # where the row begins
            at = slice(max(start, first) - start, None)
            np.testing.assert_allclose(logits[i][at], ours[max(start - first, 0) : max(stop - first, 0)], atol=1e-4)


GREEDY = """
import { pipeline } from "@huggingface/transformers";
const [place, prompts] = JSON.parse(process.env.GIVEN);
const generator = await pipeline("text-generation", place, { dtype: "fp32" });
const stories = [];
for (const prompt of prompts) {
  stories.push((await generator(prompt, { max_new_tokens: 12, do_sample: false }))[0].generated_text);
}
console.log(JSON.stringify(stories));
"""


@pytest.mark.parametrize("settings", [NEO, LLAMA, POST], ids=["neo", "qwen3", "post"])
def test_transformers_js_generates_our_greedy_stories(settings, shared, tokenizer, tmp_path):
    """With the packages of `npm install @huggingface/transformers` in the folder of real data."""
    packages, node = shared / "transformers.js", shutil.which("node")
    if not (packages / "node_modules").is_dir() or node is None:
        pytest.skip(f"no {packages}/node_modules, or no Node.js")
    source = source_of(ModelConfig(**{**SIZES, "context_length": 64, "vocab_size": 300, **settings}), tokenizer)
    folder = tmp_path / "my tales"
    folder.mkdir()
    TARGETS["onnx"].write(source, folder, "f32")
    prompts = ["Once upon a time", "Lily", "One day, a small dog", '"Hello," said Tom.', "The sun"]
    sampling = Sampling(temperature=0.0, max_new_tokens=12)
    ours = [story.text for story in Engine(source.model, tokenizer).generate(prompts, sampling)]
    command = [node, "--input-type=module", "-e", GREEDY]
    environment = {**os.environ, "GIVEN": json.dumps([str(folder), prompts])}
    done = subprocess.run(command, cwd=packages, env=environment, capture_output=True, encoding="utf-8", check=True)
    assert json.loads(done.stdout) == ours
    own = source.model.config.context_length
    assert json.loads((folder / "config.json").read_text())["max_position_embeddings"] == own  # the snippet reads it
