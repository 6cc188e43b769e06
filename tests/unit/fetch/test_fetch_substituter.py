"""A team's cache over loopback HTTP and as a directory: whatever is wrong with it is a reason, and soon."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fetch_servers import QUICK, Server

from orchestrator.digest import blake3_bytes
from orchestrator.errors import UsageError
from orchestrator.fetch import Patience
from orchestrator.fetch.substituter import Substituter, Unusable
from orchestrator.fetch.substituters import Found, Substituters
from orchestrator.store import Layout, open_store
from orchestrator.store.entries import CacheEntry, entry_bytes, entry_name
from orchestrator.store.signature import SecretKey

KEY = SecretKey.new("team-1")
ARCHIVE = b"archive" * 5000
ENTRY = CacheEntry(
    derivation=blake3_bytes(b"derivation"),
    build=blake3_bytes(b"build"),
    output=blake3_bytes(b"output"),
    inputs={},
    sha256=__import__("hashlib").sha256(ARCHIVE).hexdigest(),
    size=len(ARCHIVE),
    unpacked=1,
    name="ucx",
    version="1",
    origin="source",
    seconds=1.0,
    finished=1.0,
    sandbox=1,
    signer="team-1",
)
ANY = blake3_bytes(b"any")
FEW = Patience(connect=2, read=0.3, tries=2, pause=0.01, window=0.5, least=1024)


def fill(server: Server, archive: bytes = ARCHIVE) -> None:
    data = entry_bytes(ENTRY, KEY)
    for key in (ENTRY.derivation, ENTRY.build):
        server.behaviour.files[f"/c/{entry_name(key)}"] = data
    server.behaviour.files[f"/c/{ENTRY.archive}"] = archive


@pytest.fixture
def place(server: Server) -> Substituter:
    fill(server)
    return Substituter(f"{server.url}/c/", [KEY.public], patience=QUICK)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return open_store(tmp_path / "store")


def quiet(done: int, total: int) -> None:
    pass


def reason(place: Substituter) -> str:
    with pytest.raises(Unusable) as caught:
        place.entry(ENTRY.build)
    return caught.value.why


def test_an_entry_and_its_archive(place: Substituter, layout: Layout) -> None:
    assert place.entry(ENTRY.build) == place.entry(ENTRY.derivation) == ENTRY
    assert place.archive(ENTRY, layout, quiet).read_bytes() == ARCHIVE


def test_an_archive_that_a_killed_run_had_is_not_asked_for(place: Substituter, server: Server, layout: Layout) -> None:
    place.archive(ENTRY, layout, quiet)
    asked = len(server.requests)
    assert place.archive(ENTRY, layout, quiet).read_bytes() == ARCHIVE
    assert len(server.requests) == asked
    (layout.partial / ENTRY.sha256).write_bytes(b"x" * len(ARCHIVE))
    with pytest.raises(Unusable):
        place.archive(ENTRY, layout, quiet)
    assert place.archive(ENTRY, layout, quiet).read_bytes() == ARCHIVE


def test_nothing_is_asked_twice(place: Substituter, server: Server) -> None:
    place.prefetch([ENTRY.build, ENTRY.derivation, ANY])
    asked = len(server.requests)
    assert asked == 3
    place.entry(ENTRY.build)
    with pytest.raises(Unusable, match="not in http") as caught:
        place.entry(ANY)
    assert caught.value.absent
    place.prefetch([ENTRY.build, ANY])
    assert len(server.requests) == asked
    assert not place.off


def test_a_password_is_sent_and_not_told(server: Server) -> None:
    fill(server)
    server.behaviour.login = "Basic bWU6cHc="
    place = Substituter(server.url.replace("//", "//me:pw@") + "/c", [KEY.public], patience=QUICK)
    assert place.entry(ENTRY.build) == ENTRY
    assert "pw" not in place.shown


def test_an_unknown_key_is_named(server: Server) -> None:
    fill(server)
    place = Substituter(f"{server.url}/c", [SecretKey.new("else").public], patience=QUICK)
    assert reason(place).startswith("signature by an unknown key 'team-1'")
    assert not place.off


@pytest.mark.parametrize("data", [b"", b"<html>not found</html>", b"{}\n{}\n", bytes(2 << 20)])
def test_what_is_no_entry_is_a_miss(server: Server, place: Substituter, data: bytes) -> None:
    server.behaviour.files[f"/c/{entry_name(ENTRY.build)}"] = data
    assert reason(place)
    assert not place.off
    assert place.entry(ENTRY.derivation) == ENTRY


@pytest.mark.parametrize("status", [500, 503, 403, 401])
def test_a_server_that_fails_is_given_up_on(server: Server, place: Substituter, status: int) -> None:
    server.behaviour.statuses = [status]
    assert str(status) in reason(place)
    assert place.off
    asked = len(server.requests)
    with pytest.raises(Unusable):
        place.entry(ENTRY.derivation)
    assert len(server.requests) == asked


@pytest.fixture
def silent_server() -> Iterator[tuple[str, list[int]]]:
    """Takes connections and says nothing."""
    taken: list[int] = []
    held: list[socket.socket] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.settimeout(0.05)
        stop = threading.Event()

        def accept() -> None:
            while not stop.is_set():
                try:
                    held.append(listener.accept()[0])
                    taken.append(1)
                except TimeoutError:
                    continue

        thread = threading.Thread(target=accept)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", taken
        stop.set()
        thread.join()
    for one in held:
        one.close()


def test_a_server_that_hangs_is_asked_once(silent_server: tuple[str, list[int]], layout: Layout) -> None:
    url, taken = silent_server
    place = Substituter(url, [KEY.public], patience=FEW)
    place.prefetch([blake3_bytes(bytes([n])) for n in range(100)])
    assert len(taken) == 1
    assert "no answer in time" in place.off
    assert "no answer in time" in reason(place)
    with pytest.raises(Unusable):
        place.archive(ENTRY, layout, quiet)
    assert len(taken) == 1


def test_a_server_that_is_gone(layout: Layout) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    place = Substituter(url, [KEY.public], patience=FEW)
    assert url in reason(place)
    assert place.off


def test_dropped_connections_are_gone_on_from(server: Server, place: Substituter, layout: Layout) -> None:
    server.behaviour.drops = [10_000, 10_000]
    assert place.archive(ENTRY, layout, quiet).read_bytes() == ARCHIVE
    sent = sum(request.sent for request in server.requests if request.path.endswith(".zst"))
    assert sent == len(ARCHIVE)


def test_a_server_that_drops_always_is_a_reason_and_what_came_stays(
    server: Server, place: Substituter, layout: Layout
) -> None:
    server.behaviour.drops = [10_000] + [0] * 50
    with pytest.raises(Unusable) as caught:
        place.archive(ENTRY, layout, quiet)
    assert caught.value.off
    assert (layout.partial / ENTRY.sha256).stat().st_size == 10_000
    server.behaviour.drops = []
    assert place.archive(ENTRY, layout, quiet).read_bytes() == ARCHIVE


@pytest.mark.parametrize("archive", [b"", ARCHIVE[:-1], b"x" + ARCHIVE[1:], ARCHIVE + b"x", ARCHIVE * 3])
def test_an_archive_that_is_another_is_a_reason(
    server: Server, place: Substituter, layout: Layout, archive: bytes
) -> None:
    fill(server, archive)
    with pytest.raises(Unusable):
        place.archive(ENTRY, layout, quiet)
    assert not place.off


def test_a_redirect_to_elsewhere_is_followed_and_verified(server: Server, place: Substituter) -> None:
    server.behaviour.redirects = {f"/c/{entry_name(ANY)}": f"/c/{entry_name(ENTRY.build)}"}
    with pytest.raises(Unusable, match="of another key"):
        place.entry(ANY)


@pytest.mark.parametrize("address", ["ftp://example.com/x", "s3://bucket", "file:///srv"])
def test_another_scheme_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="cannot substitute from"):
        Substituter(address, [KEY.public])


# -- directories ------------------------------------------------------------------------------------------------------


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    top = tmp_path / "cache"
    for name, data in ((entry_name(ENTRY.build), entry_bytes(ENTRY, KEY)), (ENTRY.archive, ARCHIVE)):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(data)
    return top


def test_a_directory_is_one_too(directory: Path, layout: Layout) -> None:
    place = Substituter(str(directory), [KEY.public])
    assert place.entry(ENTRY.build) == ENTRY
    copied = place.archive(ENTRY, layout, quiet)
    assert copied.read_bytes() == ARCHIVE
    assert copied.stat().st_ino != (directory / ENTRY.archive).stat().st_ino
    with pytest.raises(Unusable, match=f"not in {directory}"):
        place.entry(ANY)


def test_what_is_wrong_with_a_directory(directory: Path, layout: Layout) -> None:
    place = Substituter(str(directory), [KEY.public])
    (directory / ENTRY.archive).write_bytes(b"x" * len(ARCHIVE))
    with pytest.raises(Unusable, match="not the one that its entry was signed for"):
        place.archive(ENTRY, layout, quiet)
    (directory / ENTRY.archive).unlink()
    with pytest.raises(Unusable, match="cannot be read: No such file"):
        place.archive(ENTRY, layout, quiet)
    gone = Substituter(str(directory / "gone"), [KEY.public])
    assert "there is no directory" in reason(gone)
    assert gone.off


def test_the_first_place_that_fits_is_taken(place: Substituter, directory: Path) -> None:
    local = Substituter(str(directory), [KEY.public])
    both = Substituters([local, place])
    found = both.find(ENTRY.build, lambda entry: "")
    assert isinstance(found, Found)
    assert found.place is local
    found = both.find(ENTRY.derivation, lambda entry: "")
    assert isinstance(found, Found)
    assert found.place is place
    told = both.find(ENTRY.build, lambda entry: "too old")
    assert told == f"too old ({local.shown}); too old ({place.shown})"
