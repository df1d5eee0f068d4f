"""A small server with OpenAI's chat completions API, which can be as bad as a real one."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, dict[str, str], bytes]
Script = Callable[[int, dict[str, Any]], Reply]
"""The reply to request number N, counted from 0, with that body."""


def completion(text: str | None, finish_reason: str = "stop", **message: Any) -> Reply:
    """A complete answer with this text."""
    body = {
        "choices": [{"finish_reason": finish_reason, "message": {"role": "assistant", "content": text, **message}}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10},
    }
    return 200, {}, json.dumps(body).encode()


def failed(status: int, message: str = "", **headers: str) -> Reply:
    body = json.dumps({"error": {"message": message}}).encode()
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, body


def grade(number: int = 7, age: str = "C") -> str:
    return json.dumps({"grammar": number, "creativity": 5, "consistency": number, "plot": 6, "age": age})


class Server:
    """The requests that it got, and how many at once."""

    def __init__(self, script: Script) -> None:
        self.script, self.lock = script, threading.Lock()
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.now = self.most_at_once = 0
        self.url = ""


@contextmanager
def judge_server(script: Script, takes: float = 0.0) -> Iterator[Server]:
    """A server on this machine that answers by the script, each request in `takes` seconds."""
    server = Server(script)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with server.lock:
                number = len(server.bodies)
                server.bodies.append(body)
                server.headers.append(dict(self.headers))
                server.paths.append(self.path)
                server.now += 1
                server.most_at_once = max(server.most_at_once, server.now)
            time.sleep(takes)
            status, headers, answer = server.script(number, body)
            with server.lock:
                server.now -= 1
            try:
                self.send_response(status)
                for name, value in {"Content-Length": str(len(answer)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)
            except OSError:
                pass  # the client has left

        def do_GET(self) -> None:  # what a followed redirection would become
            self.do_POST()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
