"""The page over an untrained run, and its users."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from talewright.generate.sampling import Sampling
from talewright.server import scheduler
from talewright.studio import open_studio
from tests.export.browser import chromium
from tests.server.conftest import SMALL, make_scheduler, pattern, registry, run, write_log
from tests.studio.browser import open_page

__all__ = ["SMALL", "make_scheduler", "pattern", "registry", "run", "write_log"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    pytest.importorskip("gradio", reason="the studio needs Gradio: the extra `studio`")
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def served_run(pattern: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(pattern, tmp_path_factory.mktemp("served") / "tales"))


@pytest.fixture(scope="module")
def address(served_run: Path) -> Iterator[str]:
    pytest.importorskip("gradio", reason="the studio needs Gradio: the extra `studio`")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sampling, "max_new_tokens", 60)  # what the page begins with: short stories are enough for tests
        patch.setattr(scheduler, "GenerationScheduler", partial(scheduler.GenerationScheduler, slots=4))
        with open_studio([served_run]) as opened:
            yield opened


@pytest.fixture
def users(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Opens the page for a new user. A request to another server, or an error in the page, fails the test."""
    contexts, requests, wrong = [], [], []

    def opened(**options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        open_page(page, address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not wrong
    assert not [url for url in requests if not url.startswith((address, "blob:", "data:"))]


@pytest.fixture
def page(users: Callable[..., Any]) -> Any:
    return users()
