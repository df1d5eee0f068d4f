"""Tokenizers of Llama's kind, from SentencePiece itself: in by llama2.c's tokenizer.bin, out to run.c and llama.cpp."""

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
from talewright.export import TARGETS, Source, export_model
from talewright.export.importers import import_model
from talewright.export.importers.llama2c import read_pieces
from talewright.export.vocabulary import llama_pieces
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
    """A BPE that SentencePiece learned, with the settings of llama2.c's own."""
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


def written(processor: Any, path: Path) -> Path:
    """A tokenizer.bin, as the format has it: the length of the longest piece; of each its score, length and bytes."""
    texts = [processor.id_to_piece(n).replace("\u2581", " ").encode() for n in range(SIZE)]
    texts[1], texts[2] = b"\n<s>\n", b"\n</s>\n"
    parts = [struct.pack("<fi", processor.get_score(n), len(text)) + text for n, text in enumerate(texts)]
    path.write_bytes(struct.pack("<i", max(map(len, texts))) + b"".join(parts))
    return path


@pytest.fixture(scope="module")
def pieces(processor: Any, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return read_pieces(written(processor, tmp_path_factory.mktemp("bin") / "tokenizer.bin"), SIZE)


TEXTS = (story_texts() | st.text()).filter(lambda text: "\u2581" not in text)  # which stands for a space there


@given(text=TEXTS)
@settings(max_examples=300)
def test_a_tokenizer_bin_gives_sentencepieces_own_ids_and_loses_nothing(text, processor, pieces):
    assert pieces.encode(text) == processor.encode(text)
    assert pieces.decode(pieces.encode(text)) == text
    assert pieces.eos_id == processor.bos_id()  # what stands before each story there


def test_its_pieces_and_scores_are_found_again(processor, pieces):
    found = llama_pieces(pieces)
    assert found is not None
    assert found.special == {0, 1, 2}
    assert found.spelled[3:] == [processor.id_to_piece(n) for n in range(3, SIZE)]
    joined = [n for n in range(259, SIZE) if len(found.spelled[n]) > 1]
    assert [found.scores[n] for n in joined] == [processor.get_score(n) for n in joined]


def test_merges_that_no_scores_tell_are_none_of_them(pieces, tmp_path):
    """A pair that is never joined, though it would make a piece: run.c and llama.cpp would join it."""
    pieces.save(tmp_path)
    values = json.loads((tmp_path / "tokenizer.json").read_text())
    joined = ["".join(pair) for pair in values["model"]["merges"]]
    twice = next(place for place, piece in enumerate(joined) if joined.count(piece) > 1)
    del values["model"]["merges"][twice]
    fewer = Tokenizer(json.dumps(values))
    assert llama_pieces(fewer) is None
    source = source_of(ModelConfig(**SHAPE), fewer)
    for form in ("gguf", "llama2c"):
        with pytest.raises(UserError, match="cuts text neither as GPT-2's nor as Llama's does"):
            TARGETS[form].write(source, tmp_path, "f32")


# --- llama2.c ------------------------------------------------------------------------------------------------------


def test_a_foreign_model_and_its_tokenizer_bin_come_in_and_go_out_as_they_were(processor, pieces, tmp_path):
    source = source_of(ModelConfig(**SHAPE), pieces)
    TARGETS["llama2c"].write(source, tmp_path, "f32")
    for name in ("ids.json", "tokenizer.bin"):
        (tmp_path / name).unlink()
    foreign = (tmp_path / "model.bin").rename(tmp_path / "stories.bin")
    with pytest.raises(UserError, match=r"stories\.bin has no tokenizer: there is no .*tokenizer\.bin"):
        import_model(str(foreign), tmp_path / "run")
    written(processor, tmp_path / "tokenizer.bin")
    record = import_model(str(foreign), tmp_path / "run")
    assert "read in a fresh process" in record["proof"]
    run = load(tmp_path / "run")
    assert run.tokenizer.fingerprint == pieces.fingerprint
    assert torch.equal(run.model.embedding.weight.cpu(), source.model.embedding.weight)  # each id is the model's own
    run.export(tmp_path / "out", to="llama2c")
    assert (tmp_path / "out" / "model.bin").read_bytes() == foreign.read_bytes()
    texts = [read_texts(folder / "tokenizer.bin") for folder in (tmp_path, tmp_path / "out")]
    assert texts[0][3:] == texts[1][3:]
    (tmp_path / "tokenizer.bin").rename(tmp_path / "named.bin")
    import_model(str(foreign), tmp_path / "again", tokenizer=str(tmp_path / "named.bin"))
    assert load(tmp_path / "again").tokenizer.fingerprint == pieces.fingerprint


def test_run_c_itself_tells_the_same_story(pieces, tmp_path, run_c):
    source = source_of(ModelConfig(**{**SHAPE, "tied": False}), pieces, seed=2)
    odd = [n for n, text in enumerate(pieces.token_bytes) if n < 259 or not text.isascii()]
    assert source.model.head is not None
    with torch.no_grad():
        source.model.head.weight[odd] = 0  # it does not print every byte
    TARGETS["llama2c"].write(source, tmp_path, "f32")
    prompt = "Lily saw a \u4f60, 1,234 of them"
    left = 50 - len(pieces.encode(prompt))
    told = Engine(source.model, pieces).generate([prompt], Sampling(temperature=0, max_new_tokens=left))[0].text
    files = [str(tmp_path / "model.bin"), "-z", str(tmp_path / "tokenizer.bin")]
    words = [*files, "-t", "0", "-n", "50", "-i", prompt]
    printed = subprocess.run([str(run_c), *words], capture_output=True, check=True).stdout
    assert printed.decode().removesuffix("\n") == told.replace("\u4f60", "")


def read_texts(path: Path) -> list[bytes]:
    data, place, found = path.read_bytes(), 4, []
    while place < len(data):
        length = struct.unpack_from("<i", data, place + 4)[0]
        found.append(data[place + 8 : place + 8 + length])
        place += 8 + length
    return found


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[:-3], "or another model's: piece 419 of 420 is cut off, no text, or longer than 1,000"),
        (lambda data: data[:9], "piece 0 of 420 is cut off"),
        (lambda data: data[:8] + struct.pack("<i", -4) + data[12:], "piece 0 of 420 is cut off"),
        (lambda data: data.replace(b"<unk>", b"<\xff\xff\xff>"), "piece 0 of 420 is cut off, no text"),
        (lambda data: data + bytes(9), "holds more than the 420 pieces of the model; it is another model's"),
        (lambda data: data.replace(b"<0x00>", b"<zero>"), "has not the 256 single bytes <0x00> to <0xFF>"),
    ],
)
def test_a_tokenizer_bin_that_is_none_is_named(change, words, processor, tmp_path):
    path = written(processor, tmp_path / "tokenizer.bin")
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(UserError, match=words):
        read_pieces(path, SIZE)


@given(data=st.binary(max_size=200), size=st.integers(0, 30))
def test_any_other_bytes_are_refused_in_words(data, size, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any.bin"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"any\.bin (is not SentencePiece's|holds more|has not)"):
        read_pieces(path, size)


# --- llama.cpp -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def opened(pieces: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Source, Any]:
    """A model with such a tokenizer, two ids to spare, and llama.cpp with its file."""
    llama_cpp = pytest.importorskip("llama_cpp", reason="opening GGUF needs llama-cpp-python (the extra gguf)")
    source = source_of(ModelConfig(**{**SHAPE, "vocab_size": SIZE + 2, "tied": False}), pieces, seed=2)
    assert source.model.head is not None
    with torch.no_grad():
        source.model.head.weight[[*range(3), SIZE, SIZE + 1]] = 0  # seldom the likeliest, as after training
    folder = tmp_path_factory.mktemp("opened") / "out"
    record = export_model(source, "gguf", folder)
    assert 0 < record["largest_difference"] < record["bound"]
    f32 = llama_cpp.GGML_TYPE_F32
    return source, llama_cpp.Llama(str(folder / "model.gguf"), n_ctx=0, verbose=False, type_k=f32, type_v=f32)


@given(text=TEXTS)
@settings(max_examples=300)
def test_llama_cpp_cuts_text_into_the_same_pieces(text, opened):
    source, llama = opened
    assert llama.tokenize(text.encode(), add_bos=False, special=False) == source.tokenizer.encode(text)


def test_llama_cpp_tells_the_same_story(opened):
    source, llama = opened
    ids = llama.tokenize(b"Once upon a time")
    assert ids == [1, *source.tokenizer.encode("Once upon a time")]
    told = Engine(source.model, source.tokenizer).generate(
        ["Once upon a time"], Sampling(temperature=0, max_new_tokens=30)
    )[0]
    theirs = list(itertools.islice(llama.generate(ids, temp=0.0), 30))
    assert source.tokenizer.decode(ids + theirs) == told.text
    assert len(set(theirs)) > 5
    assert llama.detokenize(ids).strip() == b"Once upon a time"
