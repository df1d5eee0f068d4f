"""The pad token of an export is not the end of text, and takes nothing from the model or the tokenizer."""

from __future__ import annotations

import json

import pytest
import tokenizers
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer, DataCollatorForLanguageModeling, GenerationConfig

from talewright import api
from talewright.export import TARGETS
from talewright.export.importers import import_model
from talewright.export.importers.tokenizer import read_tokenizer
from talewright.tokenizer import Tokenizer
from talewright.tokenizer.base import Merges
from talewright.tokenizer.pad_token import PAD, UNUSED_BYTES, pad_token

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
FORMATS = pytest.mark.parametrize("to", ["hf", "hf-remote", "onnx"])


@given(text=TEXTS)
def test_no_text_has_an_unused_byte(text):
    assert not {*text.encode()} & {*UNUSED_BYTES}


@FORMATS
def test_the_usual_collator_scores_the_ends_of_stories_and_not_the_padding(to, make_source, tmp_path, tokenizer):
    TARGETS[to].write(make_source(context_length=24), tmp_path, "f32")
    tok = AutoTokenizer.from_pretrained(tmp_path, trust_remote_code=True)
    end = tok.eos_token
    rows = [tok(f"Lily saw \u00ff{end}"), tok(f"A dog ran home\u00e9{end}")]
    batch = DataCollatorForLanguageModeling(tok, mlm=False)(rows)
    assert batch["labels"][:, -1].tolist() == [tokenizer.eos_id] * 2  # padded on the left
    for ids, mask, labels in zip(batch["input_ids"], batch["attention_mask"], batch["labels"], strict=True):
        assert torch.equal(labels == -100, mask == 0)
        assert (ids[mask == 0] == tok.pad_token_id).all()
    assert (batch["attention_mask"] == 0).any()


def test_fine_tuning_with_the_usual_collator_keeps_the_ends_of_stories(make_source, tmp_path):
    TARGETS["hf"].write(make_source(context_length=24), tmp_path, "f32")
    tok, model = AutoTokenizer.from_pretrained(tmp_path), AutoModelForCausalLM.from_pretrained(tmp_path)
    batch = DataCollatorForLanguageModeling(tok, mlm=False)([tok(f"Lily ran.{tok.eos_token}"), tok("A dog.")])
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(60):
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    ids = tok("Lily ran.", return_tensors="pt")["input_ids"]
    assert model(ids).logits[0, -1].softmax(-1)[tok.eos_token_id] > 0.9


@FORMATS
def test_the_files_agree_on_the_pad_token_and_generation_never_gives_it(to, make_source, tmp_path, tokenizer):
    source = make_source(context_length=24)
    TARGETS[to].write(source, tmp_path, "f32")
    tok = AutoTokenizer.from_pretrained(tmp_path, trust_remote_code=True)
    _, number = pad_token(tokenizer)
    config = json.loads((tmp_path / "config.json").read_text())
    generation = GenerationConfig.from_pretrained(tmp_path)
    assert tok.pad_token_id == config["pad_token_id"] == generation.pad_token_id == number != tokenizer.eos_id
    assert generation.suppress_tokens == [number]
    assert config["vocab_size"] == len(tok) == tokenizer.vocab_size  # no token was added
    assert json.loads((tmp_path / "vocab.json").read_text())[PAD] == number
    assert not tokenizer.token_bytes[number].decode(errors="ignore")


@given(text=TEXTS)
def test_texts_have_the_same_ids_with_a_pad_token(text, exported_tokenizer):
    ours, theirs = exported_tokenizer
    if "<|" not in text:
        assert theirs.encode(text, add_special_tokens=False).ids == ours.encode(text)


@pytest.fixture(scope="module", params=["GPT-2's kind", "Llama's kind"])
def exported_tokenizer(request, tokenizer, tmp_path_factory) -> tuple[Tokenizer, tokenizers.Tokenizer]:
    from talewright.export.pretrained import write_tokenizer
    from talewright.export.vocabulary import BYTES, ScoredPieces, tokenizer_from_pieces

    folder = tmp_path_factory.mktemp("tokenizer")
    if request.param == "Llama's kind":
        pieces = ["<unk>", "<|endoftext|>", "</s>", *BYTES, "\u2581", "a", "\u2581a", "\u00ff"]
        scores = [-float(number) for number in range(len(pieces))]
        tokenizer = tokenizer_from_pieces(ScoredPieces(pieces, scores, frozenset(range(3))))
    write_tokenizer(folder, tokenizer, 24)
    assert PAD in json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    assert read_tokenizer(folder, None, tokenizer.vocab_size).fingerprint == tokenizer.fingerprint
    return tokenizer, tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))


def test_an_unused_byte_in_a_longer_token_is_left_alone(tokenizer):
    bpe = tokenizer.merges()
    size = len(bpe.vocab)
    merged = Tokenizer.from_merges(Merges({**bpe.vocab, "\u00ff\u00ff": size}, [*bpe.merges, ("\u00ff", "\u00ff")]))
    assert pad_token(tokenizer)[0] == "\u00ff"
    assert pad_token(merged)[0] == "\u00fe"


def test_an_export_is_imported_with_the_tokenizer_and_weights_of_its_run(make_source, tmp_path, no_parity_check):
    source = make_source()
    (tmp_path / "out").mkdir()
    TARGETS["hf"].write(source, tmp_path / "out", "f32")
    import_model(str(tmp_path / "out"), tmp_path / "run")
    again = api.load(tmp_path / "run")
    assert again.tokenizer.fingerprint == source.tokenizer.fingerprint
    for name, tensor in source.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name].cpu(), tensor), name
