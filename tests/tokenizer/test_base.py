from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from talewright.config import EOT
from talewright.errors import UserError
from talewright.tokenizer import Tokenizer
from tests.tokenizer.cases import story_texts


@given(text=story_texts())
def test_property_6_decode_of_encode_is_the_text(tokenizer: Tokenizer, text: str):
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(texts=st.lists(story_texts(), max_size=5))
def test_a_batch_gives_what_its_texts_give_one_by_one(tokenizer: Tokenizer, texts: list[str]):
    ids = tokenizer.encode_batch(texts)
    assert ids == [tokenizer.encode(text) for text in texts]
    assert tokenizer.decode_batch(ids) == texts


@given(text=story_texts())
def test_byte_lengths_of_the_ids_sum_to_the_bytes_of_the_text(tokenizer: Tokenizer, text: str):
    ids = tokenizer.encode(text)
    assert tokenizer.byte_lengths[ids].sum() == len(text.encode())
    assert b"".join(tokenizer.token_bytes[i] for i in ids) == text.encode()


@given(data=st.data())
def test_decode_equals_the_librarys_on_any_ids(tokenizer: Tokenizer, data: st.DataObject):
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1)))
    library = tokenizer._backend
    assert tokenizer.decode(ids) == tokenizer.decode(np.array(ids, dtype=np.int64)) == library.decode(ids)


def test_the_end_of_text_spelled_in_a_story_ends_nothing(tokenizer: Tokenizer, tmp_path: Path):
    story = f"A fox.{EOT} And {EOT}{EOT}"
    tokenizer.save(tmp_path)
    for same in (tokenizer, Tokenizer.load(tmp_path), pickle.loads(pickle.dumps(tokenizer))):
        ids = same.encode(story)
        assert same.eos_id not in ids
        assert same.decode(ids) == story
        assert same.encode_batch([EOT, story])[1] == ids


def test_the_end_of_text_is_omitted(tokenizer: Tokenizer):
    ids = tokenizer.encode("A fox.")
    assert tokenizer.decode([tokenizer.eos_id, *ids, tokenizer.eos_id]) == "A fox."
    assert tokenizer.token_bytes[tokenizer.eos_id] == b""
    assert tokenizer.byte_lengths[tokenizer.eos_id] == 0


def test_every_id_has_its_bytes(tokenizer: Tokenizer):
    assert len(tokenizer.token_bytes) == tokenizer.vocab_size == len(tokenizer.byte_lengths)
    assert tokenizer.byte_lengths.dtype == np.int32
    assert [n for n, token in enumerate(tokenizer.token_bytes) if not token] == [tokenizer.eos_id]
    assert len(set(tokenizer.token_bytes)) == tokenizer.vocab_size
    assert {bytes([n]) for n in range(256)} <= set(tokenizer.token_bytes)


def test_bytes_that_are_no_text_are_shown_as_replacement_characters(small_bpe: Tokenizer):
    bear = small_bpe.token_bytes.index(b"\xf0")
    assert small_bpe.decode([bear]) == "\ufffd"


def test_an_id_outside_the_vocabulary_is_refused(tokenizer: Tokenizer):
    for wrong in (-100, -1, tokenizer.vocab_size):
        with pytest.raises(UserError, match=f"{wrong} is not an id .* are 0 to {tokenizer.vocab_size - 1}"):
            tokenizer.decode([0, wrong])


def test_half_a_surrogate_pair_is_refused(small_bpe: Tokenizer):
    for encode in (small_bpe.encode, lambda text: small_bpe.encode_batch(["fine", text])):
        with pytest.raises(UserError, match=r"U\+DC80, half of a surrogate pair"):
            encode("a\udc80b")


def test_what_is_no_text_is_a_mistake_of_the_programmer(small_bpe: Tokenizer):
    with pytest.raises(TypeError):
        small_bpe.encode_batch([b"bytes"])  # pyright: ignore[reportArgumentType]


def test_a_saved_tokenizer_loads_the_same(tokenizer: Tokenizer, tmp_path: Path):
    tokenizer.save(tmp_path / "a")
    loaded = Tokenizer.load(tmp_path / "a")
    loaded.save(tmp_path / "b")
    assert loaded.fingerprint == tokenizer.fingerprint
    assert loaded.token_bytes == tokenizer.token_bytes
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["merges.txt", "tokenizer.json", "tokenizer_config.json", "vocab.json"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_fingerprint_depends_on_the_tokenizer_and_not_on_the_layout_of_the_file(
    small_bpe: Tokenizer, tmp_path: Path
):
    data = json.loads(small_bpe._json)
    respaced = json.dumps(dict(reversed(data.items())), indent=3)
    assert Tokenizer(respaced).fingerprint == small_bpe.fingerprint
    data["model"]["merges"].pop()
    assert Tokenizer(json.dumps(data)).fingerprint != small_bpe.fingerprint


@given(text=story_texts().filter(lambda text: EOT not in text))
def test_transformers_opens_it_and_gives_the_same_ids(theirs, text: str):
    ours, opened = theirs
    assert opened.encode(text) == ours.encode(text)
    assert opened.decode(ours.encode(text)) == text


def test_transformers_takes_the_end_of_text_for_its_special_token(theirs):
    ours, opened = theirs
    assert opened.eos_token_id == opened.bos_token_id == opened.pad_token_id == ours.eos_id
    assert len(opened) == ours.vocab_size
    assert opened.encode(f"A fox.{EOT}") == [*ours.encode("A fox."), ours.eos_id]
    assert opened.decode([*ours.encode("A fox."), ours.eos_id], skip_special_tokens=True) == "A fox."


@pytest.fixture(scope="module")
def theirs(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory):
    """A tokenizer, and the same one as transformers opens it."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    folder = tmp_path_factory.mktemp("theirs")
    tokenizer.save(folder)
    return tokenizer, transformers.AutoTokenizer.from_pretrained(folder)


def test_truncation_and_padding_of_a_foreign_file_are_left_out(small_bpe: Tokenizer, tmp_path: Path):
    library = tokenizers.Tokenizer.from_str(small_bpe._json)
    library.enable_truncation(3)
    library.enable_padding(length=10)
    library.save(str(tmp_path / "tokenizer.json"))
    text = "the little fox found a river"
    assert Tokenizer.load(tmp_path).encode(text) == small_bpe.encode(text)


def _changed(small_bpe: Tokenizer, **changes: object) -> str:
    return json.dumps(json.loads(small_bpe._json) | changes)


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"no tokenizer\.json in .*nowhere"):
        Tokenizer.load(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"model": 3}', '"\\ud800"', '{"a": "\\ud800"}'])
def test_a_file_that_is_no_tokenizer_is_named(tmp_path: Path, text: str):
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(UserError, match=r"tokenizer\.json: the tokenizer "):
        Tokenizer.load(tmp_path)


def test_a_file_that_is_no_text_is_named(tmp_path: Path):
    (tmp_path / "tokenizer.json").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"tokenizer\.json cannot be read"):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"normalizer": {"type": "Lowercase"}},
        {"normalizer": {"type": "NFC"}},
        {"normalizer": {"type": "NFKC"}},
        {"normalizer": {"type": "Strip", "strip_left": True, "strip_right": True}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}},
        {"pre_tokenizer": {"type": "WhitespaceSplit"}},
        {"model": {"type": "WordLevel", "vocab": {EOT: 0, "a": 1}, "unk_token": "a"}},
        {"added_tokens": []},
    ],
    ids=str,
)
def test_a_tokenizer_that_would_lose_something_is_refused(small_bpe: Tokenizer, changes: dict[str, object]):
    with pytest.raises(UserError, match=r"the tokenizer (is not a lossless|has no)"):
        Tokenizer(_changed(small_bpe, **changes))


def test_a_tokenizer_without_some_byte_is_refused(small_bpe: Tokenizer):
    model = json.loads(small_bpe._json)["model"]
    del model["vocab"]["\u0104"]  # byte-level vocabularies spell byte n below 0x21 as U+0100 + n
    with pytest.raises(UserError, match="no token for the byte 0x04"):
        Tokenizer(_changed(small_bpe, model=model))


def test_a_folder_that_cannot_be_written_is_named(small_bpe: Tokenizer, tmp_path: Path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(UserError, match=r"cannot be saved in .*file"):
        small_bpe.save(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_encodes_without_waiting_or_warning(small_bpe: Tokenizer, tmp_path: Path):
    small_bpe.save(tmp_path)
    program = f"""
import os
from pathlib import Path
from talewright.tokenizer import Tokenizer
tokenizer = Tokenizer.load(Path({str(tmp_path)!r}))
texts = ["the little fox"] * 1000
parents = tokenizer.encode_batch(texts)
child = os.fork()
if child == 0:
    os._exit(0 if tokenizer.encode_batch(texts) == parents else 3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    environment = {key: value for key, value in os.environ.items() if key != "TOKENIZERS_PARALLELISM"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("0\n", "")
