"""A cache that a project pushes to, and servers of it, good and bad."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from projects import Project

Misbehave = Callable[["Handler"], bool]  # whether it dealt with a request


@dataclass
class Served:
    """What a server was asked for, and sent."""

    url: str
    asked: list[str] = field(default_factory=list)
    archives: int = 0  # bytes of bodies of archives


class Handler(SimpleHTTPRequestHandler):
    served: Served
    misbehave: Misbehave

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        self.served.asked.append(self.path)
        if type(self).misbehave(self):
            return
        super().do_GET()

    def copyfile(self, source: object, outputfile: object) -> None:
        if self.path.startswith("/archives"):
            self.served.archives += Path(self.translate_path(self.path)).stat().st_size
        super().copyfile(source, outputfile)  # type: ignore[misc]


@contextmanager
def serving(directory: Path, misbehave: Misbehave = lambda handler: False) -> Iterator[Served]:
    """A static server of a directory on loopback."""
    served = Served(url="")
    kind = type("Kind", (Handler,), {"served": served, "misbehave": staticmethod(misbehave)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(kind, directory=str(directory)))  # type: ignore[arg-type]
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()


def hang(handler: Handler) -> bool:
    """Take the request and say nothing."""
    time.sleep(30)
    return True


def drop_archives(handler: Handler) -> bool:
    """Break the connection in the middle of every archive."""
    if not handler.path.startswith("/archives"):
        return False
    file = Path(handler.translate_path(handler.path))
    handler.send_response(200)
    handler.send_header("Content-Length", str(file.stat().st_size))
    handler.end_headers()
    handler.wfile.write(file.read_bytes()[: file.stat().st_size // 2])
    handler.close_connection = True
    return True


def push(project: Project, cache: Path, *goals: str, name: str = "team-1") -> str:
    """Push goals with a new key; the public key."""
    key = cache.parent / f"{name}.key"
    public = project.done("cache", "keygen", name, str(key)).out.strip()
    project.done("cache", "push", str(cache), *goals, "--key", str(key))
    return public


def trust(project: Project, *keys: str, substituters: tuple[str, ...] = ()) -> None:
    """Let the project's orch.toml trust these keys."""
    file = project.root / "orch.toml"
    text = file.read_text().partition("[store]")[0]
    listed = ", ".join(f'"{key}"' for key in keys)
    places = ", ".join(f'"{place}"' for place in substituters)
    file.write_text(f"{text}\n[store]\ntrusted_keys = [{listed}]\nsubstituters = [{places}]\n")
