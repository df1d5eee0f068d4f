"""The classes of transformers, used as their users do: with padding, with beams, and past the context."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

from talewright.export import TARGETS
from talewright.generate.engine import Engine
from talewright.generate.sampling import Sampling

FAMILIES: dict[str, dict[str, Any]] = {
    "GPT2LMHeadModel": {"bias": ("mlp",), "activation": "gelu"},
    "GPTNeoForCausalLM": {"attention": ("global", "local"), "window": 5, "bias": ("out", "mlp"), "tied": False},
    "LlamaForCausalLM": {"norm": "rmsnorm", "positions": "rotary", "activation": "swiglu", "bias": (), "n_kv_heads": 1},
    "Qwen3ForCausalLM": {
        "norm": "rmsnorm",
        "positions": "rotary",
        "activation": "swiglu",
        "bias": (),
        "qk_norm": True,
        "attention": ("global", "local"),
        "window": 5,
    },
}


@pytest.fixture(params=FAMILIES)
def exported(request, make_source, tmp_path):
    """Our source, their model and their tokenizer, for each class."""
    source = make_source(**FAMILIES[request.param], context_length=48)
    TARGETS["hf"].write(source, tmp_path, "f32")
    theirs: Any = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(theirs).__name__ == request.param
    return source, theirs, AutoTokenizer.from_pretrained(tmp_path)


def test_a_left_padded_batch_gives_the_stories_of_our_engine(exported):
    source, theirs, tok = exported
    prompts = ["Lily", "One day a small dog found a ball"]
    batch = tok(prompts, return_tensors="pt", padding=True)
    assert (batch["attention_mask"] == 0).any()
    generated = theirs.generate(**batch, do_sample=False, max_new_tokens=12)
    expected = Engine(source.model, source.tokenizer).generate(prompts, Sampling(temperature=0, max_new_tokens=12))
    for ids, story in zip(generated.tolist(), expected, strict=True):
        ids = [token for token in ids if token != tok.pad_token_id]
        assert source.tokenizer.decode(ids).rstrip("\ufffd") == story.text.rstrip("\ufffd")  # half a character


def test_beam_search_finds_a_story_at_least_as_likely_as_the_greedy_one(exported):
    source, theirs, tok = exported
    ids = tok("The dog ran", return_tensors="pt")["input_ids"]
    options = {"do_sample": False, "max_new_tokens": 6, "min_new_tokens": 6}
    scores = [log_likelihood(source.model, theirs.generate(ids, num_beams=n, **options), len(ids[0])) for n in (1, 64)]
    assert scores[1] >= scores[0]


def log_likelihood(model: Any, ids: torch.Tensor, start: int) -> float:
    """The log-likelihood of the tokens from `start` on, by our model."""
    with torch.no_grad():
        scores = model(ids)[0].log_softmax(-1)
    return float(scores[range(start - 1, ids.shape[1] - 1), ids[0, start:]].sum())


def test_past_the_context_each_class_does_what_the_documentation_says(exported):
    _, theirs, tok = exported
    ids = tok("Lily", return_tensors="pt")["input_ids"]
    end = theirs.generate(ids, do_sample=False, eos_token_id=None)
    assert end.shape == (1, 48)  # generation_config.json stops at the context
    longer = {"do_sample": False, "eos_token_id": None, "max_new_tokens": 50}
    if type(theirs).__name__ in ("GPT2LMHeadModel", "GPTNeoForCausalLM"):
        with pytest.raises(IndexError):
            theirs.generate(ids, **longer)
    else:
        assert theirs.generate(ids, **longer).shape == (1, ids.shape[1] + 50)


def test_a_pipeline_generates_to_the_end_of_the_context_by_default(make_source, tmp_path):
    TARGETS["hf"].write(make_source(context_length=30), tmp_path, "f32")
    generate = pipeline("text-generation", model=str(tmp_path))
    outputs = generate("Once upon a time", return_tensors=True, eos_token_id=None)
    assert len(outputs[0]["generated_token_ids"]) == 30
