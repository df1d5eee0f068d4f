"""The Dockerfile names what is there, since few machines can build it."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
STAGES = dict(re.findall(r"^FROM \S+(?: AS (\w+))?\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL))


def test_what_is_copied_is_there_and_not_ignored() -> None:
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = [line[1:] for line in ignore if line.startswith("!")]
    assert "*" in ignore
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    assert copied
    for name in " ".join(copied).split():
        assert (ROOT / name).exists()
        assert any(fnmatch(name, f"{pattern}*") for pattern in kept), name


def test_its_extras_are_ours_and_serve_what_its_stage_needs() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    wanted = re.search(r"^ARG EXTRAS=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert wanted
    assert set(wanted[1].split(",")) <= set(extras)
    assert "studio" in wanted[1].split(",")  # has FastAPI, which serve needs


def test_it_runs_as_a_user_without_rights_and_only_serve_has_a_health_check() -> None:
    assert re.findall(r"^USER (\S+)$", STAGES["base"], re.MULTILINE) == ["10001"]
    assert all("USER root" not in text for text in STAGES.values())
    assert [name for name, text in STAGES.items() if "HEALTHCHECK" in text] == ["serve"]


def test_the_health_check_asks_the_server_that_the_stage_starts() -> None:
    completions = pytest.importorskip("talewright.server.completions", reason="FastAPI is not installed (studio)")
    url = re.search(r"http://127\.0\.0\.1:(\d+)(/\w+)'", STAGES["serve"])
    assert url
    assert f'@app.get("{url[2]}")' in Path(completions.__file__).read_text("utf-8")
    assert f"EXPOSE {url[1]}" in STAGES["serve"]
    assert f"port: int = {url[1]}" in (ROOT / "src" / "talewright" / "cli" / "serve.py").read_text("utf-8")
