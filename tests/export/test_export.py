"""What every target has in common: a folder that is whole or absent, and a parity check that can fail."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from talewright.cli import main
from talewright.config import load_recipe
from talewright.errors import UserError
from talewright.export import TARGETS, check_export, export_model, supported_targets
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
    with pytest.raises(UserError, match=r"--to pickle is not an export format .*can be exported to: hf, hf-r"):
        export_model(make_source(), "pickle", tmp_path / "out")
    with pytest.raises(UserError, match=r"--to hf does not support --dtype int3\. Use one of f32"):
        export_model(make_source(), "hf", tmp_path / "out", dtype="int3")
    with pytest.raises(UserError, match=r"model\.norm_placement is post, not pre"):
        export_model(make_source(norm_placement="post"), "hf", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_all_reasons_are_given_at_once(make_source, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    (tmp_path / "out").write_text("")
    source = make_source(norm_placement="post")
    with pytest.raises(UserError) as error:
        check_export(source.run, source.recipe.model, "hf", tmp_path / "out", dtype="q8_0", push="ada/tales")
    reasons = ["norm_placement is post", "does not support --dtype q8_0", "is a file", "not logged in to the hub"]
    for reason, line in zip(reasons, str(error.value).splitlines(), strict=True):
        assert reason in line


def test_a_package_that_writing_needs_is_named_with_its_extra(make_source, tmp_path, monkeypatch):
    monkeypatch.setattr("talewright.export.target.find_spec", lambda name: None)
    monkeypatch.setattr("talewright.export.web.runtime_problem", lambda: "no npm")
    config = make_source().recipe.model
    with pytest.raises(UserError, match=r'--to web needs onnx, onnxscript: pip install "talewright\[onnx\]"\nno npm$'):
        check_export(tmp_path / "run", config, "web", tmp_path / "out")


def test_an_export_that_cannot_be_verified_here_is_written_and_says_so(make_source, tmp_path, monkeypatch):
    monkeypatch.setattr("talewright.export.missing_modules", list)
    record = export_model(make_source(), "hf", tmp_path / "out")
    assert not record["verified"]
    assert record["largest_difference"] is None
    command = 'transformers is not installed. To verify it: pip install "talewright[hf]"'
    assert command in record["proof"]
    assert command in (tmp_path / "out" / "README.md").read_text()
    assert load_file(tmp_path / "out" / "model.safetensors")


@pytest.mark.parametrize(
    ("recipe", "targets"),
    [
        ("quickstart", {"hf", "gguf", "llama2c"}),
        ("story-1m", {"hf", "gguf"}),
        ("mini-2m", {"hf"}),
        ("sinusoidal-45m", set()),
    ],
)
def test_the_formats_of_a_recipe_are_known_from_its_settings(recipe, targets):
    assert set(supported_targets(load_recipe(recipe).model)) == targets | {"hf-remote", "onnx", "web", "space"}


REFUSED = [
    ["run"],
    ["run", "out", "--to", "pickle"],
    ["run", "out", "--to", "hf"],
    ["run", "out", "--to", "hf-remote", "--dtype", "q8_0"],
    ["run", "full", "--to", "hf-remote"],
    ["run", "out", "--to", "hf-remote", "--checkpoint", "7"],
    ["run", "out", "--to", "hf-remote", "--push", "ada/my tales"],
    ["absent", "out", "--to", "hf-remote"],
]


def test_a_refused_export_does_not_import_torch(make_source, tmp_path):
    source = make_source(norm_placement="post")
    write_run(source.run, source.recipe, source.model, source.tokenizer)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("Dear Tom")
    program = (
        "import sys\nfrom talewright.cli import main\n"
        f"for words in {REFUSED!r}:\n"
        "    try:\n        main(['export', *words])\n"
        "    except SystemExit as exit_:\n        assert exit_.code == 2\n"
        "    print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.split() == ["False"] * len(REFUSED), done.stderr
    messages = done.stderr.splitlines()
    assert messages[0].startswith("talewright: name a folder and a format (`talewright export run FOLDER --to FORMAT`)")
    assert messages[0].endswith("run can be exported to: hf-remote, onnx, web, space")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("to", [name for name in TARGETS if name not in ("web", "space", "onnx")])
def test_the_commands_at_the_end_name_files_that_were_written(to, make_source, tmp_path):
    folder = tmp_path / "Lily's stories"
    folder.mkdir()
    llama = {"norm": "rmsnorm", "positions": "rotary", "activation": "swiglu", "qk_norm": False, "bias": ()}
    TARGETS[to].write(make_source(**llama), folder, "f32")
    for command in TARGETS[to].commands(folder).values():
        paths = [word for word in shlex.split(command) if word.startswith(str(tmp_path))]
        assert all(Path(path).exists() for path in paths)
        assert paths or json.dumps(str(folder)) in shlex.split(command)[-1]


def test_the_weights_can_be_read_by_whoever_can_read_the_other_files(make_source, tmp_path, no_parity_check):
    export_model(make_source(), "hf", tmp_path / "out")
    assert len({path.stat().st_mode for path in (tmp_path / "out").iterdir()}) == 1


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
    printed = capsys.readouterr()
    assert printed.out.strip() == "out"
    assert printed.err.startswith("verified in a fresh process: largest logit difference ")
    assert 'pipeline("text-generation", "out", trust_remote_code=True)' in printed.err.split("To use it:\n")[1]
    assert {tensor.dtype for tensor in load_file("out/model.safetensors").values()} == {torch.bfloat16}
    assert (
        'pipeline("text-generation", model="./out", trust_remote_code=True)' in (tmp_path / "out/README.md").read_text()
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


def test_of_two_exports_to_one_folder_the_second_waits_and_replaces_nothing(make_source, tmp_path, no_parity_check):
    source, folder, refused = make_source(), tmp_path / "exported", []
    target = TARGETS["hf"]
    write = type(target).write

    def second() -> None:
        with pytest.raises(UserError, match="is not empty") as caught:
            export_model(source, "hf", folder)
        refused.append(str(caught.value))

    def beside(self, *values) -> None:
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()  # it waits
        write(self, *values)

    thread = threading.Thread(target=second)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(target), "write", beside)
        export_model(source, "hf", folder)
    thread.join()
    assert len(refused) == 1
    assert (folder / "config.json").is_file()
    assert {path.name for path in tmp_path.iterdir() if path.name.startswith(".")} == set()


def test_the_working_folder_is_no_target(make_source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (".", "..", "/"):
        with pytest.raises(UserError, match="the folder that this command runs in"):
            export_model(make_source(), "llama2c", Path(name), overwrite=True)
