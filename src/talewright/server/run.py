"""Starts the server, and stops it after the answers that it owes."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from talewright.errors import UserError

logger = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 30
"""How long the texts in progress may take after a signal to stop."""


def serve(
    folders: Sequence[Path],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    api_key: str | None = None,
    max_tokens: int = 2048,
    max_running: int = 64,
    max_waiting: int = 100,
    device: str | None = None,
) -> None:
    """Serve the runs until a signal comes, and log the address. Raises UserError if a folder is not a run, the device
    or the address cannot be used, or FastAPI is not installed.
    """
    _check(api_key, {"--max-tokens": max_tokens, "--max-running": max_running}, max_waiting)
    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        raise UserError('the server needs FastAPI and uvicorn: pip install "talewright[studio]"')
    import uvicorn

    from talewright.server.address import listen
    from talewright.server.completions import Service, build_app
    from talewright.server.registry import ModelRegistry
    from talewright.server.scheduler import GenerationScheduler

    registry = ModelRegistry(folders, device)
    listening, address = listen(host, port)
    with listening:
        most = max_running + max_waiting
        scheduler = GenerationScheduler(registry, slots=max_running, queue=max_waiting, per_user=most)
        try:
            app = build_app(Service(registry, scheduler, api_key, max_tokens))
            config = uvicorn.Config(
                app, log_level="warning", timeout_graceful_shutdown=SHUTDOWN_SECONDS, server_header=False
            )
            logger.info(
                "Serving %s at %s/v1 as OpenAI's completions (Ctrl-C ends it)", ", ".join(registry.names), address
            )
            uvicorn.Server(config).run(sockets=[listening])
        finally:
            scheduler.close()


def _check(api_key: str | None, counts: Mapping[str, int], max_waiting: int) -> None:
    problems = [f"{name} is {value}; it must be 1 or more" for name, value in counts.items() if value < 1]
    if max_waiting < 0:
        problems.append(f"--max-waiting is {max_waiting}; it must be 0 or more")
    if api_key is not None and not re.fullmatch(r"[!-~]+", api_key):
        problems.append(
            "the API key (--api-key, otherwise TALEWRIGHT_API_KEY) must be ASCII letters, digits and punctuation, at "
            "least one and no blanks, because it is sent in a header; leave it out to ask for no key"
        )
    if problems:
        raise UserError("\n".join(problems))
