from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given

from talewright.config import EOT
from talewright.errors import UserError
from talewright.tokenizer import Tokenizer
from talewright.tokenizer.gpt2 import load_gpt2
from tests.tokenizer.cases import story_texts

AZURE = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/"


@pytest.fixture(scope="module")
def tiktoken_cache(gpt2_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GPT-2's files where tiktoken would have put them."""
    folder = tmp_path_factory.mktemp("tiktoken")
    for name, remote in (("vocab.json", "encoder.json"), ("merges.txt", "vocab.bpe")):
        shutil.copy(gpt2_folder / name, folder / hashlib.sha1((AZURE + remote).encode()).hexdigest())
    return folder


@pytest.fixture(scope="module")
def encoding(tiktoken_cache: Path):
    """tiktoken's GPT-2."""
    tiktoken = pytest.importorskip("tiktoken", reason="tiktoken is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(tiktoken_cache))
        return tiktoken.get_encoding("gpt2")


def test_published_ids(gpt2: Tokenizer):
    assert gpt2.encode("Hello world. Once upon a time") == [15496, 995, 13, 4874, 2402, 257, 640]
    assert (gpt2.vocab_size, gpt2.eos_id) == (50257, 50256)


def test_ids_of_real_stories_equal_tiktokens(gpt2: Tokenizer, encoding, real_stories: list[str]):
    assert gpt2.encode_batch(real_stories) == encoding.encode_ordinary_batch(real_stories)


@given(text=story_texts())
def test_ids_of_drawn_text_equal_tiktokens(gpt2: Tokenizer, encoding, text: str):
    assert gpt2.encode(text) == encoding.encode_ordinary(text)


def test_byte_values_equal_tiktokens(gpt2: Tokenizer, encoding):
    assert gpt2.token_bytes[:-1] == [encoding.decode_single_token_bytes(i) for i in range(50256)]


def test_a_folder_with_tokenizer_json_alone_does_as_well(small_folder: Path, tmp_path: Path):
    bpe = load_gpt2(str(small_folder))
    Tokenizer.from_merges(bpe).save(tmp_path)
    (tmp_path / "merges.txt").unlink()
    assert load_gpt2(str(tmp_path)) == bpe


def test_merges_written_the_old_way_are_read(small_folder: Path, tmp_path: Path):
    bpe = load_gpt2(str(small_folder))
    Tokenizer.from_merges(bpe).save(tmp_path / "new")
    data = json.loads((tmp_path / "new" / "tokenizer.json").read_text(encoding="utf-8"))
    data["model"]["merges"] = [" ".join(pair) for pair in data["model"]["merges"]]
    (tmp_path / "tokenizer.json").write_text(json.dumps(data))
    assert load_gpt2(str(tmp_path)) == bpe


def test_merges_with_the_line_ends_of_windows_are_read(small_folder: Path, tmp_path: Path):
    shutil.copy(small_folder / "vocab.json", tmp_path)
    text = (small_folder / "merges.txt").read_text(encoding="utf-8")
    (tmp_path / "merges.txt").write_text(text, encoding="utf-8", newline="\r\n")
    assert load_gpt2(str(tmp_path)) == load_gpt2(str(small_folder))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("merges.txt", "#version: 0.2\na b c\n", r"merges\.txt line 2 is 'a b c'; a merge is two tokens"),
        ("merges.txt", "q zzzz\n", "merges do not fit its vocabulary"),
        ("vocab.json", "[]", r"vocab\.json is not a vocabulary"),
        ("vocab.json", '{"a": 1}', r"vocab\.json is not a vocabulary"),
        ("vocab.json", '{"a": [0]}', r"vocab\.json is not a vocabulary"),
        ("vocab.json", "{", r"vocab\.json is not JSON"),
        ("vocab.json", '{"a": 0}', "merges do not fit its vocabulary"),
    ],
)
def test_files_that_are_odd_are_named(small_folder: Path, tmp_path: Path, name: str, text: str, message: str):
    for file in ("vocab.json", "merges.txt"):
        shutil.copy(small_folder / file, tmp_path)
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        Tokenizer.from_merges(load_gpt2(str(tmp_path)))


def test_a_vocabulary_without_an_end_of_text_gets_one(small_folder: Path, tmp_path: Path):
    vocab = load_gpt2(str(small_folder)).vocab
    del vocab[EOT]
    (tmp_path / "vocab.json").write_text(json.dumps(vocab))
    shutil.copy(small_folder / "merges.txt", tmp_path)
    assert Tokenizer.from_merges(load_gpt2(str(tmp_path))).eos_id == len(vocab)


@pytest.mark.parametrize("source", ["./nowhere", "/no/such/folder", "~/no-such-folder-of-anyone", "a/b/c"])
def test_a_path_that_leads_nowhere_is_not_looked_for_on_the_hub(source: str):
    with pytest.raises(UserError, match=r"is not a folder; name one with vocab\.json and merges\.txt"):
        load_gpt2(source)


def test_a_file_and_an_empty_folder_are_no_source(tmp_path: Path):
    with pytest.raises(UserError, match="holds neither"):
        load_gpt2(str(tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is not a folder"):
        load_gpt2(str(tmp_path / "file"))


# --- the hub and tiktoken's cache: each in a process of its own, since the hub reads its settings once ---------------


def _load_in_a_process(home: Path, source: str = "openai-community/gpt2", **settings: str) -> str:
    """Number of tokens and merges found, or the error, with these settings and empty caches."""
    program = f"""
from talewright.errors import UserError
from talewright.tokenizer.gpt2 import load_gpt2
try:
    print(*map(len, load_gpt2({source!r})))
except UserError as error:
    print(error)
"""
    caches = {"HF_HOME": str(home / "hub"), "TIKTOKEN_CACHE_DIR": str(home / "tiktoken"), **settings}
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGINGFACE_", "TIKTOKEN_"))}
    done = subprocess.run(
        [sys.executable, "-c", program], env=kept | caches, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def test_tiktokens_cache_is_enough_without_a_network(tiktoken_cache: Path, tmp_path: Path):
    found = _load_in_a_process(tmp_path, HF_HUB_OFFLINE="1", TIKTOKEN_CACHE_DIR=str(tiktoken_cache))
    assert found == "50257 50000"


def test_a_damaged_file_in_tiktokens_cache_is_not_taken(tiktoken_cache: Path, tmp_path: Path):
    damaged = tmp_path / "damaged"
    shutil.copytree(tiktoken_cache, damaged)
    for file in damaged.iterdir():
        file.write_bytes(file.read_bytes()[:-1])
    found = _load_in_a_process(tmp_path, HF_HUB_OFFLINE="1", TIKTOKEN_CACHE_DIR=str(damaged))
    assert "is not a folder here, and not available" in found


def test_tiktokens_cache_does_not_stand_in_for_another_model(tiktoken_cache: Path, tmp_path: Path):
    found = _load_in_a_process(tmp_path, "someone/else", HF_HUB_OFFLINE="1", TIKTOKEN_CACHE_DIR=str(tiktoken_cache))
    assert found.startswith("tokenizer.source someone/else is not a folder here")


def test_available_nowhere_is_one_sentence_and_soon(tmp_path: Path):
    start = time.perf_counter()
    found = _load_in_a_process(tmp_path, HF_ENDPOINT="http://127.0.0.1:9")  # nothing listens there
    assert time.perf_counter() - start < 15
    assert found.count("\n") == 0
    assert "http://127.0.0.1:9" in found
    assert "--tokenizer.source FOLDER" in found


class _Hub(BaseHTTPRequestHandler):
    """Serves the files of a folder as OWNER/NAME, as the hub does."""

    def __init__(self, folder: Path, *arguments) -> None:
        self.folder = folder
        super().__init__(*arguments)

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self.wfile.write(self._answer())

    def _answer(self) -> bytes:
        owner_name, _, name = self.path.lstrip("/").partition("/resolve/main/")
        file = self.folder / name
        absent = None if owner_name == "owner/name" else "RepoNotFound"
        if not absent and (not name or not file.is_file()):
            absent = "EntryNotFound"
        body = b"" if absent else file.read_bytes()
        self.send_response(404 if absent else 200)
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(len(body)))
        if absent:
            self.send_header("X-Error-Code", absent)
        else:
            self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
        self.end_headers()
        return body

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Address of a small hub, and the folder whose files it serves."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Hub, folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()


def test_the_hub_gives_vocab_and_merges_and_its_cache_keeps_them(hub, small_folder: Path, tmp_path: Path):
    address, folder = hub
    shutil.copytree(small_folder, folder, dirs_exist_ok=True)
    expected = " ".join(str(len(part)) for part in load_gpt2(str(small_folder)))
    assert _load_in_a_process(tmp_path, "owner/name", HF_ENDPOINT=address) == expected
    assert _load_in_a_process(tmp_path, "owner/name", HF_HUB_OFFLINE="1") == expected


def test_the_hub_gives_tokenizer_json_if_that_is_all_it_has(hub, small_bpe: Tokenizer, tmp_path: Path):
    address, folder = hub
    small_bpe.save(tmp_path / "saved")
    shutil.copy(tmp_path / "saved" / "tokenizer.json", folder)
    expected = " ".join(str(len(part)) for part in small_bpe.merges())
    assert _load_in_a_process(tmp_path, "owner/name", HF_ENDPOINT=address) == expected


def test_a_model_without_a_tokenizer_and_a_missing_model_differ(hub, tmp_path: Path):
    address, _ = hub
    assert "holds neither" in _load_in_a_process(tmp_path, "owner/name", HF_ENDPOINT=address)
    assert "no such model" in _load_in_a_process(tmp_path, "owner/other", HF_ENDPOINT=address)
