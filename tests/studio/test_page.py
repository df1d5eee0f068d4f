"""The page in a browser, from one end to the other: every tab, every key, wide and narrow, by day and by night."""

from __future__ import annotations

import json
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio", reason="the studio needs Gradio: the extra `studio`")
sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: the extra `dev`")

from talewright.studio import open_studio  # noqa: E402
from tests.studio.conftest import write_log  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(170)]
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
TABS = ("Tell", "Compare", "Inside", "Watch")
DONE = re.compile("Paused|The end|Stopped")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def served_run(pattern: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(pattern, tmp_path_factory.mktemp("served") / "tales"))


@pytest.fixture(scope="module")
def address(served_run: Path) -> Iterator[str]:
    with open_studio([served_run]) as opened:
        yield opened


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page of a new visitor; whatever it asks of another server, and whatever fails in it, fails the test."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    opened, elsewhere, wrong = context.new_page(), [], []
    opened.set_default_timeout(60_000)
    opened.on("request", lambda request: elsewhere.append(request.url))
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    open_page(opened, address)
    yield opened
    context.close()
    assert not wrong
    assert not [url for url in elsewhere if not url.startswith((address, "blob:", "data:"))]


def open_page(page: Any, address: str) -> None:
    page.goto(address)
    page.wait_for_selector("#tell")


def status(page: Any, words: Any = DONE, where: str = "#status") -> None:
    page.locator(where).get_by_role("status").filter(has_text=words).wait_for()


def tell(page: Any, prompt: str = "Once upon a time") -> str:
    """Have a story told, and its text."""
    page.get_by_label("How the story begins").fill(prompt)
    page.click("#tell")
    page.locator("#story .story[aria-busy=false] .given").wait_for()
    status(page)
    return page.inner_text("#story .story")


def tab(page: Any, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def test_a_story_is_told_goes_on_and_is_told_again(page):
    first = tell(page)
    assert first.startswith("Once upon a time")
    assert len(first) > 40
    page.click("#go-on")
    page.get_by_role("group", name="Story 2").wait_for()
    longer = page.text_content("#story .story")
    assert longer.startswith(page.text_content("#story-1"))
    assert len(longer) > len(first)
    page.click("#again")
    page.get_by_role("group", name="Story 3").wait_for()
    assert page.text_content("#story-3") != page.text_content("#story-1")
    page.get_by_role("group", name="Story 1").get_by_text("Show").click()
    page.locator("#past li[aria-current] #story-1").wait_for(state="attached")
    assert page.text_content("#story .story") == page.text_content("#story-1")
    with page.expect_download() as saved:
        page.get_by_role("group", name="Story 1").get_by_text("Save").click()
    assert Path(saved.value.path()).read_text() == page.text_content("#story-1")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("group", name="Story 2").get_by_text("Copy").click()
    page.get_by_text("Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == page.text_content("#story-2")


def test_a_story_is_stopped(page, monkeypatch):
    from talewright.studio import telling

    monkeypatch.setattr(telling, "_begin", slowly(telling._begin))
    page.fill("#prompt textarea", "A dog")
    page.click("#tell")
    status(page, "Telling")
    assert page.locator("#tell").is_disabled()
    page.click("#stop")
    status(page, "Stopped")
    assert page.locator("#go-on").is_enabled()
    assert page.locator("#stop").is_disabled()


def slowly(begin):
    import time

    def begun(*given):
        tokens = begin(*given)

        def each():
            for token in tokens:
                time.sleep(0.05)
                yield token
            return False

        return each()

    return begun


def test_another_word_is_chosen_and_the_story_goes_on_from_it(page):
    tell(page, "One day, a dog")
    page.get_by_label("Word by word").check()
    words = page.locator("#story .word")
    words.first.wait_for()
    before = page.text_content("#story-1")
    words.nth(4).click()
    page.locator("#others .other").first.wait_for()
    assert "%" in page.inner_text("#others .other >> nth=0")
    kept = [words.nth(i).inner_text() for i in range(4)]
    told = words.nth(4).inner_text()
    others = page.locator("#others .other")
    other = next(
        each for each in others.all() if each.locator(".name").inner_text() not in (told, "the end of the story")
    )
    name = other.locator(".name").inner_text()
    other.click()
    page.get_by_role("group", name="Story 2").wait_for()
    words.first.wait_for()
    assert [words.nth(i).inner_text() for i in range(4)] == kept
    assert name in words.nth(4).inner_text() or name in ("a new line", "a space")
    assert page.text_content("#story-2") != before


def test_two_tell_side_by_side(page):
    tab(page, "Compare")
    page.get_by_label("How both stories begin").fill("A cat")
    page.click("#tell-both")
    for side in ("#side-1", "#side-2"):
        page.locator(f"{side} .story[aria-busy=false] .given").wait_for()
    first, second = page.inner_text("#side-1 .story"), page.inner_text("#side-2 .story")
    assert first.startswith("A cat")
    assert second.startswith("A cat")
    assert first != second


def test_inside_is_the_story_just_told(page):
    tab(page, "Inside")
    page.get_by_text("Tell a story first").wait_for()
    tab(page, "Tell")
    tell(page)
    tab(page, "Inside")
    page.locator("#losses svg").wait_for()
    page.locator("#attention figcaption").filter(has_text="Layer 0, head 0 looks").wait_for()
    page.get_by_label("Head of attention").click()
    page.get_by_role("option", name="Layer 1, head 1").click()
    page.locator("#attention figcaption").filter(has_text="Layer 1, head 1 looks").wait_for()


def test_watch_follows_the_log_past_a_torn_line(page, served_run):
    tab(page, "Watch")
    page.get_by_text("at step 20").wait_for()
    page.locator("#curves svg").first.wait_for()
    write_log(served_run, 30)
    with (served_run / "log.jsonl").open("a") as log:
        log.write('{"event": "step", "st')
    page.get_by_text("at step 30").wait_for()
    page.get_by_text("A cat of step 30.").wait_for()
    write_log(served_run, 20)


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "🐉🏳️‍🌈 a dragon",
        "<script>window.hurt = 1</script><img src=x onerror='window.hurt = 1'>",
        "${window.hurt = 1} {{x}}",
    ],
)
def test_any_prompt_is_shown_as_text(page, prompt):
    page.get_by_label("How the story begins").fill(prompt)
    page.click("#tell")
    page.get_by_role("group", name="Story 1").wait_for()
    assert page.text_content("#story .story").startswith(prompt)
    assert page.evaluate("window.hurt") is None


def test_long_prompts_are_taken_or_refused_in_a_sentence(page):
    tell(page, "dog " * 10_000)
    status(page, "longer than the model's context")
    page.get_by_label("How the story begins").fill("x" * 80_001)
    page.click("#tell")
    status(page, "up to 80,000 are taken here")
    tell(page, "A cat")


def test_a_run_that_is_deleted_leaves_a_sentence_and_a_server(page, served_run, pattern):
    tell(page)
    shutil.rmtree(served_run)
    try:
        page.click("#tell")
        status(page, "the run tales is gone")
        tab(page, "Watch")
        page.locator("#watch-status").get_by_text("the run tales is gone").wait_for()
        assert "Traceback" not in page.content()
    finally:
        shutil.copytree(pattern, served_run)
    tab(page, "Tell")
    tell(page)


def test_it_is_all_done_with_the_keyboard(page):
    page.keyboard.press("Tab")
    for _ in range(40):  # on to the beginning
        if page.evaluate("document.activeElement.closest('#prompt') !== null"):
            break
        page.keyboard.press("Tab")
    page.keyboard.type("Once upon a time")
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "tell":
            break
    page.keyboard.press("Enter")
    status(page)
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('#by-word') !== null"):
            break
    page.keyboard.press("Space")
    page.locator("#story .word").first.wait_for()
    page.keyboard.press("Shift+Tab")
    assert "word" in page.evaluate("document.activeElement.className")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.word") == "1"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.locator("#others .other").first.wait_for()


def test_a_phone_shows_it_all_without_scrolling_sideways(browser, address):
    context = browser.new_context(viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True)
    page = context.new_page()
    open_page(page, address)
    tell(page, "Once " + "x" * 200)
    page.get_by_label("Word by word").check()
    page.locator("#story .word").first.wait_for()
    for name in TABS:
        if not page.get_by_role("tab", name=name).is_visible():  # Gradio folds tabs that find no room
            page.locator(".overflow-menu button").first.click()
            page.get_by_text(name, exact=True).last.click()
        else:
            tab(page, name)
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, name
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser, address, theme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe: the extra `dev`").Axe()
    context = browser.new_context(color_scheme=theme, viewport={"width": 1200, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    open_page(page, address)
    found = {}
    tell(page)
    page.get_by_label("Word by word").check()
    page.locator("#story .word").first.click()
    page.locator("#others .other").first.wait_for()
    page.get_by_text("How it is told").click()
    for name in TABS:
        tab(page, name)
        page.wait_for_timeout(2500 if name in ("Inside", "Watch") else 300)
        for each in axe.run(page).response["violations"]:
            if each["impact"] in ("serious", "critical"):
                found[f"{name}: {each['id']}"] = [node["html"][:160] for node in each["nodes"]][:4]
    context.close()
    assert not found, json.dumps(found, indent=1)


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file={run}/recipe.yaml",
        "/gradio_api/file=/etc/passwd",
        "/file=/etc/passwd",
        "/gradio_api/file=../../pyproject.toml",
    ],
)
def test_no_file_is_served(address, served_run, path):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(address + path.format(run=served_run), timeout=20)
    assert refused.value.code in (403, 404)


def test_nothing_is_reported_and_no_font_is_fetched(address):
    html = urllib.request.urlopen(address, timeout=20).read().decode()
    config = json.loads(urllib.request.urlopen(address + "/config", timeout=20).read())
    assert config["analytics_enabled"] is False
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=[\"']https?://", html)
    css = urllib.request.urlopen(address + "/theme.css", timeout=20).read().decode()
    assert "@font-face" not in css
    assert not re.findall(r"https?://(?!www\.w3\.org/)", css)  # the names of SVG alone, which nobody fetches
