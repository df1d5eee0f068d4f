"""A headless browser, a server of files, and the page that `--to web` writes, for the tests that look at it there."""

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

PATIENCE = 120_000  # ms: a busy machine is slow, and no fault of the page


def package_or_skip() -> Path:
    """onnxruntime-web of the user's cache, where npm puts it if it can."""
    try:
        return runtime_package()
    except UserError as error:
        pytest.skip(f"no onnxruntime-web to be had: {error}")


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser of this machine; the test is skipped where it has none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="looking at the page needs playwright")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Patient(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that leaves while a file comes is no error."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of the folder, as `python -m http.server` serves it."""
    server = _Patient(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


class Visit:
    """The page in the browser, with what it asked of whom and what it complained of."""

    def __init__(self, page: Any, address: str) -> None:
        self.page, self.address = page, address
        self.asked: list[str] = []
        self.errors: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.context.on("request", lambda request: self.asked.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.goto(address)

    def ready(self) -> Visit:
        self.page.wait_for_selector("#tell:enabled")
        return self

    def set(self, **values: Any) -> None:
        """Settings by the ids of their inputs, `_` for a dash."""
        self.page.evaluate(
            """values => { document.getElementById("settings").open = true;
              for (const [id, value] of Object.entries(values)) {
                const input = document.getElementById(id);
                input.value = value;
                input.dispatchEvent(new Event("input", {bubbles: true}));
              } }""",
            {name.replace("_", "-"): str(value) for name, value in values.items()},
        )

    def tell(self, prompt: str = "") -> str:
        """The whole story that is told to this beginning."""
        self.page.fill("#prompt", prompt)
        self.page.click("#tell")
        return self.told()

    def told(self) -> str:
        """The whole story, as soon as it is told."""
        self.page.wait_for_selector("#story[aria-busy=false]")
        return self.page.text_content("#story")

    def words(self, id_: str) -> str:
        return self.page.text_content(f"#{id_}") or ""
