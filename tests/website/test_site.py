"""The documentation site as a whole."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import talewright
from talewright.look import DARK, LIGHT

ROOT = Path(__file__).parents[2]


class LoadedFiles(HTMLParser):
    """Collects what a page loads by itself: scripts, styles, pictures and frames, not links."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "link" and values.get("rel") in ("next", "prev", "canonical"):
            return
        if tag != "a":
            self.found += [value for name in ("src", "href") if (value := values.get(name))]


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    paths = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": paths}
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert built.returncode == 0, built.stderr
    pages = sorted(tmp_path.rglob("*.html"))
    assert {"index.html", "commands.html", "CHANGELOG.html"} <= {page.name for page in pages}
    for page in pages:
        loaded = LoadedFiles(page).found
        assert not [name for name in loaded if re.match(r"https?:|//", name)], page
        missing = [name for name in loaded if not name.startswith(("/", "data:", "#")) and is_missing(page, name)]
        assert not missing, page
    assert "mkdocs_static" not in (tmp_path / "index.html").read_text(encoding="utf-8")
    assert (tmp_path / "search" / "search_index.js").stat().st_size > 100_000


def is_missing(page: Path, name: str) -> bool:
    return not (page.parent / re.sub("[?#].*", "", name)).exists()


def test_the_api_page_documents_every_public_name() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^::: talewright\.(\w+)$", page, re.MULTILINE)) == sorted(talewright.__all__)


@pytest.mark.parametrize(("scheme", "colors"), [("default", LIGHT), ("slate", DARK)])
def test_the_site_has_the_colors_of_every_other_page(scheme: str, colors: dict[str, str]) -> None:
    style = (ROOT / "docs" / "assets" / "talewright.css").read_text(encoding="utf-8")
    block = style.partition(f'[data-md-color-scheme="{scheme}"] {{')[2].partition("}")[0]
    named = dict(re.findall(r"--(\w+): (#\w+);", block))
    assert {"page", "ink", "accent"} <= set(named)
    assert named == {name: colors[name] for name in named}
