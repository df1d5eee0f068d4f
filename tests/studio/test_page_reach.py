"""The page for everybody: by keyboard, on a phone, in light and dark mode, with a screen reader."""

from __future__ import annotations

import json

import pytest

from tests.studio.browser import TABS, drawn, endless_stream, focus, script, status, submit, tab, tell, tell_by_word

pytestmark = pytest.mark.slow


def press_until(page, wanted, key="Tab"):
    """Press a key until the focused element `now` meets a condition."""
    for _ in range(40):
        if page.evaluate(f"(now => {wanted})(document.activeElement)"):
            return
        page.keyboard.press(key)
    raise AssertionError(f"{key} does not reach {wanted}")


def waits_for_focus(page, wanted):
    page.wait_for_function(f"(now => {wanted})(document.activeElement)")


def test_everything_can_be_done_with_the_keyboard(page):
    press_until(page, "now.closest('#prompt')")
    page.keyboard.type("Once upon a time")
    press_until(page, "now.id === 'generate'")
    page.keyboard.press("Enter")
    status(page)
    waits_for_focus(page, "now.id === 'generate'")
    press_until(page, "now.matches('.toggle')")
    page.keyboard.press("Space")
    page.locator("#story .word").first.wait_for()
    press_until(page, "now.matches('.word')", "Shift+Tab")
    page.keyboard.press("ArrowRight")
    assert focus(page).split()[-1] == "1"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.locator("#others .other").first.wait_for()
    waits_for_focus(page, "now.matches('.word[aria-pressed=true]') && now.dataset.word === '1'")
    press_until(page, "now.matches('.other')")
    page.keyboard.press("Enter")
    page.get_by_role("group", name="Story 2").wait_for()
    waits_for_focus(page, "now.id === 'generate'")
    press_until(page, "now.dataset.open === '1'")
    page.keyboard.press("Enter")
    status(page, "Story 1")
    waits_for_focus(page, "now.dataset.open === '1'")


def test_the_focus_goes_to_stop_while_a_story_grows_and_back(page, monkeypatch):
    script(monkeypatch, endless_stream)
    page.get_by_label("How the story begins").fill("A dog")
    for button in ("generate", "continue", "regenerate"):
        page.focus(f"#{button}")
        page.keyboard.press("Enter")
        waits_for_focus(page, "now.id === 'generate' && now.innerText === 'Stop'")
        page.locator("#story").get_by_text("A dog dog").wait_for()  # also if it is continued, or generated again
        page.keyboard.press("Enter")
        waits_for_focus(page, "now.id === 'generate' && now.innerText === 'Generate'")
    tab(page, "Compare")
    page.focus("#generate-both")
    for says in ("Stop", "Generate all"):
        page.keyboard.press("Enter")
        waits_for_focus(page, f"now.id === 'generate-both' && now.innerText === '{says}'")


def test_the_focus_stays_where_the_user_put_it(page, monkeypatch):
    script(monkeypatch, endless_stream)
    submit(page, "A dog")
    status(page, "Writing")
    page.get_by_label("How the story begins").focus()
    page.locator("#story").get_by_text("dog dog dog").wait_for()
    assert page.evaluate("document.activeElement.closest('#prompt') !== null")
    page.click("#generate")
    status(page, "Stopped")
    page.locator("h1").click()  # outside everything: nothing has the focus
    page.focus("#continue")
    page.keyboard.press("Enter")
    status(page, "Writing")
    page.locator("h1").click()
    page.locator("#story").get_by_text("dog dog dog dog").wait_for()
    assert page.evaluate("document.activeElement === document.body")


def test_a_phone_shows_it_all_without_scrolling_sideways(users):
    page = users(viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True)
    tell_by_word(page, "Once " + "x" * 200)
    for name in TABS:
        drawn(page, name)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, name


def test_on_a_phone_a_new_story_scrolls_into_view(users, monkeypatch):
    script(monkeypatch, endless_stream)
    page = users(viewport={"width": 360, "height": 480}, is_mobile=True, has_touch=True)
    top = "document.querySelector('#story .story').getBoundingClientRect().top"
    page.get_by_label("How the story begins").fill("A dog")
    page.evaluate("window.scrollTo(0, 0)")
    assert page.evaluate(top) > 500
    page.locator("#generate").dispatch_event("click")  # a click of the test's own would scroll by itself
    page.wait_for_function(f"{top} < 440 && {top} > 0")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(users, theme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe: the extra `dev`").Axe()
    page = users(color_scheme=theme, reduced_motion="reduce")
    tell_by_word(page).first.click()
    page.locator("#others .other").first.wait_for()
    page.get_by_text("More settings").first.click()
    page.get_by_label("Seed").wait_for()
    tell(page, "A cat")
    page.locator("#story .word").first.click()
    page.locator("#others .other").first.wait_for()
    found = {}
    for name in TABS:
        drawn(page, name)
        for each in axe.run(page).response["violations"]:
            if each["impact"] in ("serious", "critical"):
                found[f"{name}: {each['id']}"] = [node["html"][:160] for node in each["nodes"]][:4]
    assert not found, json.dumps(found, indent=1)
