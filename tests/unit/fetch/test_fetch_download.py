"""Fetching over real loopback connections that break, lie, stall and lead astray."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fetch_servers import QUICK, Fetcher, Server, sha256, source_of

from orchestrator.errors import MachineError, RecipeError, SourceError
from orchestrator.fetch import Mirrors, Patience
from orchestrator.store import partial_path, read_source_note

DATA = os.urandom(3_000_000)
PATH = "/pool/main/h/hello_1+2.tar.gz"
NAME = "debian:pool/main/h/hello_1+2.tar.gz"


def serving(server: Server, data: bytes = DATA, path: str = "/pool/hello.tar") -> str:
    server.behaviour.files[path] = data
    return f"{server.url}{path}"


def test_a_file_is_fetched_once(server: Server, fetcher: Fetcher) -> None:
    source = source_of(serving(server), DATA)
    path = fetcher(source)
    assert path.read_bytes() == DATA
    assert fetcher(source) == path
    assert len(server.requests) == 1
    assert fetcher.kept() == [sha256(DATA)]
    note = read_source_note(fetcher.layout, sha256(DATA))
    assert note is not None
    assert note.names == (source.name,)


def test_what_is_in_the_store_needs_no_name_and_no_network(server: Server, fetcher: Fetcher) -> None:
    path = fetcher(source_of(serving(server), DATA))
    server.close()
    assert fetcher(source_of("git:something else", DATA)) == path


def test_progress_is_told_and_not_too_often(server: Server, fetcher: Fetcher) -> None:
    source = source_of(serving(server), DATA)
    began = time.monotonic()
    fetcher(source)
    seen = fetcher.progress()
    assert (seen[-1].done, seen[-1].total, seen[-1].source) == (len(DATA), len(DATA), source.name)
    assert len(seen) <= 3 + 5 * (time.monotonic() - began)
    assert [event.done for event in seen] == sorted(event.done for event in seen)


def test_small_files_share_a_connection(server: Server, fetcher: Fetcher) -> None:
    for number in range(5):
        data = b"%d" % number
        fetcher(source_of(serving(server, data, f"/f{number}"), data))
    assert server.connections == 1


def test_a_broken_download_goes_on_where_it_broke(server: Server, fetcher: Fetcher) -> None:
    url = serving(server)
    server.behaviour.drops = [1_000_000, 500_000]
    assert fetcher(source_of(url, DATA)).read_bytes() == DATA
    first, second, third = server.requests
    assert (first.range, first.if_range, second.range) == ("", "", "bytes=1000000-")
    assert second.if_range == third.if_range == f'"{sha256(DATA)[:8]}"'
    assert third.range == "bytes=1500000-"
    assert first.sent + second.sent + third.sent == len(DATA), "nothing is sent twice"


def test_the_next_command_goes_on_too(server: Server, fetcher: Fetcher) -> None:
    url = serving(server)
    server.behaviour.drops = [1_000_000, 0, 0, 0]
    with pytest.raises(MachineError):
        fetcher(source_of(url, DATA))
    assert fetcher.kept() == [f"partial/{sha256(DATA)}"]
    assert fetcher(source_of(url, DATA)).read_bytes() == DATA
    assert server.requests[-1].sent == 2_000_000
    assert fetcher.kept() == [sha256(DATA)]


def test_a_whole_partial_file_is_adopted(server: Server, fetcher: Fetcher) -> None:
    partial_path(fetcher.layout, sha256(DATA)).write_bytes(DATA)
    assert fetcher(source_of(serving(server), DATA)).read_bytes() == DATA
    assert [request.sent for request in server.requests] == [0]


@pytest.mark.parametrize("etags", [True, False])
def test_a_server_without_ranges_starts_over(server: Server, fetcher: Fetcher, etags: bool) -> None:
    url = serving(server)
    server.behaviour.ranges, server.behaviour.etags = False, etags
    server.behaviour.drops = [1_000_000]
    assert fetcher(source_of(url, DATA)).read_bytes() == DATA
    assert [request.sent for request in server.requests] == [1_000_000, len(DATA)]


def test_a_file_that_changed_meanwhile_is_started_over(
    server: Server, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = serving(server, b"old" * 9000)
    server.behaviour.drops = [5000]
    monkeypatch.setattr("orchestrator.fetch.download.time.sleep", lambda seconds: serving(server))
    assert fetcher(source_of(url, DATA)).read_bytes() == DATA
    assert [request.range for request in server.requests] == ["", "bytes=5000-"]
    assert server.requests[1].sent == len(DATA)


@pytest.mark.parametrize("length", [1000, 4_000_000])
def test_a_partial_file_of_something_else_is_started_over_once(server: Server, fetcher: Fetcher, length: int) -> None:
    partial_path(fetcher.layout, sha256(DATA)).write_bytes(b"\0" * length)
    assert fetcher(source_of(serving(server), DATA)).read_bytes() == DATA
    assert [request.range for request in server.requests] == [f"bytes={length}-", ""]


def test_other_content_is_refused_and_nothing_kept(server: Server, fetcher: Fetcher) -> None:
    other = fetcher(source_of(serving(server, b"other", "/other"), b"other"))
    url = serving(server, b"tampered with")
    with pytest.raises(SourceError) as raised:
        fetcher(source_of(url, DATA))
    assert raised.value.what == f"{url} is not what is pinned"
    assert raised.value.why == (
        f"expected sha256:{sha256(DATA)}, got sha256:{sha256(b'tampered with')}, from {url}; "
        f"{url} (from the source's name)"
    )
    assert raised.value.where == "recipes/x/recipe.toml: sources[0]"
    assert fetcher.kept() == [sha256(b"other")]
    assert other.read_bytes() == b"other"
    assert len([request for request in server.requests if request.path == "/pool/hello.tar"]) == 1


def test_other_content_after_a_resume_is_asked_for_once_more(server: Server, fetcher: Fetcher) -> None:
    url = serving(server, b"x" * 5000)
    partial_path(fetcher.layout, sha256(DATA)).write_bytes(b"y" * 100)
    with pytest.raises(SourceError):
        fetcher(source_of(url, DATA))
    assert [request.range for request in server.requests] == ["bytes=100-", ""]
    assert fetcher.kept() == []


def test_the_next_place_is_asked_when_one_has_something_else(server: Server, fetcher: Fetcher) -> None:
    server.behaviour.files = {f"/bad{PATH}": b"bad", f"/good{PATH}": DATA}
    mirrors = Mirrors(debian=(f"{server.url}/none/", f"{server.url}/bad", f"{server.url}/good"))
    assert fetcher(source_of(NAME, DATA), mirrors).read_bytes() == DATA


def test_a_file_that_nobody_has_names_every_place(server: Server, fetcher: Fetcher) -> None:
    mirrors = Mirrors(debian=(f"{server.url}/one", f"{server.url}/two/", "file:///nowhere"))
    with pytest.raises(MachineError) as raised:
        fetcher(source_of(NAME, DATA), mirrors)
    error = raised.value
    assert error.what == f"cannot fetch hello_1+2.tar.gz, sha256:{sha256(DATA)}"
    assert error.where == "recipes/x/recipe.toml: sources[0]"
    assert error.why.splitlines() == [
        f"{NAME} was looked for in:",
        f"{server.url}/one (from orch.toml [mirrors] debian): 404 Not Found",
        f"{server.url}/two/ (from orch.toml [mirrors] debian): 404 Not Found",
        "file:///nowhere (from orch.toml [mirrors] debian): no file /nowhere/pool/main/h/hello_1+2.tar.gz",
    ]
    assert error.hint.endswith("orch source add hello_1+2.tar.gz")
    assert len(server.requests) == 2, "a 404 is an answer, not a hiccup"


def test_a_machine_without_archives_says_so(fetcher: Fetcher) -> None:
    with pytest.raises(MachineError) as raised:
        fetcher(source_of(NAME, DATA))
    assert raised.value.why.endswith("orch.toml has no [mirrors] debian, and apt here has no Debian archive")


def test_a_hiccup_of_the_server_is_waited_out(server: Server, fetcher: Fetcher) -> None:
    url = serving(server)
    server.behaviour.statuses = [503, 429]
    assert fetcher(source_of(url, DATA)).read_bytes() == DATA


def test_a_server_that_keeps_failing_is_given_up(server: Server, fetcher: Fetcher) -> None:
    url = serving(server)
    server.behaviour.statuses = [500] * 50
    with pytest.raises(MachineError, match="cannot fetch") as raised:
        fetcher(source_of(url, DATA))
    assert "500 Internal Server Error" in raised.value.why
    assert len(server.requests) == QUICK.tries


def test_a_server_that_gives_a_little_each_time_is_given_up(
    server: Server, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.fetch.download._TRIES", 6)
    url = serving(server)
    server.behaviour.drops = [10] * 50
    with pytest.raises(MachineError):
        fetcher(source_of(url, DATA))
    assert len(server.requests) == 6


def test_nobody_listening_is_told_in_a_word(fetcher: Fetcher) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(MachineError) as raised:
        fetcher(source_of(f"http://127.0.0.1:{port}/f", DATA))
    assert raised.value.why.endswith("(from the source's name): Connection refused")


def test_a_server_that_does_not_answer_is_left_in_time(fetcher: Fetcher) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        began = time.monotonic()
        with pytest.raises(MachineError, match="cannot fetch") as raised:
            fetcher(
                source_of(f"http://127.0.0.1:{deaf.getsockname()[1]}/f", DATA),
                patience=Patience(connect=0.3, read=0.3, tries=2, pause=0.01),
            )
    assert "no answer in time" in raised.value.why
    assert time.monotonic() - began < 5


def test_a_server_that_stalls_is_left_in_time(server: Server, fetcher: Fetcher) -> None:
    url = serving(server)
    server.behaviour.delay = 3
    began = time.monotonic()
    with pytest.raises(MachineError) as raised:
        fetcher(source_of(url, DATA), patience=Patience(connect=1, read=0.3, tries=2, pause=0.01))
    assert "the connection broke after 0 bytes" in raised.value.why
    assert time.monotonic() - began < 5


def test_a_trickle_is_left_in_time(server: Server, fetcher: Fetcher) -> None:
    url = serving(server)
    server.behaviour.trickle = 0.02
    began = time.monotonic()
    patience = Patience(connect=1, read=1, tries=2, pause=0.01, window=0.3, least=1000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orchestrator.fetch.download._TRIES", 2)
        with pytest.raises(MachineError, match="cannot fetch") as raised:
            fetcher(source_of(url, DATA), patience=patience)
    assert "bytes in 0.3 s" in raised.value.why
    assert time.monotonic() - began < 10


def test_redirects_are_followed_but_not_without_end(server: Server, fetcher: Fetcher) -> None:
    serving(server)
    server.behaviour.redirects = {
        "/a": "/b",
        "/b": f"{server.url}/pool/hello.tar",
        "/loop": "/loop",
        "/out": "ftp://h/f",
    }
    assert fetcher(source_of(f"{server.url}/a", DATA)).read_bytes() == DATA
    with pytest.raises(MachineError) as raised:
        fetcher(source_of(f"{server.url}/loop", b"x"))
    assert raised.value.why.endswith("it redirects more than 10 times")
    with pytest.raises(MachineError) as raised:
        fetcher(source_of(f"{server.url}/out", b"x"))
    assert raised.value.why.endswith("it redirects to ftp://h/f, which is refused")


def test_a_source_without_a_pin_is_not_fetched(server: Server, fetcher: Fetcher) -> None:
    with pytest.raises(RecipeError, match="is not locked: it has neither sha256 nor tree"):
        fetcher(source_of(serving(server), DATA, sha256=None))
    assert server.requests == []


CHILD = """
import sys
from pathlib import Path
from orchestrator.fetch import Mirrors, fetch
from orchestrator.graph.derivation import Source
from orchestrator.store import open_store
url, sha256, root = sys.argv[1:]
events = []
source = Source(name=url, file_name="hello.tar", sha256=sha256)
fetch(open_store(Path(root)), source, mirrors=Mirrors(), base=Path(root), monitor=events.append)
print(any(type(event).__name__ == "StepWaiting" for event in events))
"""


def test_two_processes_fetch_a_source_once(server: Server, fetcher: Fetcher) -> None:
    url = serving(server)
    server.behaviour.delay = 1.5
    command = [sys.executable, "-c", CHILD, url, sha256(DATA), str(fetcher.layout.root)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    waited = [child.communicate(timeout=60)[0].strip() for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert sorted(waited) == ["False", "True"]
    assert len(server.requests) == 1
    assert fetcher.kept() == [sha256(DATA)]


def test_a_download_can_be_stopped_and_gone_on_with(server: Server, fetcher: Fetcher) -> None:
    url = serving(server)
    fetcher.stop_soon = True
    with pytest.raises(KeyboardInterrupt):
        fetcher(source_of(url, DATA))
    assert [event.done for event in fetcher.progress()] == [0]  # what comes after the first report is what was fetched
    fetcher.stop_soon = False
    fetcher.events.clear()
    assert fetcher(source_of(url, DATA)).read_bytes() == DATA
    assert server.requests[-1].range
    began = int(server.requests[-1].range.partition("=")[2].rstrip("-"))
    assert (fetcher.progress()[0].done, fetcher.progress()[-1].done) == (began, len(DATA))


def test_a_file_beside_the_recipe(fetcher: Fetcher, tmp_path: Path) -> None:
    (fetcher.base / "a.tar").write_bytes(b"beside")
    assert fetcher(source_of("file:a.tar", b"beside")).read_bytes() == b"beside"
    (tmp_path / "far.tar").write_bytes(b"far")
    assert fetcher(source_of(f"file:{tmp_path}/far.tar", b"far")).read_bytes() == b"far"


def test_a_file_that_is_not_there_or_is_another(fetcher: Fetcher) -> None:
    with pytest.raises(MachineError) as raised:
        fetcher(source_of("file:a.tar", b"x"))
    assert raised.value.why.endswith(f"no file {fetcher.base}/a.tar")
    (fetcher.base / "a.tar").write_bytes(b"y")
    with pytest.raises(SourceError) as wrong:
        fetcher(source_of("file:a.tar", b"x"))
    assert f"got sha256:{sha256(b'y')}, from {fetcher.base}/a.tar" in wrong.value.why
    assert fetcher.kept() == []


def test_a_file_mirror(fetcher: Fetcher, tmp_path: Path) -> None:
    path = tmp_path / "mirror/pool/main/h/hello_1+2.tar.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mirrored")
    mirrors = Mirrors(debian=(f"file://{tmp_path}/mirror",))
    assert fetcher(source_of(NAME, b"mirrored"), mirrors).read_bytes() == b"mirrored"
