"""Tokenizers of Llama's kind, by SentencePiece itself: imported from tokenizer.bin, exported to run.c and llama.cpp."""

from __future__ import annotations

import itertools
import json
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from talewright.api import load
from talewright.config import ModelConfig
from talewright.data import bundled
from talewright.errors import UserError
from talewright.export import TARGETS, ExportSource, export_model
from talewright.export.importers import import_model
from talewright.export.importers.llama2c import read_tokenizer_bin
from talewright.export.vocabulary import scored_pieces
from talewright.generate.engine import Engine
from talewright.generate.sampling import Sampling
from talewright.tokenizer import Tokenizer
from tests.export.sources import source_of
from tests.tokenizer.cases import story_texts

sentencepiece = pytest.importorskip("sentencepiece", reason="sentencepiece is not installed (the extra dev)")
SIZE = 420
SHAPE: dict[str, Any] = {"n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "d_model": 32, "d_ff": 48, "context_length": 64}
SHAPE |= {"norm": "rmsnorm", "positions": "rotary", "activation": "swiglu", "bias": (), "vocab_size": SIZE}


@pytest.fixture(scope="module")
def processor(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A BPE that SentencePiece trained with the settings of llama2.c."""
    folder = tmp_path_factory.mktemp("sentencepiece")
    (folder / "stories.txt").write_text("\n".join(bundled.stories(60)))
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "stories.txt"),
        model_prefix=str(folder / "tales"),
        model_type="bpe",
        vocab_size=SIZE,
        character_coverage=1.0,
        split_digits=True,
        allow_whitespace_only_pieces=True,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_file=str(folder / "tales.model"))


def write_bin(processor: Any, path: Path) -> Path:
    """Write a tokenizer.bin: the length of the longest piece; then the score, length and bytes of each."""
    texts = [processor.id_to_piece(n).replace("\u2581", " ").encode() for n in range(SIZE)]
    texts[1], texts[2] = b"\n<s>\n", b"\n</s>\n"
    parts = [struct.pack("<fi", processor.get_score(n), len(text)) + text for n, text in enumerate(texts)]
    path.write_bytes(struct.pack("<i", max(map(len, texts))) + b"".join(parts))
    return path


@pytest.fixture(scope="module")
def pieces(processor: Any, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return read_tokenizer_bin(write_bin(processor, tmp_path_factory.mktemp("bin") / "tokenizer.bin"), SIZE)


TEXTS = (story_texts() | st.text()).filter(lambda text: "\u2581" not in text)  # which stands for a space


@given(text=TEXTS)
@settings(max_examples=300)
def test_a_tokenizer_bin_gives_the_ids_of_sentencepiece_and_is_lossless(text, processor, pieces):
    assert pieces.encode(text) == processor.encode(text)
    assert pieces.decode(pieces.encode(text)) == text
    assert pieces.eos_id == processor.bos_id()  # which begins each story


def test_its_pieces_and_scores_are_recovered(processor, pieces):
    recovered = scored_pieces(pieces)
    assert recovered is not None
    assert recovered.special == {0, 1, 2}
    assert recovered.pieces[3:] == [processor.id_to_piece(n) for n in range(3, SIZE)]
    joined = [n for n in range(259, SIZE) if len(recovered.pieces[n]) > 1]
    assert [recovered.scores[n] for n in joined] == [processor.get_score(n) for n in joined]


def test_merges_that_no_scores_describe_are_refused(pieces, tmp_path):
    """A pair that is never joined although it would make a piece: run.c and llama.cpp would join it."""
    pieces.save(tmp_path)
    values = json.loads((tmp_path / "tokenizer.json").read_text())
    joined = ["".join(pair) for pair in values["model"]["merges"]]
    twice = next(at for at, piece in enumerate(joined) if joined.count(piece) > 1)
    del values["model"]["merges"][twice]
    fewer = Tokenizer(json.dumps(values))
    assert scored_pieces(fewer) is None
    source = source_of(ModelConfig(**SHAPE), fewer)
    for target in ("gguf", "llama2c"):
        with pytest.raises(UserError, match="splits text neither as GPT-2's nor as Llama's does"):
            TARGETS[target].write(source, tmp_path, "f32")


# --- llama2.c ------------------------------------------------------------------------------------------------------


def test_a_foreign_model_and_its_tokenizer_bin_are_imported_and_exported_unchanged(processor, pieces, tmp_path):
    source = source_of(ModelConfig(**SHAPE), pieces)
    TARGETS["llama2c"].write(source, tmp_path, "f32")
    for name in ("ids.json", "tokenizer.bin"):
        (tmp_path / name).unlink()
    foreign = (tmp_path / "model.bin").rename(tmp_path / "stories.bin")
    with pytest.raises(UserError, match=r"stories\.bin has no tokenizer: there is no .*tokenizer\.bin"):
        import_model(str(foreign), tmp_path / "run")
    write_bin(processor, tmp_path / "tokenizer.bin")
    record = import_model(str(foreign), tmp_path / "run")
    assert "verified in a fresh process" in record["proof"]
    run = load(tmp_path / "run")
    assert run.tokenizer.fingerprint == pieces.fingerprint
    assert torch.equal(run.model.embedding.weight.cpu(), source.model.embedding.weight)  # with the model's own ids
    run.export(tmp_path / "out", to="llama2c")
    assert (tmp_path / "out" / "model.bin").read_bytes() == foreign.read_bytes()
    texts = [read_texts(folder / "tokenizer.bin") for folder in (tmp_path, tmp_path / "out")]
    assert texts[0][3:] == texts[1][3:]
    (tmp_path / "tokenizer.bin").rename(tmp_path / "named.bin")
    import_model(str(foreign), tmp_path / "again", tokenizer=str(tmp_path / "named.bin"))
    assert load(tmp_path / "again").tokenizer.fingerprint == pieces.fingerprint


def test_run_c_itself_generates_the_same_story(pieces, tmp_path, run_c):
    source = source_of(ModelConfig(**{**SHAPE, "tied": False}), pieces, seed=2)
    unprinted = [n for n, text in enumerate(pieces.token_bytes) if n < 259 or not text.isascii()]
    assert source.model.head is not None
    with torch.no_grad():
        source.model.head.weight[unprinted] = 0  # run.c does not print every byte
    TARGETS["llama2c"].write(source, tmp_path, "f32")
    prompt = "Lily saw a \u4f60, 1,234 of them"
    left = 50 - len(pieces.encode(prompt))
    ours = Engine(source.model, pieces).generate([prompt], Sampling(temperature=0, max_new_tokens=left))[0].text
    files = [str(tmp_path / "model.bin"), "-z", str(tmp_path / "tokenizer.bin")]
    arguments = [*files, "-t", "0", "-n", "50", "-i", prompt]
    printed = subprocess.run([str(run_c), *arguments], capture_output=True, check=True).stdout
    assert printed.decode().removesuffix("\n") == ours.replace("\u4f60", "")


def read_texts(path: Path) -> list[bytes]:
    data, offset, texts = path.read_bytes(), 4, []
    while offset < len(data):
        length = struct.unpack_from("<i", data, offset + 4)[0]
        texts.append(data[offset + 8 : offset + 8 + length])
        offset += 8 + length
    return texts


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda data: data[:-3], "another model: piece 419 of 420 is cut off, not text, or longer than 1,000"),
        (lambda data: data[:9], "piece 0 of 420 is cut off"),
        (lambda data: data[:8] + struct.pack("<i", -4) + data[12:], "piece 0 of 420 is cut off"),
        (lambda data: data.replace(b"<unk>", b"<\xff\xff\xff>"), "piece 0 of 420 is cut off, not text"),
        (lambda data: data + bytes(9), "has more than the model's 420 pieces, so it belongs to another model"),
        (lambda data: data.replace(b"<0x00>", b"<zero>"), "does not have the 256 single bytes <0x00> to <0xFF>"),
    ],
)
def test_a_damaged_tokenizer_bin_is_reported(change, error, processor, tmp_path):
    path = write_bin(processor, tmp_path / "tokenizer.bin")
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(UserError, match=error):
        read_tokenizer_bin(path, SIZE)


@given(data=st.binary(max_size=200), size=st.integers(0, 30))
def test_any_other_bytes_are_refused(data, size, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any.bin"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"any\.bin (is not a SentencePiece tokenizer|has more|does not have)"):
        read_tokenizer_bin(path, size)


# --- llama.cpp -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def opened(pieces: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> tuple[ExportSource, Any]:
    """A model with such a tokenizer and two extra ids, and llama.cpp with its file."""
    llama_cpp = pytest.importorskip("llama_cpp", reason="opening GGUF needs llama-cpp-python ")
    source = source_of(ModelConfig(**{**SHAPE, "vocab_size": SIZE + 2, "tied": False}), pieces, seed=2)
    assert source.model.head is not None
    with torch.no_grad():
        source.model.head.weight[[*range(3), SIZE, SIZE + 1]] = 0  # unlikely, as after training
    folder = tmp_path_factory.mktemp("opened") / "out"
    record = export_model(source, "gguf", folder)
    assert 0 < record["largest_difference"] < record["bound"]
    f32 = llama_cpp.GGML_TYPE_F32
    return source, llama_cpp.Llama(str(folder / "model.gguf"), n_ctx=0, verbose=False, type_k=f32, type_v=f32)


@given(text=TEXTS)
@settings(max_examples=300)
def test_llama_cpp_tokenizes_text_identically(text, opened):
    source, llama = opened
    assert llama.tokenize(text.encode(), add_bos=False, special=False) == source.tokenizer.encode(text)


def test_llama_cpp_generates_the_same_story(opened):
    source, llama = opened
    ids = llama.tokenize(b"Once upon a time")
    assert ids == [1, *source.tokenizer.encode("Once upon a time")]
    sampling = Sampling(temperature=0, max_new_tokens=30)
    ours = Engine(source.model, source.tokenizer).generate(["Once upon a time"], sampling)[0]
    theirs = list(itertools.islice(llama.generate(ids, temp=0.0), 30))
    assert source.tokenizer.decode(ids + theirs) == ours.text
    assert len(set(theirs)) > 5
    assert llama.detokenize(ids).strip() == b"Once upon a time"
