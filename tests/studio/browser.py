"""What a user does on the studio's page, and stories that grow for as long as a test needs."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

from talewright.generate.batching import Request
from talewright.generate.engine import Engine

Stream = Callable[[Request, Any], Generator[int, None, bool]]

PATIENCE = 120_000  # ms: a busy machine is slow, which is not the page's fault
TABS = {
    "Generate": "#generate",
    "Compare": "#generate-both",
    "Inside": "#inside-map",
    "Steer": "#parts .part",
    "Watch": "#curves svg.marks",
}
"""The tabs, and what each shows as soon as it is drawn."""
DONE = re.compile("Paused|The end|Stopped")


def open_page(page: Any, address: str) -> None:
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    page.wait_for_selector("#generate")


def status(page: Any, words: Any = DONE, where: str = "#status") -> None:
    """Wait until the status line has this text."""
    page.locator(where).get_by_role("status").filter(has_text=words).wait_for()


def submit(page: Any, prompt: str) -> None:
    page.get_by_label("How the story begins").fill(prompt)
    page.click("#generate")


def tell(page: Any, prompt: str = "Once upon a time") -> str:
    """Generate a story, and return its text."""
    past = page.locator("#past .past > li")
    before = past.count()
    submit(page, prompt)
    past.nth(before).wait_for()
    status(page)
    return page.inner_text("#story .story")


def tell_by_word(page: Any, prompt: str = "One day, a dog") -> Any:
    """Generate a story, and return its words as buttons."""
    tell(page, prompt)
    if page.get_attribute(".toggle", "aria-pressed") == "false":
        page.click(".toggle")
    words = page.locator("#story .word")
    words.first.wait_for()
    return words


def tab(page: Any, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def drawn(page: Any, name: str) -> None:
    """Go to a tab, and wait until it is drawn."""
    tab(page, name)
    page.locator(TABS[name]).first.wait_for()


def focus(page: Any) -> str:
    """What has the focus: its id, or else its class and the number of its word."""
    return page.evaluate("(now => now.id || [now.className, now.dataset.word].join(' '))(document.activeElement)")


class ScriptedBatch:
    """In place of a `ContinuousBatch`: each request gets the tokens of a stream of its own."""

    def __init__(self, tokenizer: Any, stream: Stream) -> None:
        self.tokenizer, self.stream = tokenizer, stream
        self.streams: dict[Request, Generator[int, None, bool]] = {}

    @property
    def busy(self) -> bool:
        return bool(self.streams)

    def add(self, *requests: Request) -> None:
        for request in requests:
            request.sampling = replace(request.sampling, max_new_tokens=1_000_000)  # the stream says how long it is
            self.streams[request] = self.stream(request, self.tokenizer)

    def step(self) -> None:
        for request, stream in list(self.streams.items()):
            try:
                request.tokens.append(next(stream))
            except StopIteration as end:
                request.finished, request.stopped = bool(end.value), not end.value
            if request.done:
                del self.streams[request]


def script(monkeypatch: Any, stream: Stream) -> None:
    """Let all stories be those of a stream."""
    monkeypatch.setattr(Engine, "batch", lambda engine: ScriptedBatch(engine.tokenizer, stream))


def ended_stream(request: Request, tokenizer: Any) -> Generator[int, None, bool]:
    """A model that ends every story at once."""
    yield from ()
    return True


def paused_stream(request: Request, tokenizer: Any) -> Generator[int, None, bool]:
    """Stories that pause; another seed gives another one."""
    yield from tokenizer.encode(f" dog {request.sampling.seed} and a cat and a bird")
    return False


def endless_stream(request: Request, tokenizer: Any) -> Generator[int, None, bool]:
    """Stories that never end, so that even the slowest test sees one growing."""
    for token in itertools.cycle(tokenizer.encode(" dog")):
        time.sleep(0.02)
        yield token
    return True
