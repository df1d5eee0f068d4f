"""What the page's export writes and fetches: tables in 8 bits, and onnxruntime-web known by its hash."""

from __future__ import annotations

import base64
import hashlib
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from talewright.cli import main
from talewright.errors import UserError
from talewright.export import TARGETS, export_model
from talewright.export.web import GRAPHS, runtime
from talewright.export.web.quantized import BLOCK, in_blocks, write_quantized

TABLES = arrays(np.float32, array_shapes(min_dims=1, max_dims=3, max_side=40), elements=st.floats(-9, 9, width=32))


@given(table=TABLES)
def test_a_value_in_8_bits_is_off_by_half_a_step_of_its_block_at_most(table):
    steps, scales = in_blocks(table)
    assert (steps.dtype, scales.dtype) == (np.int8, np.float32)
    assert steps.size < table.size + BLOCK
    back = (steps * scales).reshape(-1)
    values = np.pad(table.reshape(-1), (0, steps.size - table.size)).reshape(-1, BLOCK)
    off = np.abs(back.reshape(-1, BLOCK) - values)
    assert (off <= 0.5001 * np.abs(values).max(-1, keepdims=True) / 127 + 1e-36).all()  # less is no float32 any more


@pytest.mark.slow
def test_a_graph_in_8_bits_computes_nearly_the_same_in_a_third_of_the_size(make_source, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="running ONNX needs onnxruntime (the extra onnx)")
    pytest.importorskip("onnxscript", reason="writing ONNX needs onnxscript (the extra onnx)")
    from talewright.export.onnx import write_graph
    from talewright.export.readers.onnx import reader

    source = make_source(d_model=64, d_ff=200, n_layers=2)
    whole, small = tmp_path / "f32.onnx", tmp_path / "q8.onnx"
    write_graph(source.model, whole)
    write_quantized(whole, small)
    ids = np.arange(20)
    exact, rounded = reader(str(whole))(ids), reader(str(small))(ids)
    assert 1e-4 < np.abs(exact - rounded).max() / np.abs(exact).max() < 0.05
    weights = sum(tensor.numel() for tensor in source.model.parameters())
    assert small.stat().st_size < 1.2 * weights + 60_000
    assert whole.stat().st_size > 4 * weights
    names = [given.name for given in onnxruntime.InferenceSession(str(small)).get_inputs()]
    assert names == [given.name for given in onnxruntime.InferenceSession(str(whole)).get_inputs()]


@pytest.mark.slow
def test_each_precision_has_its_own_proof(make_source, tmp_path, unproven, monkeypatch):
    pytest.importorskip("onnxscript", reason="writing ONNX needs onnxscript (the extra onnx)")
    monkeypatch.setattr("talewright.export.web.write_runtime", _write_nothing)
    proven: list[tuple[str, float]] = []

    def prove(model, client, place, stories, share):
        proven.append((place.name, share))
        assert place.is_file()
        return _Proof()

    monkeypatch.setattr("talewright.export.prove", prove)
    for dtype, files in (("both", ["q8.onnx", "f32.onnx"]), ("q8", ["q8.onnx"]), ("f32", ["f32.onnx"])):
        proven.clear()
        export_model(make_source(), "web", tmp_path / dtype, dtype=dtype)
        assert [name for name, _ in proven] == files
        assert sorted(files) == sorted(path.name for path in (tmp_path / dtype / "model").glob("*.onnx"))
        assert all(share == TARGETS["web"].bounds[Path(name).stem] for name, share in proven)
    assert set(GRAPHS) == {"q8", "f32"}


class _Proof:
    difference, bound, words = 0.0, 1.0, "the same"


def _write_nothing(folder: Path) -> None:
    folder.mkdir()
    (folder / "ort.wasm").write_bytes(b"")


def test_a_package_that_is_another_is_refused_and_not_kept(tmp_path):
    other = tmp_path / "other.tgz"
    other.write_bytes(b"something else")
    with pytest.raises(UserError, match=r"other\.tgz is not the onnxruntime-web-.*its SHA-512 is another"):
        runtime.keep_runtime(other)
    with pytest.raises(UserError, match=r"absent\.tgz cannot be read: No such file"):
        runtime.keep_runtime(tmp_path / "absent.tgz")
    assert not (tmp_path / "cache").exists()


def test_a_damaged_package_in_the_cache_is_fetched_anew_and_a_whole_one_is_not(tmp_path, monkeypatch):
    kept = tmp_path / "cache" / "onnxruntime-web" / runtime.TARBALL
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"half")
    monkeypatch.setattr(runtime, "INTEGRITY", base64.b64encode(hashlib.sha512(b"whole").digest()).decode())
    fetched = []

    def fetch(folder):
        fetched.append(folder)
        (folder / runtime.TARBALL).write_bytes(b"whole")
        return folder / runtime.TARBALL

    monkeypatch.setattr(runtime, "_fetched", fetch)
    for _ in range(2):
        assert runtime.runtime_package().read_bytes() == b"whole"
    assert len(fetched) == 1


def test_without_npm_or_where_it_fails_the_other_way_is_named(tmp_path, monkeypatch):
    def failing(words, **given):
        return subprocess.CompletedProcess(words, 1, "", "npm error code ENOTFOUND\nnpm error network no such host\n")

    monkeypatch.setattr(runtime.shutil, "which", lambda name, path=None: "/usr/bin/npm")
    monkeypatch.setattr(runtime.subprocess, "run", failing)
    with pytest.raises(UserError, match=r"npm could not fetch .*ENOTFOUND.*--runtime FILE"):
        runtime.runtime_package()
    monkeypatch.setattr(runtime.shutil, "which", lambda name, path=None: None)
    with pytest.raises(UserError, match=r"there is no npm here: install Node\.js.*--runtime FILE"):
        runtime.runtime_package()


def test_runtime_is_for_the_page_alone(tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["export", "run", "--to", "hf", "out", "--runtime", "some.tgz"])
    assert exit_.value.code == 2
    assert "--runtime is for --to web, and this export is --to hf" in capsys.readouterr().err
