"""The notebooks in docs/ run from their first cell to their last."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]
KERNEL = ("nbclient", "nbformat", "ipykernel")
USED = {
    "everywhere": ("llama_cpp", "onnxruntime", "onnxscript", "transformer_lens"),
    "your-own-stories": ("transformers",),
}
"""What a notebook needs besides Talewright and the kernel."""
PARAMETERS: dict[str, dict[str, Any]] = {
    "everywhere": {},
    "train-and-look-inside": {"MINUTES": 0.03, "DATA": "bundled:300"},
    "your-own-stories": {"MINUTES": 0.03, "EXAMPLE_STORIES": 300},
}
"""Values that the test gives a notebook's cell of parameters."""
WRITTEN = {
    "everywhere": "everywhere/onnx/onnx/model.onnx",
    "train-and-look-inside": "runs/quickstart-1/checkpoints",
    "your-own-stories": "my_model/model.safetensors",
}
"""A file or folder that is there in the end."""
INSTALLATION = re.compile(r"^( *)%pip .*$", re.MULTILINE)


def opened(name: str, values: dict[str, Any]) -> dict[str, Any]:
    """The notebook, with these values in its cell of parameters."""
    notebook = json.loads((ROOT / "docs" / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        cell["source"] = source(cell)
    cells = [cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", ())]
    for parameter, value in values.items():
        (cell,) = cells
        text, count = re.subn(rf"^{parameter} = .*$", f"{parameter} = {value!r}", source(cell), flags=re.MULTILINE)
        assert count == 1, parameter
        cell["source"] = text
    return notebook


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def script(notebook: dict[str, Any]) -> str:
    """The notebook's cells as one program; it fails where the notebook would install something."""
    code = "\n\n".join(source(cell) for cell in notebook["cells"] if cell["cell_type"] == "code")
    return INSTALLATION.sub(r'\1raise AssertionError("it would install Talewright")', code)


def run_as_script(name: str, folder: Path) -> str:
    """What the notebook prints where it is run as a program."""
    paths = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "PYTHONPATH": paths, "MPLBACKEND": "Agg", "TALEWRIGHT_CACHE": str(folder / "cache")}
    program = [sys.executable, "-X", "utf8", "-c", script(opened(name, PARAMETERS[name]))]
    done = subprocess.run(program, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / WRITTEN[name]).exists()
    return done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_valid_and_keeps_no_output(name: str) -> None:
    notebook = opened(name, PARAMETERS[name])
    assert not any(cell.get("outputs") for cell in notebook["cells"])
    ast.parse(script(notebook))
    if name != "everywhere":
        assert "not on PyPI" in "".join(map(source, notebook["cells"]))
    if find_spec("nbformat"):
        import nbformat  # pyright: ignore[reportMissingImports]

        nbformat.validate(notebook)


def test_the_first_notebook_trains_and_looks_inside(tmp_path: Path) -> None:
    printed = run_as_script("train-and-look-inside", tmp_path)
    losses = [float(value) for value in re.findall(r"trained +loss ([\d.]+)", printed)]
    assert losses[1] < losses[0]
    assert printed.count("after ") >= 3 + 1  # the logit lens has a line for each layer
    assert re.search(r"^2\.3 +\S", printed, re.MULTILINE)  # the last head of the table


@pytest.mark.slow
def test_the_second_notebook_reads_trains_compares_and_exports(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed (the extra hf)")
    printed = run_as_script("your-own-stories", tmp_path)
    assert "300 stories separated by blank lines" in printed
    assert len(re.findall(r"steps  loss", printed)) == 2
    assert "verified in a fresh process" in printed
    assert "config.json" in printed


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_notebook_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in KERNEL + USED.get(name, ()):
        pytest.importorskip(package, reason=f"{package} is not installed (the extra notebooks)")
    import nbformat  # pyright: ignore[reportMissingImports]
    from nbclient import NotebookClient  # pyright: ignore[reportMissingImports]

    monkeypatch.setenv("TALEWRIGHT_CACHE", str(tmp_path / "cache"))
    notebook = nbformat.from_dict(opened(name, PARAMETERS[name]))
    NotebookClient(
        notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()  # raises if a cell does
    assert (tmp_path / WRITTEN[name]).exists()
