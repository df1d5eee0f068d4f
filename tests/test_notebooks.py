"""The notebooks in docs/ run from their first cell to their last."""

from __future__ import annotations

from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs" / "notebooks").glob("*.ipynb"))
USED = ("nbclient", "nbformat", "ipykernel", "llama_cpp", "onnxruntime", "onnxscript", "transformer_lens")


def test_there_are_notebooks_and_none_keeps_its_output() -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed (the extra notebooks)")
    assert NOTEBOOKS
    for path in NOTEBOOKS:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        assert not any(cell.get("outputs") for cell in notebook.cells), path


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in USED:
        pytest.importorskip(name, reason=f"{name} is not installed (the extra notebooks)")
    import nbformat  # pyright: ignore[reportMissingImports]
    from nbclient import NotebookClient  # pyright: ignore[reportMissingImports]

    monkeypatch.setenv("TALEWRIGHT_CACHE", str(tmp_path / "cache"))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()  # raises if a cell does
    assert (tmp_path / "everywhere" / "onnx" / "onnx" / "model.onnx").is_file()
