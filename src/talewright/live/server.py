"""Serves the live page from a thread of the training process, and opens it in the browser."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, cast

from talewright.errors import UserError, visible
from talewright.files import shell_word
from talewright.live.progress import RunProgress

logger = logging.getLogger(__name__)
HOST, PORT = "127.0.0.1", 7960
"""The port is the same each time, so that a page that is open goes on with a resumed run; if it is taken, a free one is
used."""
NAMES = ("127.0.0.1", "localhost", "[::1]")
"""Hosts that a browser may ask for: another name that leads here is a page that tries to read this one."""
ASKED, PATIENCE = 5.0, 2.5
"""A page that asked so many seconds ago is open, and is given so many to read how the training ended."""

State = Literal["starting", "running", "finished", "stopped", "failed"]
Baselines = Callable[[Path], Mapping[str, float]]
"""Losses of simpler models on the validation stories of a run, in nats per token, by their names."""


@dataclass
class TrainingStatus:
    """How a training stands, as far as its log does not say."""

    ended: State | None = None
    message: str = ""

    def finish(self) -> None:
        """Say that training has ended by itself, whatever the command still does."""
        self.ended = "finished"


@dataclass
class LivePage:
    """What the page is answered."""

    run: Path
    baselines: Baselines
    status: TrainingStatus = field(default_factory=TrainingStatus)
    asked: float = -ASKED
    """When a browser asked last."""
    answered: State | None = None
    """The state that it was given."""

    def __post_init__(self) -> None:
        self._lock, self._progress = threading.Lock(), RunProgress(self.run)
        self._log_before = _changed(self.run / "log.jsonl")
        self._baselines: dict[str, float] | None = None

    @cached_property
    def page(self) -> bytes:
        from talewright.live.page import page

        return page().encode()

    def progress(self) -> bytes:
        """The progress now, as JSON."""
        with self._lock:
            self._progress.read()
            state = self._state()
            self._start_baselines(state)
            progress = self._progress
            baselines = [{"name": name, "loss": loss} for name, loss in (self._baselines or {}).items()]
            answer = {
                "name": self.run.resolve().name,
                "state": state,
                "message": self._message(state),
                "headline": progress.headline(),
                "fraction": progress.fraction(),
                "tiles": progress.tiles(running=state == "running"),
                "losses": {**progress.points(), "baselines": baselines},
                "samples": progress.chosen_samples(),
            }
            self.asked, self.answered = time.monotonic(), state
        return json.dumps(answer, allow_nan=False).encode()

    def _state(self) -> State:
        if self.status.ended:
            return self.status.ended
        begun = _changed(self.run / "log.jsonl") != self._log_before
        return "running" if begun and self._progress.steps else "starting"

    def _message(self, state: State) -> str:
        step = self._progress.steps
        if state == "starting" and _changed(self.run / "log.jsonl") == self._log_before:
            return "Starting: the stories and the model are read."
        if state == "stopped":
            command = f"talewright train --resume {shell_word(str(self.run))}"
            return f"Stopped at step {step:,}. To continue: {command}" if step else "Stopped before the first step."
        messages: dict[State, str] = {
            "starting": "Before the first step: the untrained model is evaluated, or the model compiled.",
            "running": "Training.",
            "finished": f"Finished at step {step:,}.",
            "failed": f"Failed: {visible(self.status.message)}",
        }
        return messages[state]

    def _start_baselines(self, state: State) -> None:
        """Compute the baselines once, in a thread of its own, as soon as the run has stories."""
        if self._baselines is None and state == "running":
            self._baselines = {}
            threading.Thread(target=self._compute_baselines, daemon=True).start()

    def _compute_baselines(self) -> None:
        try:
            self._baselines = dict(self.baselines(self.run))
        except (UserError, OSError) as error:  # the page does without
            logger.debug("no baselines: %s", error)

    def wait_for_reader(self) -> None:
        """If the page is open, wait until it has read how the training ended, but not for long."""
        end = time.monotonic() + PATIENCE
        while self.answered != self.status.ended and time.monotonic() - self.asked < ASKED and time.monotonic() < end:
            time.sleep(0.05)


@contextmanager
def live_page(run: Path, baselines: Baselines) -> Iterator[TrainingStatus]:
    """Within: the page of a run, which may not have begun, is served, and is opened in the browser once it trains. An
    exception is shown as the end of the training.
    """
    live = LivePage(run, baselines)
    server = _start_server(live)
    if server is None:
        yield live.status
        return
    address = f"http://{HOST}:{server.server_port}/"
    logger.info("live page: %s", address)
    closed = threading.Event()
    threading.Thread(target=_open_once_begun, args=(live, address, closed), daemon=True).start()
    try:
        yield live.status
    except (KeyboardInterrupt, SystemExit):
        live.status.ended = live.status.ended or "stopped"
        raise
    except BaseException as error:
        live.status.ended, live.status.message = "failed", str(error) or type(error).__name__
        raise
    finally:
        closed.set()
        live.status.ended = live.status.ended or "finished"
        live.wait_for_reader()
        server.shutdown()
        server.server_close()


def has_display() -> bool:
    """Whether a browser that is opened here is seen: not over SSH, nor on a server without a screen."""
    if "SSH_CONNECTION" in os.environ:
        return False
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = os.name == "posix"  # elsewhere it would take the port from another program
    live: LivePage

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that leaves before it has the answer is not an error."""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        live = cast(_Server, self.server).live
        if self.headers.get("Host", "").rpartition(":")[0] not in NAMES:
            self.send_error(403, "Only this machine may ask")
        elif self.path == "/":
            self._answer(live.page, "text/html; charset=utf-8")
        elif self.path == "/progress":
            self._answer(live.progress(), "application/json")
        else:
            self.send_error(404)

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), "Cache-Control": "no-store"}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """The terminal is the training's."""


def _start_server(live: LivePage) -> _Server | None:
    """A server that answers for the page; None, with a warning, if this machine allows none."""
    try:
        server = _Server((HOST, PORT), _Handler)
    except OSError:
        try:
            server = _Server((HOST, 0), _Handler)  # a free port
        except OSError as error:
            logger.warning("no live page: %s. Training continues", error.strerror)
            return None
    server.live = live
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True).start()
    return server


def _open_once_begun(live: LivePage, address: str, closed: threading.Event) -> None:
    """Open the browser when there is something to see: a command that is refused opens none."""
    while _changed(live.run / "log.jsonl") is None:
        if closed.wait(0.3):
            return
    if has_display() and time.monotonic() - live.asked > ASKED:  # else a page is open already
        with suppress(webbrowser.Error, OSError):
            webbrowser.open(address)


def _changed(path: Path) -> int | None:
    """When the file was last written; None if there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None
