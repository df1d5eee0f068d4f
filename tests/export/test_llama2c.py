"""llama2.c's files against its format: the bytes, the ids, and how run.c tokenizes."""

from __future__ import annotations

import dataclasses
import json
import pickle
import struct
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
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
from talewright.export.importers.llama2c import llama2c_file
from talewright.export.llama2c import new_ids, run_c_tokens
from talewright.export.readers.llama2c import reader
from talewright.generate.engine import Engine
from talewright.generate.sampling import Sampling
from talewright.tokenizer import Tokenizer
from talewright.tokenizer.bpe import train_bpe
from tests.export.sources import source_of
from tests.model.shapes import SEEDS, model_configs, token_batch

LLAMA = {"norm": "rmsnorm", "norm_placement": "pre", "positions": "rotary", "activation": "swiglu", "qk_norm": False}
SUPPORTED = {**LLAMA, "bias": (), "norm_eps": 1e-5, "rotary_base": 10000.0, "attention": ("global",)}
SMALL = {"n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "d_model": 32, "d_ff": 48, "context_length": 64}


@given(data=st.data(), seed=SEEDS)
@settings(max_examples=25, deadline=None)
def test_a_reader_of_the_format_computes_the_same_on_drawn_shapes(data, seed, tokenizer, tmp_path_factory):
    source = source_of(data.draw(model_configs(**SUPPORTED)), tokenizer, seed)
    folder = tmp_path_factory.mktemp("llama2c")
    TARGETS["llama2c"].write(source, folder, "f32")
    tokens = token_batch(source.recipe.model, seed, rows=1)
    ours = source.model(tokens)[0].detach().numpy()
    np.testing.assert_allclose(reader(str(folder))(tokens[0].numpy()), ours, atol=1e-4 * max(1, np.abs(ours).max()))


def test_the_file_has_the_layout_that_run_c_expects(tokenizer, tmp_path):
    source = source_of(ModelConfig(**{**SUPPORTED, **SMALL}, tied=False, vocab_size=310), tokenizer)
    export_model(source, "llama2c", tmp_path / "out")
    whole = (tmp_path / "out" / "model.bin").read_bytes()
    assert struct.unpack("<7i", whole[:28]) == (32, 48, 2, 4, 2, -300, 64)
    layer = 32 + 32 * 32 + 2 * 16 * 32 + 32 * 32 + 32 + 3 * 48 * 32  # norm, wq, wk and wv, wo, norm, w1 w2 w3
    assert len(whole) == 28 + 4 * (300 * 32 + 2 * layer + 32 + 64 * 8 + 300 * 32)  # 64 x 8: the table of rotations
    turns = np.frombuffer(whole, "<f4", 2 * 64 * 4, len(whole) - 4 * (300 * 32 + 64 * 8)).reshape(2, 64, 4)
    angles = np.arange(64)[:, None] * 10000.0 ** (-np.arange(4) / 4)
    np.testing.assert_allclose(turns, [np.cos(angles), np.sin(angles)], atol=1e-5)
    ids = json.loads((tmp_path / "out" / "ids.json").read_text())
    assert sorted(ids) == list(range(300))
    assert ids[tokenizer.eos_id] == 1
    rows = np.frombuffer(whole, "<f4", 300 * 32, 28).reshape(300, 32)
    np.testing.assert_array_equal(rows[ids], source.model.embedding.weight.detach()[:300])


class RunC:
    """run.c's tokenizer, written from the format: the pair of pieces with the best score is joined first."""

    def __init__(self, path: Path, vocab_size: int) -> None:
        data, offset = path.read_bytes(), 4
        self.longest = struct.unpack("<i", data[:4])[0]
        self.pieces, self.scores = [], []
        for _ in range(vocab_size):
            score, length = struct.unpack_from("<fi", data, offset)
            self.pieces.append(data[offset + 8 : offset + 8 + length])
            self.scores.append(score)
            offset += 8 + length
        assert offset == len(data)
        self.numbers = {piece: number for number, piece in enumerate(self.pieces)}

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without the space that run.c puts before it."""
        ids = []
        for character in text:
            piece = character.encode()
            ids += [self.numbers[piece]] if piece in self.numbers else [byte + 3 for byte in piece]
        while True:
            joined = [self.numbers.get(self.pieces[a] + self.pieces[b]) for a, b in pairwise(ids)]
            known = [(-self.scores[number], at) for at, number in enumerate(joined) if number is not None]
            if not known:
                return ids
            at = min(known)[1]
            ids[at : at + 2] = [joined[at]]

    def decode(self, ids: list[int]) -> bytes:
        return b"".join(self.pieces[number] for number in ids)


def test_run_c_tokenizes_nearly_all_words_identically(tmp_path):
    """Not all: it joins letters across word boundaries, and pairs that the BPE did not learn."""
    stories = list(bundled.stories(60))
    tokenizer = train_bpe(stories[:50], 600)
    source = source_of(ModelConfig(**{**SUPPORTED, **SMALL}, vocab_size=610), tokenizer)
    TARGETS["llama2c"].write(source, tmp_path, "f32")
    theirs, ids = RunC(tmp_path / "tokenizer.bin", 610), json.loads((tmp_path / "ids.json").read_text())
    words = [word for story in stories for word in story.split(" ")]
    same = 0
    for word in words:
        encoded = theirs.encode(" " + word)
        assert theirs.decode(encoded).decode() == " " + word
        same += encoded == [ids[number] for number in tokenizer.encode(" " + word)]
    assert same > 0.98 * len(words)
    assert theirs.encode("ž\x07") == [3 + byte for byte in "ž\x07".encode()]  # bytes without a merge
    assert theirs.longest == max(map(len, theirs.pieces))


PROMPT = " Once upon a time, Lily"


def write_varied_model(tokenizer: Tokenizer, folder: Path, **shape: Any) -> str:
    """Write the first model whose story varies, and return its story of 30 tokens, all ASCII words: programs print
    partial characters in different ways.
    """
    config = ModelConfig(**{**SUPPORTED, **SMALL, **shape}, tied=False, vocab_size=310)
    plain = [number for number, text in enumerate(tokenizer.token_bytes) if text.strip().isalpha() and text.isascii()]
    left = Sampling(temperature=0, max_new_tokens=30 - len(tokenizer.encode(PROMPT)))
    for seed in range(20):
        source = source_of(config, tokenizer, seed)
        assert source.model.head is not None
        with torch.no_grad():
            source.model.head.weight[list(set(range(310)) - set(plain))] = 0
        story = Engine(source.model, tokenizer).generate([PROMPT], left)[0].text
        if len(set(tokenizer.encode(story.removeprefix(PROMPT)))) > 5:
            TARGETS["llama2c"].write(source, folder, "f32")
            return story.removeprefix(" ")
    raise AssertionError("all models repeat the same few tokens")


def test_an_independent_port_of_run_c_generates_our_story(tokenizer, tmp_path, monkeypatch, capsys):
    """llama2.py (github.com/tairov/llama2.py), which has no grouped heads, reads both files as run.c does."""
    llama2 = pytest.importorskip("llama2_py", reason="llama2-py is not installed (the extra dev)")
    story = write_varied_model(tokenizer, tmp_path, n_kv_heads=4)
    monkeypatch.chdir(tmp_path)
    llama2.run({"checkpoint": "model.bin", "temperature": 0.0, "steps": 30, "prompt": PROMPT})
    printed = capsys.readouterr().out.removeprefix("<s>\n").rpartition("\nachieved tok/s")[0]
    assert printed.removeprefix(" ") == story  # unlike run.c, it does not remove that space


@pytest.mark.parametrize("kv_heads", [4, 2])
def test_run_c_itself_generates_our_story(kv_heads, tokenizer, tmp_path, run_c):
    story = write_varied_model(tokenizer, tmp_path, n_kv_heads=kv_heads)
    files = [str(tmp_path / "model.bin"), "-z", str(tmp_path / "tokenizer.bin")]
    arguments = [*files, "-t", "0", "-n", "30", "-i", PROMPT.removeprefix(" ")]  # it adds the space itself
    printed = subprocess.run([str(run_c), *arguments], capture_output=True, check=True).stdout
    assert printed.decode().removesuffix("\n") == story


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"bias": ("mlp",)}, r"its model\.bias is \('mlp',\), not \(\)"),
        ({"norm_eps": 1e-6}, r"its model\.norm_eps is 1e-06, not 1e-05"),
        ({"rotary_base": 500.0}, r"its model\.rotary_base is 500\.0"),
        ({"qk_norm": True}, r"its model\.qk_norm is True, not False"),
        ({"attention": ("local",), "window": 8}, "have local attention"),
        ({"norm": "layernorm"}, r"its model\.norm is layernorm, not rmsnorm"),
    ],
)
def test_what_run_c_cannot_hold_is_refused_with_the_reason(change, reason, tokenizer, tmp_path):
    source = source_of(ModelConfig(**{**SUPPORTED, **SMALL, **change}), tokenizer)
    with pytest.raises(UserError, match=reason):
        export_model(source, "llama2c", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_vocabulary_that_is_too_small_for_run_c_is_refused():
    assert "below the 259 tokens" in str(
        TARGETS["llama2c"].unsupported_reason(ModelConfig(**{**SUPPORTED, **SMALL}, vocab_size=258))
    )
    assert TARGETS["llama2c"].unsupported_reason(ModelConfig(**{**SUPPORTED, **SMALL}, vocab_size=259)) is None


def test_a_scaled_embedding_and_unscaled_scores_are_folded(tokenizer, tmp_path):
    shape = {**SUPPORTED, **SMALL, "embedding_scaled": True, "attention_scaled": False}
    source = source_of(ModelConfig(**shape), tokenizer)
    record = export_model(source, "llama2c", tmp_path / "out")
    assert record["largest_difference"] < record["bound"]


def exported(tokenizer: Tokenizer, folder: Path, **shape: Any) -> ExportSource:
    source = source_of(ModelConfig(**{**SUPPORTED, **SMALL, "tied": False, **shape}), tokenizer)
    TARGETS["llama2c"].write(source, folder, "f32")
    return source


def test_export_and_import_give_the_same_bits(tokenizer, tmp_path):
    (tmp_path / "out").mkdir()
    source = exported(tokenizer, tmp_path / "out", vocab_size=310)
    record = import_model(str(tmp_path / "out"), tmp_path / "run")
    assert "verified in a fresh process" in record["proof"]
    run = load(tmp_path / "run")
    assert dataclasses.replace(run.recipe.model, n_kv_heads=2) == source.recipe.model
    assert run.tokenizer.fingerprint == tokenizer.fingerprint
    for name, tensor in source.model.state_dict().items():
        assert torch.equal(run.model.state_dict()[name].cpu(), tensor), name


def test_a_foreign_file_is_imported_with_the_named_tokenizer(tokenizer, tmp_path):
    source = exported(tokenizer, tmp_path, vocab_size=310)
    foreign = (tmp_path / "model.bin").rename(tmp_path / "stories.bin")
    (tmp_path / "ids.json").unlink()
    with pytest.raises(UserError, match=r"tokenizer\.bin is not a SentencePiece.*piece 131 of 310.*--tokenizer"):
        import_model(str(foreign), tmp_path / "run")
    tokenizer.save(tmp_path / "named")
    import_model(str(foreign), tmp_path / "run", tokenizer=str(tmp_path / "named"))
    rows = load(tmp_path / "run").model.embedding.weight.cpu()
    assert torch.equal(
        rows[torch.tensor(new_ids(run_c_tokens(tokenizer), tokenizer.eos_id, 310))], source.model.embedding.weight
    )


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda whole: whole[:-4], "has 2,112,152 bytes; the model that its header describes has 2,112,156"),
        (lambda whole: whole + b"\0\0\0\0", "bytes; the model that its header describes has"),
        (lambda whole: whole[:20], "has 20 bytes, too few"),
        (
            lambda whole: struct.pack("<i", 33) + whole[4:],
            r"its header says: model\.n_heads is 4, which does not divide",
        ),
        (lambda whole: struct.pack("<7i", 32, 48, 0, 4, 0, 0, -1) + whole[28:], r"n_layers is 0"),
        (
            lambda whole: struct.pack("<7i", 32, 48, 2**30, 4, 2, 300, 64) + whole[28:],
            "n_layers is 1,073,741,824, above",
        ),
        (lambda whole: struct.pack("<I", 0x616B3432) + whole[4:], "a later format of llama2.c"),
        (lambda whole: b"PK\x03\x04" + whole[4:], "this file is pickled"),
    ],
)
def test_a_damaged_file_is_reported_and_nothing_is_written(change, error, tokenizer, tmp_path):
    exported(tokenizer, tmp_path)
    path = tmp_path / "model.bin"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(UserError, match=error):
        import_model(str(path), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("ids", ["[1, 2]", "{}", "[[1]]", "no", "[0, 0]", "1e999"])
def test_ids_of_another_model_are_refused(ids, tokenizer, tmp_path):
    exported(tokenizer, tmp_path)
    (tmp_path / "ids.json").write_text(ids)
    with pytest.raises(UserError, match=r"ids\.json (is not a list of integers|does not number the)"):
        import_model(str(tmp_path), tmp_path / "run")


@pytest.mark.parametrize("start", [struct.pack("<i", width) for width in (1, 128, 640, 1152, 65535)] + [b"24ka"])
def test_a_file_of_any_width_is_distinguished_from_a_pickle(start, tmp_path):
    """128 is 0x80, the first byte of a pickle, and 640 is 0x0280, its protocol 2."""
    path = tmp_path / "stories.bin"
    path.write_bytes(start + bytes(24))
    assert llama2c_file(str(path)) == path
    torch.save({"a": torch.zeros(3)}, path)
    assert llama2c_file(str(path)) is None
    path.write_bytes(pickle.dumps({"a": 1}, protocol=2))
    assert llama2c_file(str(path)) is None
