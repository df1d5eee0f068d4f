"""GGUF files against llama.cpp itself: the same logits, the same tokens for the same text, the same story."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from talewright.config import ModelConfig
from talewright.errors import UserError
from talewright.export import TARGETS, export_model
from talewright.export.gguf import BOUNDS, FILE
from talewright.export.readers.gguf import reader
from talewright.generate.engine import Engine
from talewright.generate.sampling import Sampling
from talewright.tokenizer import Tokenizer
from tests.export.sources import source_of
from tests.model.shapes import SEEDS, model_configs, token_batch
from tests.tokenizer.cases import story_texts

llama_cpp = pytest.importorskip("llama_cpp", reason="opening GGUF needs llama-cpp-python")
LLAMA_SHAPED: dict[str, Any] = {"norm": "rmsnorm", "positions": "rotary", "activation": "swiglu"}
SHAPES: dict[str, dict[str, Any]] = {
    "gpt2": {
        "norm": "layernorm",
        "positions": "learned",
        "activation": "gelu_tanh",
        "n_kv_heads": None,
        "qk_norm": False,
    },
    "llama": {**LLAMA_SHAPED, "qk_norm": False},
    "qwen3": {**LLAMA_SHAPED, "qk_norm": True, "bias": ("qkv",)},
}


@pytest.mark.parametrize("architecture", SHAPES)
@given(data=st.data(), seed=SEEDS)
@settings(max_examples=8, deadline=None)
def test_logits_equal_llama_cpp_on_drawn_shapes(architecture, data, seed, tokenizer, tmp_path_factory):
    config = data.draw(model_configs(**SHAPES[architecture], norm_placement="pre", attention=("global",)))
    source = source_of(config, tokenizer, seed)
    folder = tmp_path_factory.mktemp("gguf")
    TARGETS["gguf"].write(source, folder, "f32")
    tokens = token_batch(source.recipe.model, seed, rows=1)
    ours = source.model(tokens)[0].detach().numpy()
    np.testing.assert_allclose(reader(str(folder))(tokens[0].numpy()), ours, atol=BOUNDS["f32"] * max(1, ours.max()))


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("architecture", SHAPES)
def test_every_precision_is_within_its_bound(architecture, dtype, make_source, tmp_path):
    source = make_source(**{"d_model": 64, "bias": ("qkv",), **SHAPES[architecture]})
    record = export_model(source, "gguf", tmp_path / "out", dtype)
    assert 0 < record["largest_difference"] < record["bound"]
    whole = 4 * sum(p.numel() for p in source.model.parameters())
    share = {"f32": 1, "f16": 1 / 2, "bf16": 1 / 2, "q8_0": 34 / 128}[dtype]  # 32 values in 34 bytes
    assert share * whole < record["bytes"] < share * whole + 60_000  # the tokenizer, the vectors, the positions


@pytest.fixture(scope="module")
def opened(tmp_path_factory, tokenizer):
    """A small model whose stories vary, and llama.cpp with its file."""
    config = ModelConfig(n_layers=2, n_heads=2, d_model=32, d_ff=64, vocab_size=310, context_length=128, tied=False)
    source = source_of(config, tokenizer, seed=3)
    assert source.model.head is not None
    assert source.model.positions is not None
    with torch.no_grad():
        source.model.positions.weight.mul_(6)  # otherwise it repeats the same two tokens
        source.model.head.weight[tokenizer.vocab_size :] = 0  # never likely, as after training
    folder = tmp_path_factory.mktemp("opened")
    TARGETS["gguf"].write(source, folder, "f32")
    f32 = llama_cpp.GGML_TYPE_F32
    return source, llama_cpp.Llama(str(folder / FILE), n_ctx=0, verbose=False, type_k=f32, type_v=f32)


@given(text=story_texts())
@settings(max_examples=300, deadline=None)
def test_llama_cpp_tokenizes_text_identically(opened, text):
    source, llama = opened
    assert llama.tokenize(text.encode(), add_bos=False, special=False) == source.tokenizer.encode(text)


def test_a_text_begins_with_the_end_of_text_and_greedy_stories_are_equal(opened):
    source, llama = opened
    eos = source.tokenizer.eos_id
    assert llama.tokenize(b"") == [eos]
    for prompt in ("Once upon a time", "The fox\n\nand"):
        ids = llama.tokenize(prompt.encode())
        assert ids == [eos, *source.tokenizer.encode(prompt)]
        ours = Engine(source.model, source.tokenizer).generate([prompt], Sampling(temperature=0, max_new_tokens=40))[0]
        theirs = list(itertools.islice(llama.generate(ids, temp=0.0), 40))
        assert source.tokenizer.decode(ids + theirs) == ours.text
        assert len(set(theirs)) > 5


def test_the_tokens_that_pad_the_vocabulary_have_no_text(opened):
    source, llama = opened
    assert llama.n_vocab() == 310 > source.tokenizer.vocab_size
    assert llama.detokenize([305]) == b""


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ({"activation": "gelu"}, "model.activation is gelu, not gelu_tanh"),
        ({"norm_placement": "post"}, "model.norm_placement is post, not pre"),
        ({"attention": ("global", "local"), "window": 8}, "some of its layers have local attention"),
        ({**LLAMA_SHAPED, "qk_norm": True, "attention": ("local",), "window": 8, "bias": ()}, "have local attention"),
        ({**LLAMA_SHAPED, "qk_norm": True, "bias": ("out",)}, "output has a bias together with normalized queries"),
        ({**LLAMA_SHAPED, "activation": "relu2"}, "model.activation is relu2, not swiglu"),
    ],
)
def test_what_llama_cpp_cannot_hold_is_refused_with_the_reason(shape, reason, make_source, tmp_path):
    target = TARGETS["gguf"]
    with pytest.raises(UserError, match=reason):
        export_model(make_source(**shape), "gguf", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert (
        target.unsupported_reason(ModelConfig(attention=("local",), window=256, context_length=256)) is None
    )  # it sees everything
    assert (
        target.unsupported_reason(ModelConfig(positions="sinusoidal", embedding_scaled=True, attention_scaled=False))
        is None
    )


def test_a_tokenizer_of_another_kind_is_refused(tokenizer, tmp_path):
    values = json.loads((saved(tokenizer, tmp_path) / "tokenizer.json").read_text())
    digits = {"type": "Digits", "individual_digits": True}
    values["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [digits, values["pre_tokenizer"]]}
    source = source_of(ModelConfig(**LLAMA_SHAPED, bias=()), Tokenizer(json.dumps(values)))
    for target in ("gguf", "llama2c"):
        with pytest.raises(UserError, match="splits text neither as GPT-2's nor as Llama's does"):
            export_model(source, target, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def saved(tokenizer: Tokenizer, folder: Path) -> Path:
    tokenizer.save(folder / "tokenizer")
    return folder / "tokenizer"
