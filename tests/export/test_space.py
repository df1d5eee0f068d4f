"""The Space: a folder that generates with its own code, and whose card says to the hub what it is."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml

from talewright.config import load_recipe
from talewright.export import export_model
from tests.export.test_card import FakeHub

pytest.importorskip("gradio", reason="a Space needs Gradio: the extra `studio`")


def test_a_space_is_checked_with_its_own_code_and_names_its_files(make_source, tmp_path):
    source = make_source()
    record = export_model(source, "space", tmp_path / "out")
    assert record["largest_difference"] <= record["bound"]
    out = tmp_path / "out"
    front = yaml.safe_load((out / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    assert front["sdk"] == "gradio"
    assert (out / front["app_file"]).is_file()
    assert f"gradio=={front['sdk_version']}" in (out / "requirements.txt").read_text()
    assert any(line.startswith("torch") for line in (out / "requirements.txt").read_text().splitlines())
    run = next((out / "run").iterdir())
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["best", "last", "step-1"]
    assert load_recipe(run / "recipe.yaml").model == source.recipe.model
    assert str(tmp_path) not in (run / "recipe.yaml").read_text()
    assert not list(out.rglob("__pycache__"))


@pytest.mark.slow
def test_the_app_of_a_space_opens(make_source, tmp_path, no_parity_check):
    export_model(make_source(), "space", tmp_path / "out")
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import talewright.studio as studio, pathlib\n"
        "assert pathlib.Path(studio.__file__).is_relative_to(sys.argv[1]), studio.__file__\n"
        "def once(folders, host, port):\n"
        "    with studio.open_studio(folders, '127.0.0.1') as address: print('open', address)\n"
        "studio.serve = once\n"
        "import runpy; runpy.run_path(sys.argv[1] + '/app.py', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, str(tmp_path / "out")], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout.startswith("open http://127.0.0.1:"), done.stderr


def test_a_space_is_pushed_as_a_space(make_source, tmp_path, monkeypatch, no_parity_check):
    hub = FakeHub()
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: hub)
    monkeypatch.setattr("talewright.export.check_hub", lambda repo: None)
    export_model(make_source(), "space", tmp_path / "out", push="ada/tales")
    assert {"app.py", "requirements.txt", "README.md", "run", "talewright"} <= set(hub.uploaded["ada/tales"])
    assert hub.kinds == {"space"}
