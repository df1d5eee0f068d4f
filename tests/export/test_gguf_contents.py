"""GGUF files without llama.cpp: gguf's own reader finds the model in them, and what differs is noticed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from talewright.errors import UserError
from talewright.export import TARGETS, export_model
from talewright.export.gguf import BOUNDS, FILE
from tests.export.sources import source_of
from tests.model.shapes import SEEDS, model_configs

gguf = pytest.importorskip("gguf", reason="writing GGUF needs gguf (the extra gguf)")
SHAPES: dict[str, dict[str, Any]] = {
    "gpt2": {"norm": "layernorm", "positions": "learned", "activation": "gelu_tanh", "n_kv_heads": None},
    "llama": {"norm": "rmsnorm", "positions": "rotary", "activation": "swiglu"},
    "qwen3": {"norm": "rmsnorm", "positions": "rotary", "activation": "swiglu", "qk_norm": True, "bias": ("qkv",)},
}


@pytest.mark.parametrize("architecture", SHAPES)
@given(data=st.data(), seed=SEEDS, dtype=st.sampled_from(list(BOUNDS)))
@settings(max_examples=8, deadline=None)
def test_a_file_holds_the_model_in_every_precision(architecture, data, seed, dtype, tokenizer, tmp_path_factory):
    fixed = {"qk_norm": False, "norm_placement": "pre", "attention": ("global",), **SHAPES[architecture]}
    source = source_of(data.draw(model_configs(**fixed)), tokenizer, seed)
    folder = tmp_path_factory.mktemp("gguf")
    TARGETS["gguf"].write(source, folder, dtype)
    assert gguf.GGUFReader(folder / FILE).fields["general.architecture"].contents() == architecture
    assert "are those of the model" in str(TARGETS["gguf"].check_contents(source, folder, dtype))


@pytest.mark.parametrize("dtype", BOUNDS)
def test_a_changed_value_is_noticed(dtype, make_source, tmp_path):
    source = make_source(**SHAPES["llama"], d_model=64)
    TARGETS["gguf"].write(source, tmp_path, dtype)
    tensor = next(each for each in gguf.GGUFReader(tmp_path / FILE, "r+").tensors if each.name == "blk.1.ffn_up.weight")
    values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    values[3, 5] += 0.1 * np.abs(values[3]).max()
    tensor.data[:] = gguf.quants.quantize(values, tensor.tensor_type)
    with pytest.raises(UserError, match=r"does not hold the model: blk\.1\.ffn_up\.weight differ"):
        TARGETS["gguf"].check_contents(source, tmp_path, dtype)


def test_another_shape_and_another_tokenizer_are_noticed(make_source, tmp_path):
    TARGETS["gguf"].write(make_source(**SHAPES["llama"]), tmp_path, "f32")
    wrong = r"llama\.context_length, llama\.attention\.head_count, .*tokenizer\.ggml\.tokens"
    other = make_source(**SHAPES["llama"], context_length=48, n_heads=4, vocab_size=310)
    with pytest.raises(UserError, match=wrong):
        TARGETS["gguf"].check_contents(other, tmp_path, "f32")


def test_without_llama_cpp_the_file_is_written_and_the_record_and_the_card_say_that_it_did_not_run(
    make_source, tmp_path, monkeypatch
):
    monkeypatch.setattr("talewright.export.missing_modules", list)
    record = export_model(make_source(**SHAPES["llama"]), "gguf", tmp_path / "out", "q8_0")
    assert record["verified"] is False
    assert "llama_cpp is not installed (read back, its " in record["proof"]
    assert "pip install llama-cpp-python, then export again with --overwrite" in record["proof"]
    assert record["proof"] in (tmp_path / "out" / "README.md").read_text()


def test_a_file_that_differs_is_not_kept_though_llama_cpp_is_missing(make_source, tmp_path, monkeypatch):
    monkeypatch.setattr("talewright.export.missing_modules", list)
    source = make_source(**SHAPES["llama"])
    write = type(TARGETS["gguf"]).write

    def write_then_change(self, source, folder, dtype):
        write(self, source, folder, dtype)
        with torch.no_grad():
            source.model.norm.weight[3] += 0.01

    monkeypatch.setattr(type(TARGETS["gguf"]), "write", write_then_change)
    with pytest.raises(UserError, match=r"does not hold the model: output_norm\.weight differ"):
        export_model(source, "gguf", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_modelfile_of_ollama_names_the_file_and_the_context(make_source, tmp_path):
    TARGETS["gguf"].write(make_source(**SHAPES["llama"], context_length=40), tmp_path, "f32")
    lines = (tmp_path / "Modelfile").read_text().splitlines()
    assert lines[0] == f"FROM ./{FILE}"
    assert {"PARAMETER num_ctx 40", 'PARAMETER stop "<|endoftext|>"'} <= set(lines)
