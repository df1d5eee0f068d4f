"""The report in a browser: its charts are drawn, its text can be read, and its labels do not collide."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from talewright.inspect.session import InspectionOptions, inspect_run
from tests.export.browser import chromium

SMALL_TEXT = """[...document.querySelectorAll('body *')].filter((e) => e.getClientRects().length
  && [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())
  && parseFloat(getComputedStyle(e).fontSize) < 12).map((e) => e.outerHTML.slice(0, 200))"""
MAP_LABELS = """[...document.querySelectorAll('#words figure.chart .mark-text text')]
  .filter((e) => e.closest('.role-mark') && e.textContent)
  .map((e) => { const b = e.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]; })"""


@pytest.fixture(scope="module")
def report(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(trained.parent / "cache"))
    path = inspect_run(trained, InspectionOptions(against="4"), tmp_path_factory.mktemp("report"))
    monkeypatch.undo()
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


def opened(browser: Any, report: Path, width: int, scheme: str) -> tuple[Any, list[str]]:
    """The page, unfolded and with every chart drawn, and what its console says."""
    tab, messages = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme), []
    tab.on("pageerror", lambda error: messages.append(str(error)))
    tab.on("console", lambda message: messages.append(message.text))
    tab.goto(report.as_uri())
    tab.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    for figure in tab.query_selector_all("figure.chart"):
        figure.scroll_into_view_if_needed()
    tab.wait_for_function(
        "[...document.querySelectorAll('figure.chart')].every((f) => f.querySelector('svg .mark-group'))"
    )
    return tab, messages


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (768, "light"), (1280, "light")])
def test_the_page_fits_its_width_and_can_be_read(browser: Any, report: Path, width: int, scheme: str) -> None:
    tab, messages = opened(browser, report, width, scheme)
    assert messages == []
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    assert tab.evaluate(SMALL_TEXT) == []
    boxes = tab.evaluate(MAP_LABELS)
    assert len(boxes) > 3
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            assert not (a[0] < b[2] and b[0] < a[2] and a[1] + 2 < b[3] and b[1] + 2 < a[3])  # a line box has leading
    tab.close()


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_axe_finds_nothing_serious(browser: Any, report: Path, width: int, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    tab, _ = opened(browser, report, width, scheme)
    found = axe.Axe().run(tab).response["violations"]
    assert [
        (each["id"], each["nodes"][0]["html"][:200]) for each in found if each["impact"] in ("serious", "critical")
    ] == []
    tab.close()


def test_a_token_a_head_and_a_word_can_be_chosen(browser: Any, report: Path) -> None:
    tab, _ = opened(browser, report, 1280, "light")
    tab.click("#story > span:nth-child(3)")
    assert (tab.text_content("#story > span:nth-child(3)") or "").strip() in (tab.text_content("#expected h3") or "")
    pushed = tab.evaluate("JSON.parse(document.getElementById('data').textContent).pushes[2].top")
    assert tab.locator("#pushes .bars b").all_text_contents() == [part for part, _ in pushed]
    against = tab.locator("#pushes .bars i").evaluate_all("(bars) => bars.map((bar) => bar.className === 'against')")
    assert against == [value < 0 for _, value in pushed]
    before = tab.text_content("#map-title")
    tab.click("#heads button[aria-pressed=false] >> nth=0")
    assert tab.text_content("#map-title") != before
    words = tab.evaluate("Object.keys(JSON.parse(document.getElementById('data').textContent).near)")
    tab.fill("#word", words[0])
    cosine = tab.text_content("#near u") or ""
    assert -1 <= float(cosine) <= 1
    tab.close()
