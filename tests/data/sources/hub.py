"""A small hub: serves the files of one dataset repository over HTTP as the real hub does."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

REPO = "someone/Stories"
SHA = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """The files of the server, and its requests."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.requests: list[str] = []
        self.breaks: dict[str, int] = {}
        """Files within which every connection breaks off, and after how many bytes."""
        self.url = ""

    def entry(self, path: str) -> dict[str, Any]:
        content = self.files[path]
        return {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}

    def entries(self, folder: str, recursive: bool) -> list[dict[str, Any]]:
        inside = [path for path in self.files if path.startswith(folder)]
        found = [self.entry(path) for path in inside if recursive or "/" not in path[len(folder) :]]
        below = {folder + path[len(folder) :].split("/")[0] for path in inside if "/" in path[len(folder) :]}
        return found + [{"type": "directory", "path": path, "size": 0, "oid": SHA} for path in sorted(below)]


@contextmanager
def serve(files: dict[str, bytes]) -> Iterator[Hub]:
    hub = Hub(files)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            hub.requests.append(f"{self.command} {self.path}")

        def do_GET(self) -> None:
            self.answer()

        def do_HEAD(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.answer(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())

        def answer(self, body: str = "") -> None:
            url = urlsplit(self.path)
            path, query = unquote(url.path), parse_qs(url.query)
            info = re.fullmatch(rf"/api/datasets/{REPO}(/revision/[^/]+)?", path)
            tree = re.fullmatch(rf"/api/datasets/{REPO}/tree/[^/]+/?(.*)", path)
            file = re.fullmatch(rf"/datasets/{REPO}/resolve/([^/]+)/(.*)", path)
            if info:
                names = [{"rfilename": name} for name in hub.files]
                self.send({"id": REPO, "sha": SHA, "private": False, "tags": [], "siblings": names})
            elif tree:
                folder = f"{tree[1]}/" if tree[1] else ""
                found = hub.entries(folder, "true" in [value.lower() for value in query.get("recursive", [])])
                self.send(found if found else {"error": "Entry not found"}, 200 if found else 404)
            elif re.fullmatch(rf"/api/datasets/{REPO}/paths-info/[^/]+", path):
                wanted = json.loads(body)["paths"] if body.startswith("{") else parse_qs(body)["paths"]
                self.send([hub.entry(name) for name in wanted if name in hub.files])
            elif file and file[2] in hub.files:
                self.send_file(hub.files[file[2]], hub.breaks.get(file[2]))
            else:
                self.send({"error": "not found"}, 404)

        def send(self, value: Any, status: int = 200) -> None:
            content = json.dumps(value).encode()
            self.send_response(status)
            if status == 404:
                self.send_header("X-Error-Code", "EntryNotFound" if REPO in self.path else "RepoNotFound")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def send_file(self, whole: bytes, break_after: int | None) -> None:
            start, stop = 0, len(whole)
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if asked:
                start, stop = int(asked[1]), min(int(asked[2] or stop - 1) + 1, stop)
            if asked and start >= len(whole):
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if asked else 200)
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(whole)}")
            self.send_header("ETag", f'"{hashlib.sha1(whole).hexdigest()}"')
            self.send_header("X-Repo-Commit", SHA)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(stop - start))
            self.end_headers()
            if self.command == "HEAD":
                return
            end = stop if break_after is None else min(stop, max(start, break_after))
            self.wfile.write(whole[start:end])
            if end < stop:
                self.wfile.flush()
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
