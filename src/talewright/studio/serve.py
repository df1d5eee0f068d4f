"""The studio's server: which runs it offers, and how it is started."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from talewright.errors import UserError

SESSIONS = 200
"""Visits that are remembered at once; the oldest go first."""
NONE = (
    "there is no run under runs/ yet. `talewright demo` makes one in three minutes; then `talewright studio` opens it. "
    "Or name a run folder: talewright studio RUN"
)


def find_runs(named: Sequence[str]) -> list[Path]:
    """The folders named, or else the newest run under runs/. Raises UserError where there is none."""
    if named:
        return [Path(name) for name in named]
    found = sorted(Path("runs").glob("*/recipe.yaml"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise UserError(NONE)
    return [found[-1].parent]


def serve(
    folders: Sequence[Path], host: str = "127.0.0.1", port: int | None = None, say: Callable[[str], None] = print
) -> None:
    """Serve the page until the process is stopped. Raises UserError as `open_studio` does."""
    with open_studio(folders, host, port) as address:
        say(f"the studio is open at {address} (Ctrl-C closes it)")
        while True:
            time.sleep(3600)


@contextmanager
def open_studio(folders: Sequence[Path], host: str = "127.0.0.1", port: int | None = None) -> Iterator[str]:
    """A server over these runs, by its address, until the context is left. Raises UserError where a folder is no run,
    Gradio is not installed, or the address cannot be used.
    """
    if find_spec("gradio") is None:
        raise UserError('the studio needs Gradio: pip install "talewright[studio]"')
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # said before Gradio is imported: it reports to nobody
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    from talewright.studio.library import Library
    from talewright.studio.page import build, looks
    from talewright.studio.parts import Studio
    from talewright.studio.telling import Desk

    library = Library(folders)
    studio = Studio(library=library, desk=Desk(library))
    try:
        page = build(studio).queue(max_size=1000, api_open=False)
        try:
            yield _launch(page, host, port, looks())
        finally:
            page.close(verbose=False)
    finally:
        studio.close()


def _launch(page: Any, host: str, port: int | None, looks: dict[str, Any]) -> str:
    """Start the server in threads of its own; its address. It serves nothing but the page: no uploads, no files, no
    description of its interface, no other program's protocol.
    """
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            quiet=True,
            share=False,
            inbrowser=False,
            prevent_thread_lock=True,
            footer_links=[],
            state_session_capacity=SESSIONS,
            max_file_size=1,
            enable_monitoring=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            **looks,
        )
    except OSError as error:
        where = f"port {port}" if port else "a port from 7860 on"
        raise UserError(f"{where} of {host} cannot be used: {error}; name another by --port or --host") from None
    return address.rstrip("/")
