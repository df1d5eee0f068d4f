"""The hub's path, against a server of the tests' own; `datasets` and its friends as they are, in another process."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from talewright.config import DataConfig
from talewright.data import Corpus, prepare
from tests.data.cases import BPE, VOCAB, as_bytes, packed, tales, texts

from .hub import REPO, Hub, serve

TRAIN, VALID = tales(1600), tales(40, seed=1)
FILES = {
    "README.md": b"---\nlicense: cdla-sharing-1.0\n---\n# Stories\n",
    "data/train-00000-of-00002.parquet": as_bytes("parquet", TRAIN[:800]),
    "data/train-00001-of-00002.parquet": as_bytes("parquet", TRAIN[800:]),
    "data/validation-00000-of-00001.parquet": as_bytes("parquet", VALID),
    "V2-train.txt": as_bytes("txt", TRAIN),
    "V2-valid.txt.gz": packed(".gz", as_bytes("txt", VALID)),
}
SCRIPT = """
import json, sys, time
wait, time.sleep = time.sleep, lambda seconds: wait(min(seconds, 0.01))  # between the tries of a request
from talewright.config import DataConfig, TokenizerConfig
from talewright.data import prepare
for settings in json.loads(sys.argv[1]):
    try:
        print(prepare(DataConfig(**settings), TokenizerConfig(), 300, progress=False).folder)
    except ValueError as error:
        print(type(error).__name__, error)
"""
Prepare = Callable[..., list[str]]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve(dict(FILES)) as server:
        yield server


@pytest.fixture
def prepared(hub: Hub, tmp_path: Path, cache: Path) -> Prepare:
    """Prepare corpora of such settings, one after another, in a new process; gives what each printed."""

    def run(*settings: dict[str, Any], **environment: str) -> list[str]:
        own = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "TALEWRIGHT_CACHE": str(cache)}
        command = [sys.executable, "-c", SCRIPT, json.dumps(settings)]
        everything = {**os.environ, **own, **environment}
        done = subprocess.run(command, env=everything, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout.splitlines()

    return run


def test_a_dataset_and_files_of_it_give_the_stories_that_are_there(prepared: Prepare, hub: Hub, tmp_path: Path):
    dataset, files = (
        Corpus.open(Path(folder))
        for folder in prepared(
            {"source": f"hub:{REPO}", "limit": 900, "valid_limit": 30},
            {"source": f"hub:{REPO}/V2-*", "limit": 900, "valid_limit": 30},
        )
    )
    assert texts(dataset, "train") == TRAIN[:900]
    assert texts(dataset, "valid") == VALID[:30]
    assert dataset.fingerprint == files.fingerprint
    hub.requests.clear()
    assert prepared({"source": f"hub:{REPO}", "limit": 900, "valid_limit": 30}) == [str(dataset.folder)]
    assert hub.requests == []  # what is prepared needs no hub

    (tmp_path / "valid.txt").write_bytes(as_bytes("txt", VALID))
    (shared,) = prepared(
        {"source": f"hub:{REPO}", "splits": [90, 10], "limit": 500, "test": str(tmp_path / "valid.txt")}
    )
    corpus = Corpus.open(Path(shared))
    assert sorted(texts(corpus, "train", "valid")) == sorted(TRAIN[:500])  # its own validation stories are not read
    assert 20 < corpus.split("valid").n_stories < 80
    assert texts(corpus, "test") == VALID


@pytest.mark.parametrize("source", [f"hub:{REPO}", f"hub:{REPO}/V2-*"])
def test_a_stream_that_broke_off_is_never_taken_for_the_end(source: str, prepared: Prepare, hub: Hub, tmp_path: Path):
    """It fails by name; the same command continues, and downloads no file again that it has read."""
    first, second = "data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"
    hub.breaks = {second: 1000, "V2-train.txt": len(FILES["V2-train.txt"]) - 40}
    (message,) = prepared({"source": source})
    assert message.startswith("InterruptedSourceError the hub broke off within ")
    assert "; the same command continues (" in message
    before = gets(hub, first)
    hub.breaks = {}
    hub.requests.clear()
    (folder,) = prepared({"source": source})
    assert gets(hub, first) < before or not before  # it is looked at for its columns alone
    (tmp_path / "train.txt").write_bytes(FILES["V2-train.txt"])
    (tmp_path / "valid.txt").write_bytes(as_bytes("txt", VALID))
    expected = prepare(DataConfig(source=f"{tmp_path}/*.txt"), BPE, VOCAB, progress=False)
    assert Corpus.open(Path(folder)).fingerprint == expected.fingerprint
    assert texts(expected, "train", "valid") == [*TRAIN, *VALID]


def gets(hub: Hub, file: str) -> int:
    """How often a file, or a piece of it, was fetched."""
    return sum("GET" in request and file in request for request in hub.requests)


def test_what_the_hub_does_not_have_is_named(prepared: Prepare, hub: Hub):
    hub.files["no/stories-train.txt"] = b"x"
    ways = "name a local file with --data FILE, or use the bundled stories with --data bundled"
    wrong = [
        {"source": "hub:someone/Nothing"},
        {"source": f"hub:{REPO}/V3*.txt"},
        {"source": f"hub:{REPO}", "text_key": "story"},
        {"source": f"hub:{REPO}", "text_key": "id"},
        {"source": f"hub:{REPO}/no/stories-train.txt"},
        {"source": "hub:someone/../Stories"},
    ]
    found = prepared(*wrong)
    assert found[0].endswith(f"the hub has no dataset someone/Nothing, or it is private; {ways}")
    assert f"{REPO} has no file V3*.txt on the hub; it has data/train-00000-of-00002.parquet, " in found[1]
    assert found[2] == f'UserError {REPO} has no "story"; it has "id", "text". Name the right one with --text-key'
    assert found[3] == f'UserError {REPO} column "id" holds int, not text; name the right one with --text-key'
    assert "has no training stories" in found[4]
    assert "Error" in found[5]


def test_an_unreachable_hub_is_reported_with_two_alternatives(prepared: Prepare):
    ways = "name a local file with --data FILE, or use the bundled stories with --data bundled"
    source = {"source": f"hub:{REPO}"}
    for away in ({"HF_ENDPOINT": "http://127.0.0.1:9"}, {"HF_HUB_OFFLINE": "1"}):
        (message,) = prepared(source, **away)
        assert message.startswith("InterruptedSourceError the hub cannot be reached (")
        assert message.endswith(f"; {ways}")


CONFIGURATIONS = """---
configs:
- config_name: one
  data_files: one/train.parquet
- config_name: two
  data_files: two/train.parquet
---
"""


def test_a_configuration_is_named_and_its_only_text_is_read(prepared: Prepare, hub: Hub):
    hub.files.clear()
    hub.files |= {
        "README.md": CONFIGURATIONS.encode(),
        "one/train.parquet": as_bytes("parquet", TRAIN[:40]),
        "two/train.parquet": as_bytes("parquet", TRAIN[40:90], key="story"),
    }
    none, one, two, three, both, story = prepared(
        {"source": f"hub:{REPO}"},
        {"source": f"hub:{REPO}:one"},
        {"source": f"hub:{REPO}:two"},
        {"source": f"hub:{REPO}:three"},
        {"source": f"hub:{REPO}:one/README.md"},
        {"source": f"hub:{REPO}:two", "text_key": "text_en"},
    )
    advice = f"one, two; name one, as in hub:{REPO}:one"
    assert none == f"UserError {REPO} has several configurations: {advice}"
    assert three == f"UserError {REPO} has no configuration three; it has {advice}"
    assert sorted(texts(Corpus.open(Path(one)), "train", "valid")) == sorted(TRAIN[:40])
    assert sorted(texts(Corpus.open(Path(two)), "train", "valid")) == sorted(TRAIN[40:90])
    assert "names a configuration and files; write one of them" in both
    assert story == f'UserError {REPO}:two has no "text_en"; it has "id", "story". Name the right one with --text-key'


def test_a_dataset_of_texts_is_cut_into_stories_as_files_are(prepared: Prepare, hub: Hub):
    stories = [story.replace(" The end.", "\n\nThe end.") for story in TRAIN[:40]]
    hub.files.clear()
    hub.files |= {"README.md": b"", "train.txt": as_bytes("txt", stories), "test.txt": as_bytes("txt", VALID)}
    whole, lines, file = prepared(
        {"source": f"hub:{REPO}"}, {"source": f"hub:{REPO}", "format": "lines"}, {"source": f"hub:{REPO}/t*.txt"}
    )
    corpus = Corpus.open(Path(whole))
    assert sorted(texts(corpus, "train", "valid")) == sorted(stories)
    assert texts(corpus, "test") == VALID
    assert corpus.fingerprint == Corpus.open(Path(file)).fingerprint
    assert Corpus.open(Path(lines)).manifest["source"]["read"]["train"]["read"] > 80


def test_tables_of_a_dataset_are_read_as_files_are_and_structs_by_their_fields(
    prepared: Prepare, hub: Hub, tmp_path: Path
):
    stories = TRAIN[:40]
    table = pyarrow.table({"story": [None, *({"body": story, "n": 1} for story in stories)]})
    parquet = io.BytesIO()
    pyarrow.parquet.write_table(table, parquet)
    ragged = "id,text\n" + "".join(f"{n},Once, upon a time, {n}.\n" for n in range(40))
    layouts = {
        "ragged": ("train.csv", ragged.encode()),
        "struct": ("train.parquet", parquet.getvalue()),
        "list": ("train.json", json.dumps({"stories": stories}).encode()),
    }
    found = {}
    for name, (file, data) in layouts.items():
        hub.files.clear()
        hub.files |= {"README.md": b"", file: data}
        key = {"text_key": "story.body"} if name == "struct" else {}
        (found[name],) = prepared({"source": f"hub:{REPO}", **key}, HF_HOME=str(tmp_path / name))
    assert "train.csv line 2 has 4 cells, not 2" in found["ragged"]
    assert f"hf download {REPO} train.csv --repo-type dataset --local-dir ." in found["ragged"]
    for name in ("struct", "list"):
        assert sorted(texts(Corpus.open(Path(found[name])), "train", "valid")) == sorted(stories)


def test_without_its_libraries_the_hub_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match=r'the hub needs another package: pip install "talewright\[data\]"'):
        prepare(DataConfig(source=f"hub:{REPO}"), BPE, VOCAB, progress=False)


BREAKS = {
    "raise ImportError('libhdfs.so: cannot open')": "ImportError: libhdfs.so: cannot open",
    "import a_package_that_is_not_there": "ModuleNotFoundError: No module named 'a_package_that_is_not_there'",
    "raise ValueError('numpy.dtype size changed')": "ValueError: numpy.dtype size changed",
    "import datasets.gone": "ModuleNotFoundError: No module named 'datasets.gone'",
}


@pytest.mark.parametrize("program", BREAKS)
def test_a_broken_package_is_not_called_missing(program: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "__init__.py").write_text(program)
    monkeypatch.delitem(sys.modules, "datasets", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="which is installed but does not work") as error:
        prepare(DataConfig(source=f"hub:{REPO}"), BPE, VOCAB, progress=False)
    assert f"({BREAKS[program]}); install it again: pip install --force-reinstall datasets" in str(error.value)


@pytest.mark.parametrize(("package", "ending"), [("pyarrow", ".parquet"), ("zstandard", ".txt.zst")])
def test_files_say_which_package_is_missing_or_broken(
    package: str, ending: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / f"a{ending}").write_bytes(b"\x28\xb5\x2f\xfd" if package == "zstandard" else b"x")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=r'need another package: pip install "talewright\[data\]"'):
        prepare(DataConfig(source=str(tmp_path / f"a{ending}")), BPE, VOCAB, progress=False)
    monkeypatch.delitem(sys.modules, package)
    (tmp_path / f"{package}.py").write_text("raise ImportError('undefined symbol')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=f"the package {package}, which is installed but does not work"):
        prepare(DataConfig(source=str(tmp_path / f"a{ending}")), BPE, VOCAB, progress=False)


def test_a_folder_of_the_packages_name_is_no_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "datasets", ModuleType("datasets"))
    with pytest.raises(ValueError, match="the hub needs another package"):
        prepare(DataConfig(source=f"hub:{REPO}"), BPE, VOCAB, progress=False)
