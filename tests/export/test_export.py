"""What every target has in common: a folder that is whole or absent, and a parity check that can fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from talewright.cli import main
from talewright.errors import UserError
from talewright.export import TARGETS, export_model
from talewright.export.importers import write_run
from talewright.export.parity import check_parity


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_export_is_replaced_only_with_overwrite(make_source, tmp_path, no_parity_check):
    export_model(make_source(), "hf", tmp_path / "out")
    before = contents(tmp_path / "out")
    with pytest.raises(UserError, match="--overwrite replaces an earlier export"):
        export_model(make_source(), "hf", tmp_path / "out")
    assert contents(tmp_path / "out") == before
    export_model(make_source(seed=1), "hf", tmp_path / "out", overwrite=True)
    assert contents(tmp_path / "out")["model.safetensors"] != before["model.safetensors"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_wrong_export_is_not_kept_and_removes_nothing(make_source, tmp_path, monkeypatch):
    record = export_model(make_source(), "hf", tmp_path / "out")
    assert 0 < record["largest_difference"] < record["bound"]
    before = contents(tmp_path / "out")
    source = make_source()
    write = type(TARGETS["hf"]).write

    def write_then_change(self, source, folder, dtype):
        write(self, source, folder, dtype)
        with torch.no_grad():  # our model now differs from the one that was written
            source.model.norm.weight[3] += 0.01

    monkeypatch.setattr(type(TARGETS["hf"]), "write", write_then_change)
    with pytest.raises(UserError, match="does not compute the same as our model"):
        export_model(source, "hf", tmp_path / "out", overwrite=True)
    assert contents(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_failing_reader_is_reported_by_the_last_line_that_it_printed(make_source, tmp_path):
    source = make_source()
    with pytest.raises(UserError, match=r"cannot be read in a fresh process: .*config\.json"):
        check_parity(source.model, "hf", tmp_path, [[0, 1]], 1e-4)


def test_a_folder_that_talewright_did_not_write_is_not_replaced(make_source, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("Dear Tom")
    with pytest.raises(UserError, match="neither export nor import wrote it"):
        export_model(make_source(), "hf", tmp_path / "home", overwrite=True)
    assert (tmp_path / "home" / "letter.txt").read_text() == "Dear Tom"


def test_an_unknown_format_or_precision_is_reported(make_source, tmp_path):
    with pytest.raises(UserError, match=r"--to pickle is not an export format\. Use one of hf"):
        export_model(make_source(), "pickle", tmp_path / "out")
    with pytest.raises(UserError, match=r"--to hf does not support --dtype int3\. Use one of f32"):
        export_model(make_source(), "hf", tmp_path / "out", dtype="int3")
    with pytest.raises(UserError, match=r"model\.norm_placement is post, not pre"):
        export_model(make_source(norm_placement="post"), "hf", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_command_gives_the_reason_and_the_format_that_it_suggests_works(
    make_source, tmp_path, monkeypatch, capsys, no_parity_check
):
    monkeypatch.chdir(tmp_path)
    source = make_source(norm_placement="post", positions="sinusoidal")
    write_run(source.run, source.recipe, source.model, source.tokenizer)
    with pytest.raises(SystemExit) as exit_:
        main(["export", "run", "--to", "hf", "out"])
    assert exit_.value.code == 2
    printed = capsys.readouterr()
    assert "run cannot be exported to hf: no class of transformers computes the same" in printed.err
    assert "its model.norm_placement is post, not pre" in printed.err
    assert "--to hf-remote takes any model" in printed.err
    assert printed.out == ""
    assert not (tmp_path / "out").exists()
    main(["export", "run", "--to", "hf-remote", "out", "--json"])
    record = json.loads(capsys.readouterr().out)
    assert (record["folder"], record["target"], record["dtype"]) == ("out", "hf-remote", "f32")
    assert record["bytes"] > sum(t.nbytes for t in source.model.parameters())
    main(["export", "run", "out", "--to", "hf-remote", "--dtype", "bf16", "--overwrite"])
    assert capsys.readouterr().out.strip() == "out"
    assert {tensor.dtype for tensor in load_file("out/model.safetensors").values()} == {torch.bfloat16}
    assert (
        'pipeline("text-generation", model="out", trust_remote_code=True)' in (tmp_path / "out/README.md").read_text()
    )


@pytest.mark.parametrize("dtype", ["bf16", "f16"])
def test_half_precision_is_within_its_bound_and_beyond_that_of_f32(dtype, make_source, tmp_path):
    source = make_source()
    TARGETS["hf"].write(source, tmp_path, dtype)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    tokens = torch.arange(24)[None]
    ours = source.model(tokens)
    share = float(((theirs(tokens).logits - ours).abs().max() / ours.abs().max()).detach())
    assert TARGETS["hf"].bounds["f32"] < share < TARGETS["hf"].bounds[dtype]
