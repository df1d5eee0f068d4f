"""The studio's server: which runs it offers, and how it is started."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from talewright.errors import UserError
from talewright.run.included import INCLUDED
from talewright.server.address import choose_address, in_url, url

logger = logging.getLogger(__name__)

TRIES = 4
"""Tries to take a port beside other programs that take one at the same moment."""
MAX_SESSIONS = 200
"""Sessions that are remembered at once; the oldest are dropped."""


def find_runs(names: Sequence[str]) -> list[Path]:
    """The named folders, or else the newest run under runs/, if there is one, and the included model."""
    if names:
        return [Path(name) for name in names]
    recipes = sorted(Path("runs").glob("*/recipe.yaml"), key=lambda path: path.stat().st_mtime)
    return [*(recipe.parent for recipe in recipes[-1:]), Path(INCLUDED)]


def serve(folders: Sequence[Path], host: str = "127.0.0.1", port: int | None = None, device: str | None = None) -> None:
    """Serve the page until the process is stopped, and log its address. Raises UserError as `open_studio` does."""
    with open_studio(folders, host, port, device) as address:
        logger.info("The studio is open at %s (Ctrl-C closes it)", address)
        while True:
            time.sleep(3600)


@contextmanager
def open_studio(
    folders: Sequence[Path], host: str = "127.0.0.1", port: int | None = None, device: str | None = None
) -> Iterator[str]:
    """A server over these runs, by its address, until the context is left. `device` is where the models compute, as
    `machine.choose_device` reads it. Raises UserError if a folder is not a run, the device cannot be used, Gradio is
    not installed, or the address cannot be used.
    """
    if find_spec("gradio") is None:
        raise UserError('the studio needs Gradio: pip install "talewright[studio]"')
    choose_address(host, port)  # raises if there is none, before the slow imports
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # set before Gradio is imported: no telemetry
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    from talewright.server.registry import ModelRegistry
    from talewright.server.scheduler import GenerationScheduler
    from talewright.studio.page import build, launch_options
    from talewright.studio.shared import Studio

    registry = ModelRegistry(folders, device)
    studio = Studio(registry=registry, scheduler=GenerationScheduler(registry))
    try:
        page = build(studio).queue(max_size=1000, api_open=False)
        try:
            yield _launch_at_free_port(page, host, port, launch_options())
        finally:
            page.close(verbose=False)
    finally:
        studio.close()


def _launch_at_free_port(page: Any, host: str, port: int | None, options: dict[str, Any]) -> str:
    """`_launch`, and again if another program has taken the chosen port meanwhile."""
    for _ in range(TRIES):
        with suppress(UserError):
            return _launch(page, *choose_address(host, port), options)
    return _launch(page, *choose_address(host, port), options)


def _launch(page: Any, host: str, port: int, options: dict[str, Any]) -> str:
    """Start the server in threads of its own, and return its address. It serves nothing but the page: no uploads, no
    files, no description of its interface, no other protocol.
    """
    from httpx import HTTPError, InvalidURL

    try:
        with _without_proxy():
            app, *_ = page.launch(
                server_name=in_url(host),
                server_port=port,
                quiet=True,
                share=False,
                inbrowser=False,
                prevent_thread_lock=True,
                footer_links=[],
                state_session_capacity=MAX_SESSIONS,
                max_file_size=1,
                enable_monitoring=False,
                ssr_mode=False,
                pwa=False,
                mcp_server=False,
                **options,
            )
    except (OSError, HTTPError, InvalidURL) as error:
        raise UserError(f"port {port} of {host} cannot be used: {error}; name another by --port or --host") from None
    _serve_charts(app)
    return url(host, port)


def _serve_charts(app: Any) -> None:
    """Let the server also answer with what draws charts, before it looks for a page of that name."""
    from starlette.responses import Response
    from starlette.routing import Route

    from talewright.look import chart_script
    from talewright.studio.shared import CHARTS_PATH

    script = chart_script()

    def answer(_: Any) -> Response:
        return Response(script, media_type="text/javascript", headers={"Cache-Control": "max-age=3600"})

    app.router.routes.insert(0, Route(CHARTS_PATH, answer))


@contextmanager
def _without_proxy() -> Iterator[None]:
    """Within: requests go through no proxy. Gradio asks the server that it starts whether it answers."""
    names = ("no_proxy", "NO_PROXY")
    before = {name: os.environ[name] for name in names if name in os.environ}
    try:
        os.environ.update(dict.fromkeys(names, "*"))
        yield
    finally:
        for name in names:
            os.environ.pop(name, None)
        os.environ.update(before)
