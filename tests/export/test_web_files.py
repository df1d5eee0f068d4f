"""What the export of the page writes and downloads: weights in 8 bits, and onnxruntime-web, verified by its hash."""

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
from talewright.export.parity import ParityResult
from talewright.export.web import GRAPHS, runtime
from talewright.export.web.quantized import BLOCK, quantize, write_quantized

TENSORS = arrays(np.float32, array_shapes(min_dims=1, max_dims=3, max_side=40), elements=st.floats(-9, 9, width=32))


@given(tensor=TENSORS)
def test_a_value_in_8_bits_is_off_by_at_most_half_a_step_of_its_block(tensor):
    steps, scales = quantize(tensor)
    assert (steps.dtype, scales.dtype) == (np.int8, np.float32)
    assert steps.size < tensor.size + BLOCK
    restored = (steps * scales).reshape(-1)
    values = np.pad(tensor.reshape(-1), (0, steps.size - tensor.size)).reshape(-1, BLOCK)
    error = np.abs(restored.reshape(-1, BLOCK) - values)
    assert (error <= 0.5001 * np.abs(values).max(-1, keepdims=True) / 127 + 1e-36).all()  # less is not a normal float32


@pytest.mark.slow
def test_a_graph_in_8_bits_computes_nearly_the_same_in_a_third_of_the_size(make_source, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="running ONNX needs onnxruntime (the extra onnx)")
    pytest.importorskip("onnxscript", reason="writing ONNX needs onnxscript (the extra onnx)")
    from talewright.export.onnx_graph import write_graph
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
def test_each_precision_has_its_own_parity_check(make_source, tmp_path, no_parity_check, monkeypatch):
    pytest.importorskip("onnxscript", reason="writing ONNX needs onnxscript (the extra onnx)")
    monkeypatch.setattr("talewright.export.web.write_runtime", _write_nothing)
    checked: list[tuple[str, float]] = []

    def check(model, reader, path, stories, tolerance):
        checked.append((path.name, tolerance))
        assert path.is_file()
        return ParityResult(0.0, 1.0, 1, 1)

    monkeypatch.setattr("talewright.export.check_parity", check)
    for dtype, names in (("both", ["q8", "f32"]), ("q8", ["q8"]), ("f32", ["f32"])):
        files = [*(f"{name}.onnx" for name in names), *(f"{name}.inside.onnx" for name in names)]
        checked.clear()
        export_model(make_source(), "web", tmp_path / dtype, dtype=dtype)
        assert [name for name, _ in checked] == files
        assert sorted(files) == sorted(path.name for path in (tmp_path / dtype / "model").glob("*.onnx"))
        assert all(tolerance == TARGETS["web"].bounds[name.split(".")[0]] for name, tolerance in checked)
    assert set(GRAPHS) == {"q8", "f32"}


def _write_nothing(folder: Path) -> None:
    folder.mkdir()
    (folder / "ort.wasm").write_bytes(b"")


def test_another_package_is_refused_and_not_kept(tmp_path):
    other = tmp_path / "other.tgz"
    other.write_bytes(b"something else")
    with pytest.raises(UserError, match=r"other\.tgz is not the onnxruntime-web-.*its SHA-512 differs"):
        runtime.keep_runtime(other)
    with pytest.raises(UserError, match=r"absent\.tgz cannot be read: No such file"):
        runtime.keep_runtime(tmp_path / "absent.tgz")
    assert not (tmp_path / "cache").exists()


def test_a_damaged_package_in_the_cache_is_downloaded_again_and_a_genuine_one_is_not(tmp_path, monkeypatch):
    kept = tmp_path / "cache" / "onnxruntime-web" / runtime.TARBALL
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"half")
    monkeypatch.setattr(runtime, "INTEGRITY", base64.b64encode(hashlib.sha512(b"whole").digest()).decode())
    downloads = []

    def download(folder):
        downloads.append(folder)
        (folder / runtime.TARBALL).write_bytes(b"whole")
        return folder / runtime.TARBALL

    monkeypatch.setattr(runtime, "_download", download)
    for _ in range(2):
        assert runtime.runtime_package().read_bytes() == b"whole"
    assert len(downloads) == 1


def test_the_alternative_is_named_without_npm_or_if_npm_fails(tmp_path, monkeypatch):
    def failing(command, **options):
        return subprocess.CompletedProcess(command, 1, "", "npm error code ENOTFOUND\nnpm error network no such host\n")

    monkeypatch.setattr(runtime.shutil, "which", lambda name, path=None: "/usr/bin/npm")
    monkeypatch.setattr(runtime.subprocess, "run", failing)
    with pytest.raises(UserError, match=r"npm could not download .*ENOTFOUND.*--runtime FILE"):
        runtime.runtime_package()
    monkeypatch.setattr(runtime.shutil, "which", lambda name, path=None: None)
    with pytest.raises(UserError, match=r"there is no npm to download it: install Node\.js.*--runtime FILE"):
        runtime.runtime_package()


def test_runtime_is_only_for_the_page(tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["export", "run", "--to", "hf", "out", "--runtime", "some.tgz"])
    assert exit_.value.code == 2
    assert "--runtime is for --to web, and this export is --to hf" in capsys.readouterr().err
