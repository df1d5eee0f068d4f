"""What every target has in common: a folder that is whole or absent, and a proof that can fail."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from talewright.errors import UserError
from talewright.export import TARGETS, export_model
from talewright.export.proof import prove


def listing(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_export_proves_itself_and_is_replaced_only_when_asked(make_source, tmp_path):
    record = export_model(make_source(), "hf", tmp_path / "out")
    assert 0 < record["largest_difference"] < record["bound"]
    before = listing(tmp_path / "out")
    with pytest.raises(UserError, match="--overwrite replaces an export"):
        export_model(make_source(), "hf", tmp_path / "out")
    assert listing(tmp_path / "out") == before
    export_model(make_source(seed=1), "hf", tmp_path / "out", overwrite=True)
    assert listing(tmp_path / "out")["model.safetensors"] != before["model.safetensors"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_wrong_export_is_not_kept_and_takes_nothing_away(make_source, tmp_path, monkeypatch):
    export_model(make_source(), "hf", tmp_path / "out")
    before = listing(tmp_path / "out")
    source = make_source()
    write = type(TARGETS["hf"]).write

    def write_another(self, source, folder, dtype):
        write(self, source, folder, dtype)
        with torch.no_grad():  # from now on ours is another model than the one that was written
            source.model.norm.weight[3] += 0.01

    monkeypatch.setattr(type(TARGETS["hf"]), "write", write_another)
    with pytest.raises(UserError, match="does not compute the same"):
        export_model(source, "hf", tmp_path / "out", overwrite=True)
    assert listing(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_what_cannot_be_read_in_a_fresh_process_is_told_in_its_last_words(make_source, tmp_path):
    source = make_source()
    with pytest.raises(UserError, match=r"cannot be read in a fresh process: .*config\.json"):
        prove(source.model, "hf", tmp_path, [[0, 1]], 1e-4)


def test_a_folder_of_somebody_elses_is_not_replaced(make_source, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("Dear Tom")
    with pytest.raises(UserError, match="was not written by an export"):
        export_model(make_source(), "hf", tmp_path / "home", overwrite=True)
    assert (tmp_path / "home" / "letter.txt").read_text() == "Dear Tom"


def test_unknown_forms_and_precisions_are_named(make_source, tmp_path):
    with pytest.raises(UserError, match="--to pickle is no form of export; there are hf"):
        export_model(make_source(), "pickle", tmp_path / "out")
    with pytest.raises(UserError, match="--dtype int3 is none that hf has; it has f32"):
        export_model(make_source(), "hf", tmp_path / "out", dtype="int3")
    with pytest.raises(UserError, match="post-LN"):
        export_model(make_source(norm_placement="post"), "hf", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
