"""Exports of a tokenizer whose begin is not its end, and of a model with more ids than its tokenizer."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import gguf
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from talewright.config import ModelConfig
from talewright.errors import UserError
from talewright.export import TARGETS, export_model
from talewright.export.target import fitted
from tests.export.sources import source_of
from tests.generate.test_ends import BEGIN, BYTE_EOS, OTHER, tokenizer_with_ends

LLAMA = ModelConfig(
    n_layers=1,
    n_heads=2,
    d_model=16,
    d_ff=24,
    vocab_size=7,  # so many more than the tokenizer's
    context_length=32,
    norm="rmsnorm",
    positions="rotary",
    activation="swiglu",
    bias=(),
    dropout=0.0,
)


@pytest.mark.parametrize("tied", [True, False])
def test_ids_that_are_no_tokens_are_left_out(tied: bool):
    source = source_of(dataclasses.replace(LLAMA, tied=tied), tokenizer_with_ends())
    fit = fitted(source)
    tokens = torch.randint(OTHER + 1, (2, 9), generator=torch.Generator().manual_seed(0))
    assert source.recipe.model.vocab_size == OTHER + 8
    assert fit.recipe.model.vocab_size == fit.model.config.vocab_size == OTHER + 1
    torch.testing.assert_close(fit.model(tokens), source.model(tokens)[..., : OTHER + 1])
    assert fitted(fit) is fit


def test_transformers_begins_and_ends_a_text_as_the_engine_does(tmp_path: Path):
    source = source_of(LLAMA, tokenizer_with_ends())
    export_model(source, "hf", tmp_path / "out")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert theirs("a fox")["input_ids"] == [BEGIN, *source.tokenizer.encode("a fox")]
    assert (theirs.bos_token_id, theirs.eos_token_id) == (BEGIN, BYTE_EOS)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert sorted(model.generation_config.eos_token_id) == [BYTE_EOS, BEGIN, OTHER]
    assert model.config.vocab_size == OTHER + 1


def test_a_model_that_is_written_with_more_ids_suppresses_them(tmp_path: Path):
    source = source_of(LLAMA, tokenizer_with_ends())
    TARGETS["hf"].write(source, tmp_path, "f32")
    values = json.loads((tmp_path / "generation_config.json").read_text())
    assert values["suppress_tokens"] == [values["pad_token_id"], *range(OTHER + 1, OTHER + 8)]


def test_a_gguf_names_the_begin_and_two_ends(tmp_path: Path):
    source = source_of(LLAMA, tokenizer_with_ends())
    TARGETS["gguf"].write(source, tmp_path, "f32")
    fields = gguf.GGUFReader(tmp_path / "model.gguf").fields
    found = {name: fields[f"tokenizer.ggml.{name}_token_id"].contents() for name in ("bos", "eos", "eot")}
    assert found == {"bos": BEGIN, "eos": BYTE_EOS, "eot": BEGIN}


def test_run_c_which_has_one_token_for_both_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="begins a text with <s> and ends it with another"):
        export_model(source_of(LLAMA, tokenizer_with_ends()), "llama2c", tmp_path / "out")
    assert not (tmp_path / "out").exists()
