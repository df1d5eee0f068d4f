"""What a visitor does on the studio's page, and stories that go on for as long as a test needs."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

PATIENCE = 120_000  # ms: a busy machine is slow, and no fault of the page
TABS = {"Tell": "#tell", "Compare": "#tell-both", "Inside": "#losses svg", "Watch": "#curves svg"}
"""The tabs, and what is seen in each as soon as it is drawn."""
DONE = re.compile("Paused|The end|Stopped")


def open_page(page: Any, address: str) -> None:
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    page.wait_for_selector("#tell")


def status(page: Any, words: Any = DONE, where: str = "#status") -> None:
    """Wait until the line of a screen reader says these words."""
    page.locator(where).get_by_role("status").filter(has_text=words).wait_for()


def ask(page: Any, prompt: str) -> None:
    page.get_by_label("How the story begins").fill(prompt)
    page.click("#tell")


def tell(page: Any, prompt: str = "Once upon a time") -> str:
    """Have a story told, and its text."""
    past = page.locator("#past .past > li")
    before = past.count()
    ask(page, prompt)
    past.nth(before).wait_for()
    status(page)
    return page.inner_text("#story .story")


def tell_by_word(page: Any, prompt: str = "One day, a dog") -> Any:
    """Have a story told, and its words to press."""
    tell(page, prompt)
    page.get_by_label("Word by word").check()
    words = page.locator("#story .word")
    words.first.wait_for()
    return words


def tab(page: Any, name: str) -> None:
    found = page.get_by_role("tab", name=name)
    if found.is_visible():
        found.click()
    else:  # Gradio folds tabs that find no room
        page.locator(".overflow-menu button").first.click()
        page.get_by_text(name, exact=True).last.click()


def drawn(page: Any, name: str) -> None:
    """Go to a tab, and wait until it is drawn."""
    tab(page, name)
    page.locator(
        {"Tell": "#tell", "Compare": "#tell-both", "Inside": "#losses svg", "Watch": "#curves svg"}[name]
    ).first.wait_for()


def focus(page: Any) -> str:
    """What has the focus: its id, or else the class and number of a word or button of ours."""
    return page.evaluate("(now => now.id || [now.className, now.dataset.word].join(' '))(document.activeElement)")


def endlessly(begin: Callable[..., Any]) -> Callable[..., Any]:
    """In place of `telling._begin`: stories that never end by themselves, so that the slowest test sees one told."""

    def begun(telling: Any, opened: Any) -> Iterator[int]:
        begin(telling, opened)
        tokens = opened.tokenizer.encode(" dog")

        def told() -> Iterator[int]:
            for token in itertools.cycle(tokens):
                time.sleep(0.02)
                yield token

        return told()

    return begun
