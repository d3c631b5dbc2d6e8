"""A Hugging Face hub on loopback: as much of its protocol as fetching a file of a data set takes."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Hub:
    """What it holds, to be changed as a test goes on."""

    sets: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """The files of each repository's one branch, `main`, by OWNER/NAME."""
    gated: set[str] = field(default_factory=set)
    """Sets that are not given to everybody."""
    broken: set[str] = field(default_factory=set)
    """Files that are listed and cannot be had."""
    asked: list[str] = field(default_factory=list)
    """Method and path of every request."""

    def commit(self, name: str) -> str:
        """The commit that `main` is at: another one whenever a file is another."""
        content = [(path, hashlib.sha1(data).hexdigest()) for path, data in sorted(self.sets[name].items())]
        return hashlib.sha1(repr(content).encode()).hexdigest()

    def downloads(self) -> int:
        """Files that were sent."""
        return sum(line.startswith("GET /datasets/") for line in self.asked)


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _send(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def _no(self, status: int, code: str) -> None:
            self._send(status, b"{}", X_Error_Code=code, X_Error_Message=f"it is {code}")

        def do_GET(self) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            parts = self.path.partition("?")[0].strip("/").split("/")
            api = parts[0] == "api"
            parts = parts[2:] if api else parts[1:]
            name, rest = "/".join(parts[:2]), parts[2:]
            if name not in hub.sets:
                return self._no(404, "RepoNotFound")
            if name in hub.gated:
                return self._no(403, "GatedRepo")
            commit = hub.commit(name)
            if rest[1:2] and rest[1] not in ("main", commit):
                return self._no(404, "RevisionNotFound")
            if api:
                about = {"id": name, "sha": commit, "siblings": [{"rfilename": path} for path in hub.sets[name]]}
                return self._send(200, json.dumps(about).encode(), Content_Type="application/json")
            path = "/".join(rest[2:])
            data = hub.sets[name].get(path)
            if data is None or path in hub.broken:
                return self._no(404, "EntryNotFound")
            tag = hashlib.sha256(data).hexdigest()
            return self._send(200, data, X_Repo_Commit=commit, ETag=f'"{tag}"', Accept_Ranges="bytes")

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            """`Hub.asked` has them."""

    return Handler


@contextmanager
def served(cache: Path) -> Iterator[Hub]:
    """A hub that the library asks instead of the real one, keeping what it fetches in `cache`."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        with pointed_at(f"http://127.0.0.1:{server.server_port}", cache):
            yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def pointed_at(endpoint: str, cache: Path) -> Iterator[None]:
    """The library's settings, which it reads from the environment once; set back at the end."""
    import datasets
    from huggingface_hub import constants

    names = ("ENDPOINT", "HUGGINGFACE_CO_URL_TEMPLATE", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_ASSETS_CACHE")
    kept = {name: getattr(constants, name) for name in names}
    kept_offline = datasets.config.HF_HUB_OFFLINE
    constants.ENDPOINT = endpoint
    constants.HUGGINGFACE_CO_URL_TEMPLATE = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    constants.HF_HUB_CACHE, constants.HF_ASSETS_CACHE = str(cache / "hub"), str(cache / "assets")
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(constants, name, value)
        datasets.config.HF_HUB_OFFLINE = kept_offline
