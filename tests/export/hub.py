"""A small hub on this machine: what huggingface_hub asks of it to upload a folder, with the checks that matter."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import yaml

LARGE = (".safetensors", ".gguf", ".png")
"""Files that go to the large file storage, named by their SHA-256."""


class Hub:
    """The state of the hub: its repositories, each with files, and what it refuses."""

    def __init__(self) -> None:
        self.address, self.role = "", "write"
        self.repositories: dict[str, dict[str, bytes]] = {}
        """Files by TYPE/OWNER/NAME."""
        self.sdks: dict[str, str] = {}
        self.large: dict[str, bytes] = {}
        self.refusals: dict[str, int] = {}
        """Statuses by a part of the path of a request."""

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Status and JSON value."""
        for part, status in self.refusals.items():
            if part in path:
                return status, {"error": f"refused {path}"}
        parts = path.split("?")[0].strip("/").split("/")
        match method, parts:
            case "HEAD", _:
                return 200, None
            case "GET", ["api", "whoami-v2"]:
                return 200, {"name": "ada", "auth": {"accessToken": {"role": self.role}}}
            case "POST", ["api", "repos", "create"]:
                return self.create(json.loads(body))
            case "POST", ["api", "validate-yaml"]:
                return self.validate(json.loads(body)["content"])
            case "POST", ["api", kinds, owner, name, "preupload", "main"]:
                return self.preupload(f"{kinds}/{owner}/{name}", json.loads(body)["files"])
            case "POST", [*_, "info", "lfs", "objects", "batch"]:
                return 200, {"objects": [self.place(each) for each in json.loads(body)["objects"]]}
            case "PUT", ["large", oid]:
                self.large[oid] = body
                return 200, {}
            case "POST", ["api", kinds, owner, name, "commit", "main"]:
                return self.commit(f"{kinds}/{owner}/{name}", body)
        return 404, {"error": f"{method} {path}"}

    def create(self, wanted: dict[str, Any]) -> tuple[int, Any]:
        name = f"{wanted.get('type', 'model')}s/{wanted['organization']}/{wanted['name']}"
        known = name in self.repositories
        self.repositories.setdefault(name, {})
        self.sdks |= {name: wanted["sdk"]} if "sdk" in wanted else {}
        prefix = "spaces/" if name.startswith("spaces/") else ""
        url = f"{self.address}/{prefix}{wanted['organization']}/{wanted['name']}"
        return (409 if known else 200), {"url": url, "error": "You already created this repo" if known else None}

    def validate(self, card: str) -> tuple[int, Any]:
        front = yaml.safe_load(card.split("---\n")[1])
        known = front.get("license", "apache-2.0") in ("apache-2.0", "mit", "cc-by-4.0", "other")
        return (200, {}) if known else (400, {"errors": [{"message": '"license" must be one of ...'}], "error": "bad"})

    def preupload(self, name: str, files: list[dict[str, Any]]) -> tuple[int, Any]:
        if name not in self.repositories:
            return 404, {"error": "Repository not found"}
        modes = [(each["path"], "lfs" if each["path"].endswith(LARGE) else "regular") for each in files]
        found = [{"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": None} for path, mode in modes]
        return 200, {"files": found}

    def place(self, wanted: dict[str, Any]) -> dict[str, Any]:
        return {**wanted, "actions": {"upload": {"href": f"{self.address}/large/{wanted['oid']}"}}}

    def commit(self, name: str, body: bytes) -> tuple[int, Any]:
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                self.repositories[name][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                content = self.large[value["oid"]]
                assert hashlib.sha256(content).hexdigest() == value["oid"]
                self.repositories[name][value["path"]] = content
        return 200, {"commitUrl": f"{self.address}/{name}/commit/1", "commitOid": "1" * 40}


@contextmanager
def local_hub() -> Iterator[Hub]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def handle_request(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, value = hub.answer(self.command, self.path, body)
            data = b"" if value is None else json.dumps(value).encode()
            self.send_response(status)
            if status == 404 and "Repository" in str(value):
                self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_HEAD = do_POST = do_PUT = handle_request  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
