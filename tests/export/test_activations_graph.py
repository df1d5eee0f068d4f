"""The graph behind the page's look inside computes what `record` records, and keeps no weights of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from talewright.config import ModelConfig
from talewright.export.readers.onnx import reader
from talewright.export.web.quantized import write_quantized
from talewright.inspect import record
from talewright.model.gpt import GPT
from tests.model.shapes import SEEDS, lively_model, model_configs, token_batch

onnxruntime = pytest.importorskip("onnxruntime", reason="running ONNX needs onnxruntime (the extra onnx)")
pytest.importorskip("onnxscript", reason="writing ONNX needs onnxscript (the extra onnx)")
pytestmark = pytest.mark.slow
STORYX = ModelConfig(
    n_layers=3,
    n_heads=4,
    n_kv_heads=2,
    d_model=48,
    d_ff=80,
    vocab_size=300,
    context_length=32,
    norm="rmsnorm",
    positions="rotary",
    activation="swiglu",
    bias=(),
    qk_norm=True,
    value_residual=True,
    short_convolution=True,
    bigrams=70,
    attention=("global", "local"),
    window=5,
)


def computed(path: Path, tokens: torch.Tensor, positions: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"input_ids": tokens.numpy(), "positions": positions}), strict=True))


def assert_records(ours: GPT, path: Path, tokens: torch.Tensor, tolerance: float) -> None:
    """The graph's outputs are the model's activations, and its lens their logits by the last norm and output layer."""
    positions = np.arange(tokens.shape[1])[::-1].copy()
    got = computed(path, tokens, positions)
    lens = got.pop("lens")
    streams = ["blocks.0.resid_pre", *(f"blocks.{i}.resid_post" for i in range(ours.config.n_layers))]
    with torch.no_grad():
        expected = torch.stack([ours.logits(ours.norm(x[0])) for x in record(ours, tokens, streams).values()])
        np.testing.assert_allclose(lens[-1][::-1], ours(tokens)[0].numpy(), atol=tolerance * max(1, np.abs(lens).max()))
    recorded = {name: value.numpy() for name, value in record(ours, tokens, got).items()}
    for name, theirs, mine in [("lens", lens[:, ::-1], expected.numpy()), *((n, got[n], recorded[n]) for n in got)]:
        np.testing.assert_allclose(theirs, mine, atol=tolerance * max(1, np.abs(mine).max()), err_msg=name)


@pytest.mark.timeout(1200)  # each graph takes a while on a busy machine
@given(data=st.data(), seed=SEEDS)
@settings(max_examples=3, deadline=None)
def test_its_outputs_are_the_recorded_activations_on_drawn_shapes(data, seed, tmp_path_factory):
    from talewright.export.web.activations_graph import write_activations_graph

    model = lively_model(data.draw(model_configs()), seed)
    path = tmp_path_factory.mktemp("graph") / "inside.onnx"
    write_activations_graph(model, path)
    for T in {1, model.config.context_length}:
        assert_records(model, path, token_batch(model.config, seed, rows=1, T=T), 1e-4)


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, GPT]:
    """Both graphs in both precisions, as the page has them, and their model."""
    from talewright.export.onnx_graph import write_graph
    from talewright.export.web.activations_graph import share_weights, write_activations_graph

    folder, model = tmp_path_factory.mktemp("graphs"), lively_model(STORYX, 0)
    write_graph(model, folder / "f32.onnx")
    write_activations_graph(model, folder / "f32.inside.onnx")
    for suffix in ("onnx", "inside.onnx"):
        write_quantized(folder / f"f32.{suffix}", folder / f"q8.{suffix}")
    for name in ("f32", "q8"):
        share_weights(folder / f"{name}.inside.onnx", folder / f"{name}.onnx")
    return folder, model


@pytest.mark.parametrize(("name", "tolerance"), [("f32", 1e-4), ("q8", 0.1)])
def test_with_shared_weights_its_outputs_are_the_recorded_activations(graphs, name, tolerance):
    folder, model = graphs
    for T in (1, 2, 17, 32):
        assert_records(model, folder / f"{name}.inside.onnx", token_batch(STORYX, T, rows=1, T=T), tolerance)


@pytest.mark.parametrize("name", ["f32", "q8"])
def test_the_last_lens_is_what_the_graph_of_the_same_precision_samples_from(graphs, name):
    tokens = token_batch(STORYX, 1, rows=1, T=20)
    lens = computed(graphs[0] / f"{name}.inside.onnx", tokens, np.arange(20))["lens"][-1]
    logits = reader(str(graphs[0] / f"{name}.onnx"))(tokens[0].numpy())
    np.testing.assert_allclose(lens, logits, atol=1e-4 * np.abs(logits).max())


def test_the_weights_of_8_bits_are_not_those_of_32(graphs):
    tokens = token_batch(STORYX, 1, rows=1, T=20)
    exact, near = (computed(graphs[0] / f"{name}.inside.onnx", tokens, np.arange(20))["lens"] for name in ("f32", "q8"))
    assert 1e-3 < np.abs(exact - near).max() / np.abs(exact).max() < 0.1


@pytest.mark.parametrize("name", ["f32", "q8"])
def test_it_stores_no_large_tensor_and_cannot_be_opened_without_the_other_file(graphs, tmp_path, name):
    folder, model = graphs
    path = folder / f"{name}.inside.onnx"
    stored = 4 * sum(parameter.numel() for parameter in model.parameters())
    assert path.stat().st_size < 110_000 < stored
    alone = tmp_path / path.name
    alone.write_bytes(path.read_bytes())
    with pytest.raises(Exception, match=f"{name}.onnx"):
        onnxruntime.InferenceSession(str(alone))
