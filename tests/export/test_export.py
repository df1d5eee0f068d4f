"""What every target has in common: a folder that is whole or absent, and a proof that can fail."""

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
from talewright.export.parity import prove


def listing(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_export_is_replaced_only_when_asked(make_source, tmp_path, unproven):
    export_model(make_source(), "hf", tmp_path / "out")
    before = listing(tmp_path / "out")
    with pytest.raises(UserError, match="--overwrite replaces an earlier one"):
        export_model(make_source(), "hf", tmp_path / "out")
    assert listing(tmp_path / "out") == before
    export_model(make_source(seed=1), "hf", tmp_path / "out", overwrite=True)
    assert listing(tmp_path / "out")["model.safetensors"] != before["model.safetensors"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_wrong_export_is_not_kept_and_takes_nothing_away(make_source, tmp_path, monkeypatch):
    record = export_model(make_source(), "hf", tmp_path / "out")
    assert 0 < record["largest_difference"] < record["bound"]
    before = listing(tmp_path / "out")
    source = make_source()
    write = type(TARGETS["hf"]).write

    def write_another(self, source, folder, dtype):
        write(self, source, folder, dtype)
        with torch.no_grad():  # from now on ours is another model than the one that was written
            source.model.norm.weight[3] += 0.01

    monkeypatch.setattr(type(TARGETS["hf"]), "write", write_another)
    with pytest.raises(UserError, match="computes something else than our model"):
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
    with pytest.raises(UserError, match="was written neither by export"):
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


def test_the_command_says_why_not_and_does_what_it_then_names(make_source, tmp_path, monkeypatch, capsys, unproven):
    monkeypatch.chdir(tmp_path)
    source = make_source(norm_placement="post", positions="sinusoidal")
    write_run(source.run, source.recipe, source.model, source.tokenizer)
    with pytest.raises(SystemExit) as exit_:
        main(["export", "run", "--to", "hf", "out"])
    assert exit_.value.code == 2
    said = capsys.readouterr()
    assert "run cannot go to hf: no class of transformers computes the same" in said.err
    assert "post-LN" in said.err
    assert "--to hf-remote takes any model" in said.err
    assert said.out == ""
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
def test_half_precision_is_within_its_own_bound_and_beyond_that_of_f32(dtype, make_source, tmp_path):
    source = make_source()
    TARGETS["hf"].write(source, tmp_path, dtype)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    tokens = torch.arange(24)[None]
    ours = source.model(tokens)
    share = float(((theirs(tokens).logits - ours).abs().max() / ours.abs().max()).detach())
    assert TARGETS["hf"].bounds["f32"] < share < TARGETS["hf"].bounds[dtype]
