"""A corpus of a tokenizer whose begin is not its end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from talewright.config import EOT, DataConfig, ModelConfig, TokenizerConfig
from talewright.data import Batches, prepare
from talewright.evaluate.likelihood import score_tokens
from talewright.inspect.sequences import display_token, make_sequence
from talewright.tokenizer import Tokenizer, make_tokenizer
from talewright.tokenizer.ends import begins_with
from tests.data.cases import BPE, VOCAB, tales, write_txt
from tests.model.shapes import lively_model


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    values = json.loads(make_tokenizer(BPE, VOCAB, lambda: tales(100)).files()["tokenizer.json"])
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False) | {"special": True}
    values["added_tokens"].append({"id": VOCAB, "content": "<s>", **flags})
    values["post_processor"] = begins_with("<s>", {"<s>": VOCAB, EOT: 0})
    return Tokenizer(json.dumps(values))


@pytest.mark.parametrize("layout", ["packed", "aligned", "rows"])
def test_each_story_comes_after_the_begin_and_before_the_end(tokenizer: Tokenizer, tmp_path: Path, layout: str):
    tokenizer.save(tmp_path / "tokenizer")
    source = write_txt(tmp_path / "stories.txt", tales(60))
    saved = TokenizerConfig(kind="saved", source=str(tmp_path / "tokenizer"))
    corpus = prepare(DataConfig(source=str(source)), saved, VOCAB + 1, tmp_path / "corpus", progress=False)
    split = corpus.split("train")
    begin, end = VOCAB, 0
    assert corpus.tokenizer.separator == [end, begin]
    texts = {corpus.tokenizer.decode(split.story(i)) for i in range(split.n_stories)}
    assert texts <= set(tales(60))
    assert not any({begin, end} & {*split.story(i).tolist()} for i in range(split.n_stories))
    batches = Batches(split, context_length=40, layout=layout, stride=None, seed=0)
    inputs, targets = batches.samples(0, 8)
    if layout != "packed":
        assert (inputs[:, 0] == begin).all()
    for row, following in zip(inputs, targets, strict=True):
        ends = np.flatnonzero(row[:-1] == end)
        assert (following[ends] == begin).all()  # the next story begins after the end of one


def test_a_score_reads_the_begin_and_predicts_the_end(tokenizer: Tokenizer):
    config = ModelConfig(n_layers=1, n_heads=2, d_model=16, d_ff=16, vocab_size=VOCAB + 1, context_length=64)
    model, story = lively_model(config, 0), np.array([5, 6, 7])
    scores = score_tokens(model, [story], tokenizer.separator)
    with torch.no_grad():
        logits = model(torch.tensor([[VOCAB, 5, 6, 7]]))[0]
    expected = F.cross_entropy(logits, torch.tensor([5, 6, 7, 0]), reduction="none")
    np.testing.assert_allclose(scores.losses, expected.numpy(), atol=1e-5)
    assert make_sequence(story, tokenizer.separator, 10).tolist() == [VOCAB, 5, 6, 7, 0]


def test_every_id_of_a_model_can_be_shown(tokenizer: Tokenizer):
    shown = [display_token(tokenizer, token) for token in (0, VOCAB, VOCAB + 1, 9999)]
    assert shown == ["⟨end⟩", "⟨begin⟩", f"⟨id {VOCAB + 1}⟩", "⟨id 9999⟩"]
