"""`orch source`: what is listed, where it is looked for, what is kept and what is not."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest
from cli_project import LIB_TEXT, Cli, InProcess

DEB = b"a deb\n"
DEB_SHA = hashlib.sha256(DEB).hexdigest()
LIB_SHA = hashlib.sha256(LIB_TEXT).hexdigest()
PATH = "pool/main/g/glibc/libc6_2.36-9_amd64.deb"


class Mirror(ThreadingHTTPServer):
    """Gives the files it has, and 404."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files = files
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/debian"


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Mirror

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        data = self.server.files.get(unquote(self.path))
        self.send_response(200 if data is not None else 404)
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        self.wfile.write(data or b"")


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    mirror = Mirror({f"/debian/{PATH}": DEB})
    yield mirror
    mirror.shutdown()
    mirror.server_close()


@pytest.fixture
def refusing() -> Iterator[str]:
    """The address of a mirror that is down: a port that is taken and that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture(autouse=True)
def locked(cli: Cli) -> None:
    """The base's one .deb is what the mirror has."""
    cli.edit("recipes/base/base.lock", f"5 {'cd' * 32}", f"{len(DEB)} {DEB_SHA}")


def kept(cli: Cli) -> list[str]:
    """Every file among the store's sources."""
    return sorted(path.name for path in (cli.store / "sources").rglob("*") if path.is_file())


def test_the_sources_of_a_goal(cli: Cli) -> None:
    result = cli.run("source", "ls", "app")
    assert result.status == 0
    assert (
        result.out
        == f"""\
-     base      6 B  debian:{PATH}
-     lib      18 B  file:lib.txt
"""
    )
    assert result.err == "2 sources, 24 B; 2 sources, 24 B not here\n"


def test_the_sources_of_everything_are_those_of_each_recipe_on_its_own(cli: Cli) -> None:
    # Two that could not be goals of one command.
    for name, version in (("first", "1.0"), ("second", "2.0")):
        cli.write(
            f"recipes/{name}/recipe.toml",
            f'name = "{name}"\n[inputs]\nbuild = ["base"]\nruntime = ["base", "lib"]\n[versions.1]\norigin = "source"\n'
            f'brings = {{ lib = "{version}" }}\n[build]\nscript = "make"\n',
        )
    assert "first 1 brings lib 1.0, second 1 brings lib 2.0" in cli.run("source", "ls", "first", "second").err
    result = cli.run("source", "ls", "--json", "--set", "cuda=13")
    assert (result.status, result.err) == (0, "")
    assert result.document == {
        "schema": 1,
        "command": "source ls",
        "sources": [
            {
                "recipe": "base",
                "source": f"debian:{PATH}",
                "sha256": DEB_SHA,
                "tree": None,
                "bytes": len(DEB),
                "here": False,
            },
            {
                "recipe": "lib",
                "source": "file:lib.txt",
                "sha256": LIB_SHA,
                "tree": None,
                "bytes": len(LIB_TEXT),
                "here": False,
            },
        ],
    }


def test_a_source_without_a_hash_is_listed(cli: Cli) -> None:
    result = cli.run("source", "ls", "lib", "--set", "lib.version=3.0")
    assert result.status == 0
    assert result.out.splitlines()[1] == "?     lib         ?  pypi:lib/lib-3.0.tar.gz"
    assert result.err == "2 sources, 6 B or more; 2 sources, 6 B or more not here\n"


def test_sources_are_fetched_once(cli: Cli, mirror: Mirror) -> None:
    cli.mirrors(debian=[mirror.url])
    result = cli.run("source", "fetch", "app")
    assert (result.status, result.out) == (0, "")
    first, began, ended, last = result.err.splitlines()
    assert first == "1 source, 6 B to fetch"
    assert began == "fetch base: 1 source, 6 B ..."
    assert ended.startswith("fetched         base  ")
    assert ended.endswith(" s  (1 source, 6 B)")
    assert last == "2 of 2 sources are here"
    mirror.files.clear()
    assert cli.run("source", "fetch").err == "2 of 2 sources are here\n"
    assert cli.run("source", "ls", "app").err == "2 sources, 24 B, all here\n"
    assert cli.run("source", "verify").out == "2 sources, 24 B: all as their recipes say\n"


def test_unreachable(cli: Cli, mirror: Mirror, refusing: str, in_process: InProcess) -> None:
    mirror.files.clear()
    cli.mirrors(debian=[refusing, mirror.url, f"file://{cli.root}/debs"])
    wanted = f"""\
error: cannot fetch libc6_2.36-9_amd64.deb, sha256:{DEB_SHA}
  where: recipes/base/base.lock: libc6
  why:   debian:{PATH} was looked for in:
         {refusing} (from orch.toml [mirrors] debian): Connection refused
         {mirror.url} (from orch.toml [mirrors] debian): 404 Not Found
         file://ROOT/debs (from orch.toml [mirrors] debian): no file ROOT/debs/{PATH}
  hint:  try again later, or supply it by hand: orch source add libc6_2.36-9_amd64.deb
"""
    result = cli.run("source", "fetch", "base")
    assert (result.status, result.out) == (4, "")
    assert cli.shown(result.err) == f"1 source, 6 B to fetch\n{wanted}0 of 1 sources are here\n"
    assert kept(cli) == []
    cli.mirrors(debian=[mirror.url])
    status, out = in_process("source", "fetch", "base", "--json")
    document = json.loads(out)
    assert (status, document["command"], document["here"]) == (4, "source fetch", [])
    assert document["failures"] == [document["error"]]
    assert document["error"] == {
        "code": "machine",
        "what": f"cannot fetch libc6_2.36-9_amd64.deb, sha256:{DEB_SHA}",
        "where": "recipes/base/base.lock: libc6",
        "why": f"debian:{PATH} was looked for in:\n{mirror.url} (from orch.toml [mirrors] debian): 404 Not Found",
        "hint": "try again later, or supply it by hand: orch source add libc6_2.36-9_amd64.deb",
    }


def test_many_unreachable_ones_are_all_named(cli: Cli, mirror: Mirror) -> None:
    lines = "".join(f"lib{n} 1 pool/lib{n}_1_amd64.deb 5 {f'{n}' * 64}\n" for n in range(1, 7))
    lock = (cli.root / "recipes/base/base.lock").read_text()
    cli.write("recipes/base/base.lock", "".join(lock.splitlines(keepends=True)[:5]) + lines)
    cli.mirrors(debian=[mirror.url])
    result = cli.run("source", "fetch", "base")
    assert result.status == 4
    assert result.err.count("error: cannot fetch") == 6
    assert result.err.count("  hint:") == 3
    assert result.err.endswith(f"error: cannot fetch lib6_1_amd64.deb, sha256:{'6' * 64}\n0 of 6 sources are here\n")


def test_the_wrong_content(cli: Cli, mirror: Mirror) -> None:
    mirror.files[f"/debian/{PATH}"] = b"no deb\n"
    got = hashlib.sha256(b"no deb\n").hexdigest()
    cli.mirrors(debian=[mirror.url])
    result = cli.run("source", "fetch", "base")
    assert (result.status, result.out) == (3, "")
    assert (
        result.err.partition("...\n")[2]
        == f"""\
error: debian:{PATH} is not what is pinned
  where: recipes/base/base.lock: libc6
  why:   expected sha256:{DEB_SHA}, got sha256:{got}, \
from {mirror.url}/{PATH}; {mirror.url} (from orch.toml [mirrors] debian)
  hint:  if the new content is right, write its sha256 into the recipe; else find out why it is another file
0 of 1 sources are here
"""
    )
    assert kept(cli) == []
    assert cli.run("source", "fetch", "base", "--json").document["error"]["code"] == "source"


def test_a_file_beside_the_recipe_with_the_wrong_content(cli: Cli, mirror: Mirror) -> None:
    cli.mirrors(debian=[mirror.url])
    cli.write("recipes/lib/lib.txt", "changed\n")
    got = hashlib.sha256(b"changed\n").hexdigest()
    for verb in (("source", "fetch", "lib"), ("plan", "lib"), ("build", "lib")):
        result = cli.run(*verb)
        assert result.status == 3
        assert f"file:lib.txt is not what is pinned: expected sha256:{LIB_SHA}, got sha256:{got}" in result.err
        assert f'hint:  if the new content is right, write sha256 = "{got}"' in result.err


def test_supplied_by_hand(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "download").write_bytes(DEB)
    result = cli.run("source", "add", "orch.toml", str(tmp_path / "download"))
    assert result.status == 2
    assert result.out == f"{tmp_path}/download: debian:{PATH}\n"
    assert result.err.startswith("error: no recipe has a source with the content of orch.toml\n")
    cli.edit("recipes/app/recipe.toml", "[check]", "[check")  # another's fault is no reason to refuse
    again = cli.run("source", "add", str(tmp_path / "download"), "--json")
    assert again.document["added"] == [{"file": f"{tmp_path}/download", "sha256": DEB_SHA, "names": [f"debian:{PATH}"]}]
    assert cli.run("source", "ls", "base").out == f"here  base      6 B  debian:{PATH}\n"


def test_damage_is_seen_and_put_aside(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "download").write_bytes(DEB)
    cli.run("source", "add", str(tmp_path / "download"))
    stored = cli.store / "sources/sha256" / DEB_SHA
    stored.chmod(0o644)
    stored.write_bytes(b"b deb\n")
    result = cli.run("source", "verify")
    assert (result.status, result.out) == (5, "")
    assert (
        cli.shown(result.err)
        == f"""\
error: 1 of 1 stored sources is damaged
  where: STORE/sources/sha256
  why:   {DEB_SHA[:12]} debian:{PATH}
  hint:  orch source verify --repair puts them aside; the next build fetches them again
"""
    )
    result = cli.run("source", "verify", "--repair", "--json")
    assert result.status == 5
    assert (result.document["damaged"], result.document["verified"]) == ([DEB_SHA], 0)
    assert result.document["error"]["code"] == "no"
    assert result.document["error"]["hint"] == "they were put aside; the next build fetches them again"
    assert not stored.exists()
    assert cli.run("source", "verify").out == "0 sources, 0 B: all as their recipes say\n"
