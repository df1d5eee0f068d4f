"""`export --push` against a small hub of our own, through huggingface_hub itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from talewright.errors import UserError
from talewright.export import TARGETS, check_export, export_model
from talewright.export.hub import check_hub, push_folder
from tests.export.hub import Hub, local_hub


@pytest.fixture
def hub(monkeypatch) -> Iterator[Hub]:
    with local_hub() as served:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", served.address)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", "hf_token")
        yield served


@pytest.fixture
def folder(tmp_path) -> Path:
    """A small folder to push, as an export may be."""
    path = tmp_path / "out"
    (path / "onnx").mkdir(parents=True)
    (path / "README.md").write_text("---\nlicense: mit\n---\n\n# Tales\n")
    (path / "model.safetensors").write_bytes(bytes(range(256)) * 40)
    (path / "onnx" / "config.json").write_text("{}")
    return path


def contents(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_an_export_arrives_at_the_hub_file_by_file(make_source, tmp_path, hub, no_parity_check):
    record = export_model(make_source(), "hf", tmp_path / "out", push="ada/tales")
    assert record["pushed"] == f"{hub.address}/ada/tales"
    assert hub.repositories == {"models/ada/tales": contents(tmp_path / "out")}
    assert {"README.md", "config.json", "model.safetensors"} <= hub.repositories["models/ada/tales"].keys()


@pytest.mark.parametrize("to", ["web", "space"])
def test_a_page_becomes_a_space_with_its_sdk(to, folder, hub):
    sdk = TARGETS[to].space_sdk
    assert push_folder(folder, "ada/tales", sdk) == f"{hub.address}/spaces/ada/tales"
    assert hub.repositories == {"spaces/ada/tales": contents(folder)}
    assert hub.sdks == {"spaces/ada/tales": {"web": "static", "space": "gradio"}[to]}


def test_a_repository_that_is_there_gets_the_new_files(folder, hub):
    push_folder(folder, "ada/tales")
    (folder / "onnx" / "config.json").write_text('{"a": 1}')
    push_folder(folder, "ada/tales")
    assert hub.repositories["models/ada/tales"]["onnx/config.json"] == b'{"a": 1}'


@pytest.mark.parametrize(
    ("part", "status", "reason"),
    [
        ("repos/create", 401, r"the hub does not accept the token\. Run `hf auth login`, or set HF_TOKEN$"),
        ("repos/create", 403, r"the token may not write there\. Name a repository of your own, and use a token"),
        ("preupload", 404, "there is no repository of that name and type, or the token does not see it; perhaps"),
        ("commit", 403, "the token may not write there"),
    ],
)
def test_a_refusal_is_one_clear_error_and_the_folder_stays(part, status, reason, folder, hub):
    before = contents(folder)
    hub.refusals[part] = status
    with pytest.raises(UserError, match=rf"out is written, but could not be pushed to ada/tales: {reason}") as caught:
        push_folder(folder, "ada/tales")
    assert "\n" not in str(caught.value)
    assert contents(folder) == before


def test_a_license_that_the_hub_does_not_know_is_its_own_message(folder, hub):
    (folder / "README.md").write_text("---\nlicense: mine\n---\n")
    with pytest.raises(
        UserError, match=r'could not be pushed to ada/tales: Invalid metadata in README.md. - "license"'
    ):
        push_folder(folder, "ada/tales")


def test_the_login_is_checked_before_anything_is_written(make_source, tmp_path, hub):
    source = make_source()
    check_hub("ada/tales")
    hub.role = "read"
    with pytest.raises(UserError, match=r"--push ada/tales: the token only reads\. Run `hf auth login`"):
        check_export(source.run, source.recipe.model, "hf", tmp_path / "out", push="ada/tales")
    hub.refusals["whoami"] = 401
    with pytest.raises(UserError, match=r"--push ada/tales: not logged in to the hub \(Invalid user token\."):
        check_hub("ada/tales")
    assert hub.repositories == {}
    assert not (tmp_path / "out").exists()


def test_a_hub_that_is_not_there_is_named(folder, hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"^--push ada/tales: cannot reach http://127\.0\.0\.1:9 \(.*refused"):
        check_hub("ada/tales")
    with pytest.raises(UserError, match=r"out is written, but could not be pushed to ada/tales: .*refused"):
        push_folder(folder, "ada/tales")
