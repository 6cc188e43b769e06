"""A loopback HTTP server that misbehaves as told, and what a fetch in a test needs besides."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from orchestrator.events import Event, FetchProgress
from orchestrator.fetch import Machine, Mirrors, Patience, fetch
from orchestrator.graph.derivation import Source
from orchestrator.store import Layout, list_sources

QUICK = Patience(connect=2, read=2, tries=3, pause=0.01, window=0.5, least=1024)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Request:
    path: str
    range: str
    if_range: str
    accept: str
    authorization: str
    sent: int = 0  # bytes of the body


@dataclass
class Behaviour:
    """How a server answers. `drops`: after how many bytes the connection breaks, for the next requests in turn."""

    files: dict[str, bytes] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    statuses: list[int] = field(default_factory=list)  # answered to the next requests in turn
    drops: list[int] = field(default_factory=list)
    ranges: bool = True
    etags: bool = True
    trickle: float = 0.0  # seconds before each byte
    delay: float = 0.0  # seconds before the body
    login: str = ""  # the Authorization header it wants


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviour = Behaviour()
        self.requests: list[Request] = []
        self.scheme = "http"
        self.connections = 0
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}"

    def close(self) -> None:
        self.shutdown()
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request: object, client_address: object) -> None:
        pass


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        behaviour = self.server.behaviour
        get = self.headers.get
        asked = Request(self.path, get("Range", ""), get("If-Range", ""), get("Accept", ""), get("Authorization", ""))
        self.server.requests.append(asked)
        if behaviour.statuses:
            self._empty(behaviour.statuses.pop(0))
        elif behaviour.login and asked.authorization != behaviour.login:
            self._empty(401)
        elif self.path in behaviour.redirects:
            self._empty(302, Location=behaviour.redirects[self.path])
        elif self.path not in behaviour.files:
            self._empty(404)
        else:
            self._file(asked, behaviour.files[self.path], behaviour)

    def _empty(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _file(self, asked: Request, data: bytes, behaviour: Behaviour) -> None:
        etag = f'"{sha256(data)[:8]}"'
        start = 0
        fresh = asked.if_range in ("", etag)
        if behaviour.ranges and asked.range and fresh:
            start = int(asked.range.removeprefix("bytes=").removesuffix("-"))
            if start >= len(data):
                self._empty(416, Content_Range=f"bytes */{len(data)}")
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        if behaviour.etags:
            self.send_header("ETag", etag)
        self.send_header("Content-Type", behaviour.types.get(self.path, "application/octet-stream"))
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        body = data[start:]
        if behaviour.drops:
            body = body[: behaviour.drops.pop(0)]
            self.close_connection = True
        time.sleep(behaviour.delay)
        step = 1 if behaviour.trickle else 1 << 16
        for at in range(0, len(body), step):
            time.sleep(behaviour.trickle)
            asked.sent += len(body[at : at + step])  # before: who has it all may look at once
            self.wfile.write(body[at : at + step])


class Fetcher:
    """Fetches into one store as a machine without any settings of its own would."""

    def __init__(self, layout: Layout, room: Path) -> None:
        self.layout = layout
        self.machine = Machine(environment={}, root=room / "machine", prefix=room / "prefix")
        self.events: list[Event] = []
        self.stopped = False
        self.stop_soon = False  # when some of it is here
        self.base = room / "recipe"
        self.base.mkdir()

    def __call__(self, source: Source, mirrors: Mirrors | None = None, patience: Patience = QUICK) -> Path:
        return fetch(
            self.layout,
            source,
            mirrors=mirrors or Mirrors(),
            base=self.base,
            monitor=self._note,
            machine=self.machine,
            patience=patience,
            stopped=lambda: self.stopped or (self.stop_soon and bool(self.progress())),
        )

    def _note(self, event: Event) -> None:
        self.events.append(event)

    def kept(self) -> list[str]:
        """Every file of the store's sources, unfinished ones too, by name."""
        listed = [stored.sha256 for stored in list_sources(self.layout)]
        return sorted([*listed, *(f"partial/{path.name}" for path in self.layout.partial.iterdir())])

    def progress(self) -> list[FetchProgress]:
        return [event for event in self.events if isinstance(event, FetchProgress)]


def source_of(name: str, data: bytes, **fields: object) -> Source:
    values = {"sha256": sha256(data), "where": "recipes/x/recipe.toml: sources[0]", **fields}
    return Source(name=name, file_name=name.rpartition("/")[2], **values)  # type: ignore[arg-type]
