"""A headless browser, a file server, and the page that `--to web` writes, for tests of the page."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from talewright.errors import UserError
from talewright.export.web.runtime import runtime_package

TIMEOUT = 120_000  # ms: enough for a busy machine


def package_or_skip() -> Path:
    """onnxruntime-web in the user's cache, downloaded by npm if possible."""
    try:
        return runtime_package()
    except UserError as error:
        pytest.skip(f"no onnxruntime-web: {error}")


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser on this machine; the test is skipped if there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="testing the page needs playwright")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that leaves during a download is not an error."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of the folder, as `python -m http.server` serves it."""
    server = _Server(("127.0.0.1", 0), partial(_QuietHandler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


class WebPage:
    """The page in the browser, with its requests and errors."""

    def __init__(self, tab: Any, address: str) -> None:
        self.tab, self.address = tab, address
        self.requests: list[str] = []
        self.errors: list[str] = []
        tab.set_default_timeout(TIMEOUT)
        tab.context.on("request", lambda request: self.requests.append(request.url))
        tab.on("pageerror", lambda error: self.errors.append(str(error)))
        tab.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        tab.goto(address)

    def ready(self) -> WebPage:
        self.tab.wait_for_selector("#generate:enabled")
        return self

    def set(self, **values: Any) -> None:
        """Set inputs by their ids, with `_` for a dash."""
        self.tab.evaluate(
            """values => { document.getElementById("settings").open = true;
              for (const [id, value] of Object.entries(values)) {
                const input = document.getElementById(id);
                input.value = value;
                input.dispatchEvent(new Event("input", {bubbles: true}));
              } }""",
            {name.replace("_", "-"): str(value) for name, value in values.items()},
        )

    def generate(self, prompt: str = "") -> str:
        """Generate a story from the prompt, and return it."""
        self.tab.fill("#prompt", prompt)
        self.tab.click("#generate")
        return self.story()

    def story(self) -> str:
        """The whole story, once it is generated."""
        self.tab.wait_for_selector("#story[aria-busy=false]")
        return self.tab.text_content("#story")

    def text(self, id_: str) -> str:
        return self.tab.text_content(f"#{id_}") or ""
