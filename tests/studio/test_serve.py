"""How the studio is started: which runs it offers, and its errors."""

from __future__ import annotations

import os
import socket
import sys
import urllib.request
from pathlib import Path

import pytest

from talewright.errors import UserError
from talewright.studio import find_runs, open_studio, serve


def make_runs(*names: str) -> None:
    for age, name in enumerate(reversed(names)):
        folder = Path("runs") / name
        folder.mkdir(parents=True)
        (folder / "recipe.yaml").write_text("")
        os.utime(folder / "recipe.yaml", (10_000 - age, 10_000 - age))


def test_without_a_name_the_newest_run_is_offered_and_the_included_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_runs("zebra", "ant", "mole")
    (tmp_path / "runs" / "no-run").mkdir()
    assert find_runs([]) == [Path("runs/mole"), Path("included")]
    assert find_runs(["runs/ant", "runs/zebra"]) == [Path("runs/ant"), Path("runs/zebra")]


def test_without_any_run_the_included_model_is_offered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_runs([]) == [Path("included")]


def test_without_gradio_the_error_names_the_extra(run, monkeypatch):
    monkeypatch.setattr(sys.modules["talewright.studio.serve"], "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pip install "talewright\[studio\]"'), open_studio([run]):
        pass


def test_a_folder_that_is_not_a_run_is_named(tmp_path):
    pytest.importorskip("gradio", reason="the studio needs Gradio: the extra `studio`")
    with pytest.raises(UserError, match="nothing-here"), open_studio([tmp_path / "nothing-here"]):
        pass


@pytest.mark.slow
def test_a_port_that_is_taken_is_an_error(run):
    pytest.importorskip("gradio", reason="the studio needs Gradio: the extra `studio`")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} of 127.0.0.1 cannot be used.*--port"):
            serve([run], port=port)


PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@pytest.mark.slow
@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("0.0.0.0", "localhost")])
def test_no_proxy_stands_between_the_studio_and_its_own_server(run, host: str, shown: str, monkeypatch):
    pytest.importorskip("gradio", reason="the studio needs Gradio: the extra `studio`")
    for name in PROXIES:
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("no_proxy", "example.org")
    with open_studio([run], host=host) as opened:
        assert opened.startswith(f"http://{shown}:")
        assert os.environ["no_proxy"] == "example.org"
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(opened, timeout=30) as response:
            assert b"<html" in response.read().lower()


@pytest.mark.slow
def test_the_server_itself_has_what_draws_charts(run):
    pytest.importorskip("gradio", reason="the studio needs Gradio: the extra `studio`")
    from talewright.look import chart_script

    with open_studio([run]) as opened, urllib.request.urlopen(f"{opened}/look/charts.js", timeout=30) as response:
        assert response.headers["Content-Type"].startswith("text/javascript")
        assert response.read().decode() == chart_script()
