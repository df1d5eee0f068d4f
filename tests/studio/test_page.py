"""The page in a browser: every tab, and many users."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from talewright.server import scheduler
from tests.studio.browser import (
    TABS,
    drawn,
    ended_stream,
    endless_stream,
    paused_stream,
    script,
    status,
    submit,
    tab,
    tell,
    tell_by_word,
)
from tests.studio.conftest import write_log

pytestmark = pytest.mark.slow
SEED = re.compile(r"seed (\d+)")


def test_a_story_is_generated_continued_and_generated_again(page, monkeypatch):
    script(monkeypatch, paused_stream)
    first = tell(page)
    assert first.startswith("Once upon a time")
    assert len(first) > 40
    page.click("#continue")
    page.get_by_role("group", name="Story 2").wait_for()
    longer = page.text_content("#story .story")
    assert longer.startswith(page.text_content("#story-1"))
    assert len(longer) > len(first)
    page.click("#regenerate")
    page.get_by_role("group", name="Story 3").wait_for()
    assert page.text_content("#story-3") != page.text_content("#story-1")


def test_each_story_has_a_new_seed_which_gives_the_same_story_again(page):
    page.get_by_text("More settings").first.click()
    first = tell(page, "A cat and \n")
    assert first.startswith("A cat and")
    assert tell(page, "A cat and") != first
    [seed] = SEED.findall(page.text_content("#story-1 + .hint"))
    page.get_by_label("Seed").fill(seed)
    assert tell(page, "A cat and") == first
    page.click("#regenerate")
    page.get_by_role("group", name="Story 4").wait_for()
    assert page.get_by_label("Seed").input_value() == ""
    assert SEED.findall(page.text_content("#story-4 + .hint")) != [seed]


def test_a_story_that_ends_at_once_is_not_kept(page, monkeypatch):
    script(monkeypatch, ended_stream)
    for _ in range(2):
        submit(page, "")
        status(page, "The model ended the story at once")
    assert page.locator("#past .past > li").count() == 0
    tab(page, "Compare")
    page.click("#generate-both")
    for side in ("#side-1", "#side-2"):
        page.locator(side).get_by_text("No story.").wait_for()


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_the_page_does_not_move_from_tab_to_tab(users, width):
    """Neither while the tabs are empty, nor with a story."""
    page = users(viewport={"width": width, "height": 900})
    boxes = set()
    for _ in range(2):
        for name in TABS:
            page.get_by_role("tab", name=name).click()  # each is seen, and none is behind "..."
            page.get_by_role("tabpanel").first.wait_for()
            for part in (".head", ".tabs", "[role=tabpanel]:not([style*='none'])"):
                box = page.locator(part).locator("visible=true").first.bounding_box()
                boxes.add((round(box["x"], 1), round(box["width"], 1)))
        page.get_by_role("tab", name="Generate").click()
        tell(page)
    assert len(boxes) == 1
    [(left, wide)] = boxes
    assert left == pytest.approx((width - wide) / 2, abs=1)


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_no_empty_band_is_above_what_a_tab_shows(users, width):
    """An empty status line, or a hint that is not needed any more, takes no room."""
    page = users(viewport={"width": width, "height": 900})

    def space_above(shown: str) -> float:
        shown_box = page.locator(shown).locator("visible=true").first.bounding_box()
        tabs = page.get_by_role("tablist").first.bounding_box()
        return shown_box["y"] - tabs["y"] - tabs["height"]

    for name in ("Inside", "Steer"):
        tab(page, name)
        page.get_by_text("Generate a story first").locator("visible=true").wait_for()
        assert space_above(".story.empty") < 45
    tab(page, "Generate")
    tell(page)
    drawn(page, "Steer")
    assert space_above("[role=tabpanel] h2") < 45
    drawn(page, "Inside")
    assert space_above("#inside h2") < 45 + 50  # a line says who read the story


def test_past_stories_can_be_shown_saved_and_copied(page):
    tell(page, "A cat")
    tell(page, "A dog")
    page.get_by_role("group", name="Story 1").get_by_text("Show").click()
    page.locator("#past li[aria-current] #story-1").wait_for(state="attached")
    assert page.text_content("#story .story") == page.text_content("#story-1")
    status(page, re.compile(r"Story 1\. Seed \d+\."))
    assert page.inner_text("#story-head .chip").startswith("tales · 0.01M")
    with page.expect_download() as saved:
        page.get_by_role("group", name="Story 1").get_by_text("Save").click()
    assert Path(saved.value.path()).read_text() == page.text_content("#story-1")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("group", name="Story 2").get_by_text("Copy").click()
    page.get_by_text("Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == page.text_content("#story-2")


def test_a_story_is_stopped(page, monkeypatch):
    script(monkeypatch, endless_stream)
    submit(page, "A dog")
    status(page, "Writing")
    assert page.inner_text("#generate") == "Stop"
    assert page.locator("#continue").is_disabled()
    page.locator("#story").get_by_text("A dog dog").wait_for()
    page.click("#generate")
    status(page, "Stopped")
    assert page.inner_text("#generate") == "Generate"
    assert page.locator("#continue").is_enabled()


def test_a_story_continues_from_an_alternative_word(page):
    words = tell_by_word(page)
    before = page.text_content("#story-1")
    words.nth(4).click()
    page.locator("#others .other").first.wait_for()
    assert "%" in page.inner_text("#others .other >> nth=0")
    kept = [words.nth(i).inner_text() for i in range(4)]
    chosen = words.nth(4).inner_text()
    names = page.locator("#others .other .name").all_inner_texts()
    number = next(i for i, name in enumerate(names) if name not in (chosen, "the end of the story"))
    page.locator("#others .other").nth(number).click()
    page.get_by_role("group", name="Story 2").wait_for()
    words.first.wait_for()
    assert [words.nth(i).inner_text() for i in range(4)] == kept
    assert names[number] in words.nth(4).inner_text() or names[number] in ("a new line", "a space")
    assert page.text_content("#story-2") != before


def test_two_models_generate_side_by_side(page):
    tab(page, "Compare")
    page.get_by_label("How the stories begin").fill("A cat")
    page.click("#generate-both")
    for side in ("#side-1", "#side-2"):
        page.locator(f"{side} .story[aria-busy=false] .given").wait_for()
    first, second = page.inner_text("#side-1 .story"), page.inner_text("#side-2 .story")
    assert first.startswith("A cat")
    assert second.startswith("A cat")
    assert first != second


def test_the_current_story_is_inspected(page):
    tab(page, "Inside")
    page.get_by_text("Generate a story first").locator("visible=true").wait_for()
    tab(page, "Generate")
    tell(page)
    tab(page, "Inside")
    page.locator("#inside-map").wait_for()
    page.locator("#inside-heads button").nth(3).click()
    page.locator("#inside-map-title").filter(has_text="Head 1.1").wait_for()
    page.locator("#inside-story > span").nth(4).click()
    word = page.locator("#inside-story > span").nth(4).inner_text().strip()
    page.locator("#inside-expected h3").filter(has_text=f"“{word or '␣'}” had probability").wait_for()
    assert page.locator("#inside-expected .bars b").count() == 5
    before = page.locator("#inside-story").inner_text()
    tab(page, "Generate")
    tell(page, "A cat")
    tab(page, "Inside")
    page.locator("#inside-story").get_by_text("A").first.wait_for()
    page.wait_for_function("before => document.querySelector('#inside-story').innerText !== before", arg=before)


def test_a_part_is_switched_off_and_the_story_and_its_probabilities_change(page):
    tab(page, "Steer")
    page.get_by_text("Generate a story first").locator("visible=true").wait_for()
    tab(page, "Generate")
    story = tell(page)
    tab(page, "Steer")
    words = page.locator("#changes [data-id=words]")
    words.filter(has_text="Unchanged: the loss on this story is").wait_for()
    assert page.locator("#changes .story > span").first.evaluate("e => e.style.getPropertyValue('--a')") == "0.00"
    for name in ("Head 0.1 off", "Feed-forward layer 1 off"):
        page.get_by_role("button", name=name).click()
        page.locator(f"[aria-label='{name}'][aria-pressed=true]").wait_for()
    words.filter(has_text="Without 0.1, MLP 1: the loss on this story is").wait_for()
    page.click("#generate-changed")
    changed = page.locator("#changed").get_by_label("The story with the change")
    page.locator("#generate-changed").filter(has_text="Generate with the change").wait_for()
    page.locator("#changed [aria-busy=false]").nth(1).wait_for()
    assert page.get_by_label("The story as it is").inner_text() == story
    assert changed.inner_text() != story
    page.get_by_role("button", name="All on").click()
    words.filter(has_text="Unchanged").wait_for()


def test_a_direction_without_texts_is_a_sentence(page):
    tell(page)
    tab(page, "Steer")
    page.get_by_role("button", name="The direction").click()
    page.get_by_label("Away from these").fill("")
    page.get_by_label("Strength").first.fill("2")
    page.get_by_label("Strength").first.press("Tab")
    status(page, "A direction needs at least one text on both sides", "#steer-status")


def test_the_loss_chart_has_a_log_switch_and_smoothing_and_says_what_is_pointed_at(page):
    tab(page, "Watch")
    page.locator("#curves svg.marks").wait_for()
    line = "[...document.querySelectorAll('#curves .mark-line path')].map(path => path.getAttribute('d')).join()"
    drawn = page.evaluate(line)
    page.get_by_label("Smoothing").fill("20")
    page.wait_for_function(f"before => {line} !== before", arg=drawn)
    drawn = page.evaluate(line)
    page.get_by_label("Logarithmic loss axis").check()
    page.wait_for_function(f"before => {line} !== before", arg=drawn)
    box = page.locator("#curves svg.marks").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.locator("#vg-tooltip-element").get_by_text("nats per token").wait_for()


def test_any_number_of_models_is_compared(page):
    tab(page, "Compare")
    page.get_by_label("How the stories begin").fill("A cat")
    page.locator("#models").get_by_role("button", name="Remove").first.click()
    page.click("#generate-both")
    page.locator("#side-1 .story[aria-busy=false] .given").wait_for()
    assert page.locator("#compared li").count() == 1


def test_watch_follows_the_log_past_an_incomplete_line(page, served_run):
    tab(page, "Watch")
    page.get_by_text("is at step 20").wait_for()
    page.locator("#curves svg.marks").first.wait_for()
    write_log(served_run, 30)
    with (served_run / "log.jsonl").open("a") as log:
        log.write('{"event": "step", "st')
    page.get_by_text("is at step 30").wait_for()
    page.get_by_text("A cat of step 30.").wait_for()
    write_log(served_run, 20)


def test_a_waiting_user_sees_the_position_and_a_closed_page_frees_one(users, monkeypatch):
    script(monkeypatch, endless_stream)
    monkeypatch.setattr(scheduler, "TIMEOUT", 10_000)  # no longer polled: another way to free a position
    running = [users() for _ in range(2)]
    for each in running:  # two stories each: all four slots
        tab(each, "Compare")
        each.click("#generate-both")
        for side in ("#side-1", "#side-2"):
            each.locator(side).get_by_text(" dog dog").wait_for()
    second, third = users(), users()
    for position, waiting in enumerate((second, third), 1):
        submit(waiting, "A cat")
        status(waiting, re.compile(f"position in the queue: {position}\\."))
    second.close()  # leaves while waiting
    status(third, re.compile(r"position in the queue: 1\."))
    running[0].close()  # leaves while its stories grow
    third.locator("#story").get_by_text("A cat dog").wait_for()
    assert running[1].locator("#side-1 .story[aria-busy=true]").count() == 1
