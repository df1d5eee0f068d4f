"""Whether torch.compile works here, and what is said if it does not."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from torch._inductor.exc import CppCompileError, GPUTooOldForTriton, InductorError, InvalidCxxCompiler, TritonMissing

from talewright.machine import compilers
from talewright.machine.compilers import compile_failure, compiler, explain_failure


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    compile_failure.cache_clear()


def test_the_compiler_is_the_one_that_is_set_or_the_first_one_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if name == "clang++" else None)
    assert compiler() == "/bin/clang++"
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert compiler() is None
    monkeypatch.setenv("CXX", "icpx")
    assert compiler() == "icpx"


def test_without_a_compiler_none_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilers, "_compile_small_function", None)
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert compile_failure("cpu") == (
        "there is no C++ compiler no-such-compiler; install g++, or set CXX to a compiler"
    )
    compile_failure.cache_clear()
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", "")
    assert compile_failure("cpu") == "there is no C++ compiler; install g++, or set CXX to a compiler"


def test_it_is_tried_once_and_a_failure_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def fail(device_type: str) -> None:
        tried.append(device_type)
        raise RuntimeError("boom")

    monkeypatch.setattr(compilers, "_compile_small_function", fail)
    assert [compile_failure("cuda") for _ in range(3)] == ["the compiler failed: RuntimeError: boom"] * 3
    assert tried == ["cuda"]


def test_a_compiler_that_hangs_counts_as_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilers, "TIME_LIMIT", 0.05)
    monkeypatch.setattr(compilers, "_compile_small_function", lambda device_type: time.sleep(2))
    begun = time.perf_counter()
    assert "took more than" in str(compile_failure("cuda"))
    assert time.perf_counter() - begun < 1.5


def test_wrong_results_are_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.compile", lambda function, **options: lambda x: (x * x * x).sum())
    assert "wrong values" in str(compile_failure("cpu"))
    compile_failure.cache_clear()
    monkeypatch.setattr("torch.compile", lambda function, **options: function)
    assert compile_failure("cpu") is None


COMMAND = ["g++", "-fopenmp", "-lgomp", "-I", "/usr/include/Python.h"]


OLD_CARD = SimpleNamespace(name="Tesla K80", major=3, minor=7)


def cpp(output: str) -> InductorError:
    return InductorError(CppCompileError(COMMAND, output), None)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (cpp("a.cpp:1:10: fatal error: Python.h: No such file or directory"), "Python's headers"),
        (cpp("a.cpp:1:10: fatal error: 'omp.h' file not found"), "no OpenMP"),
        (cpp("clang: error: unsupported option '-fopenmp'"), "no OpenMP"),
        (cpp("ld: cannot find -lgomp: No such file or directory"), "no OpenMP"),
        (cpp("a.s: Fatal error: can't close a.o: No space left on device"), "no space for compiled code"),
        (cpp("collect2: note\na.cpp:3: error: oh no"), "the compiler failed: a.cpp:3: error: oh no"),
        (InductorError(InvalidCxxCompiler(), None), "does not work; repair it"),
        (InductorError(IndexError("list index out of range"), None), "does not work; repair it"),
        (InductorError(TritonMissing(None), None), "pip install triton"),
        (TritonMissing(None), "pip install triton"),
        (InductorError(GPUTooOldForTriton(cast(Any, OLD_CARD), None), None), "below 7.0"),
        (RuntimeError("Failed to find C compiler. Please specify via CC"), "install gcc"),
        (OSError(errno.ENOSPC, "No space left on device", "/c/x.so"), "no space for compiled code"),
        (PermissionError(errno.EACCES, "Permission denied", "/c"), "/c cannot be used to compile (Permission denied)"),
        (InductorError(OSError(errno.EROFS, "Read-only", "/c"), None), "TORCHINDUCTOR_CACHE_DIR"),
        (ValueError("x" * 1000), "the compiler failed: ValueError: xxx"),
        (ValueError(), "the compiler failed: ValueError"),
    ],
)
def test_a_failure_is_explained_in_one_sentence(error: Exception, expected: str) -> None:
    found = explain_failure(error)
    assert expected in found
    assert "\n" not in found
    assert len(found) < 250


BROKEN = {
    "exit 1": "exit 1",
    "no headers": 'case "$*" in */python*) echo "x.cpp:1: fatal error: Python.h: No such file" >&2; exit 1;; esac',
    "no OpenMP": 'case "$*" in *-fopenmp*) echo "x.cpp:1: fatal error: omp.h: No such file" >&2; exit 1;; esac',
    "no space": 'case "$*" in *.cpp*) echo "x.s: Fatal error: No space left on device" >&2; exit 1;; esac',
}
EXPECTED = dict(zip(BROKEN, ("does not work", "Python.h", "OpenMP", "no space"), strict=True))


@pytest.mark.slow
@pytest.mark.skipif(compiler() is None, reason="there is no C++ compiler here")
@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_compiler_is_found_without_noise(tmp_path: Path, kind: str) -> None:
    real = compiler()
    script = tmp_path / "g++"
    script.write_text(f'#!/bin/sh\n{BROKEN[kind]}\nexec {real} "$@"\n')
    script.chmod(0o755)
    environment = {**os.environ, "CXX": str(script), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    code = "from talewright.machine import compile_failure; print(compile_failure('cpu'))"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert EXPECTED[kind] in done.stdout
    assert done.stderr == ""


@pytest.mark.slow
@pytest.mark.skipif(compiler() is None, reason="there is no C++ compiler here")
def test_a_working_compiler_is_found() -> None:
    assert compile_failure("cpu") is None


def test_compiled_code_is_kept_in_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    compilers.keep_compiled_code()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "cache" / "compiled")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "mine")
    compilers.keep_compiled_code()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "mine"


def test_a_cache_folder_that_cannot_be_made_changes_nothing(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(tmp_path / "file"))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    compilers.keep_compiled_code()
    assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ
