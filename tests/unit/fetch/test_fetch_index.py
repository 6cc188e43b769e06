"""A Python index: its page in either form, its own hashes, its password; TLS; sources pinned by tree."""

from __future__ import annotations

import io
import json
import shutil
import ssl
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fetch_servers import Fetcher, Server, sha256, source_of

from orchestrator.errors import MachineError, RecipeError, SourceError
from orchestrator.fetch import Mirrors
from orchestrator.fetch.web import Address, Missed, Patience, Web
from orchestrator.graph.derivation import Source
from orchestrator.tree import scan

WHEEL = b"a wheel"
NAME = "pypi:Some_Project/some_project-1.0-py3-none-any.whl"
FILE = "some_project-1.0-py3-none-any.whl"
JSON = "application/vnd.pypi.simple.v1+json"


def json_page(server: Server, url: str, **hashes: str) -> None:
    files = [
        {"filename": "some_project-0.9.tar.gz", "url": "../../old", "hashes": {}},
        {"filename": FILE, "url": url, "hashes": hashes},
    ]
    server.behaviour.files["/simple/some-project/"] = json.dumps({"meta": {}, "files": files}).encode()
    server.behaviour.types["/simple/some-project/"] = JSON


def html_page(server: Server, url: str) -> None:
    text = f'<!DOCTYPE html><a href="../../old">old</a><br/><a href="{url}" data-x=1>{FILE}</a>'
    server.behaviour.files["/simple/some-project/"] = text.encode()
    server.behaviour.types["/simple/some-project/"] = "text/html; charset=utf-8"


def mirrors(server: Server) -> Mirrors:
    return Mirrors(pypi=(f"{server.url}/simple/",))


@pytest.mark.parametrize("form", ["json", "html"])
@pytest.mark.parametrize("absolute", [True, False])
def test_both_forms_of_a_page_lead_to_the_file(server: Server, fetcher: Fetcher, form: str, absolute: bool) -> None:
    url = f"{server.url}/files/w.whl" if absolute else "../../files/w.whl"
    server.behaviour.files["/files/w.whl"] = WHEEL
    if form == "json":
        json_page(server, url, sha256=sha256(WHEEL))
    else:
        html_page(server, f"{url}#sha256={sha256(WHEEL)}")
    assert fetcher(source_of(NAME, WHEEL), mirrors(server)).read_bytes() == WHEEL
    assert server.requests[0].accept.startswith(f"{JSON}, ")


def test_an_index_of_pips_settings_is_asked(server: Server, fetcher: Fetcher) -> None:
    server.behaviour.files["/files/w.whl"] = WHEEL
    html_page(server, "/files/w.whl")
    fetcher.machine = replace(fetcher.machine, environment={"PIP_INDEX_URL": f"{server.url}/simple"})
    assert fetcher(source_of(NAME, WHEEL)).read_bytes() == WHEEL


@pytest.mark.parametrize("at", ["simple/some-project", "simple", "files"])
def test_an_index_may_be_a_directory(fetcher: Fetcher, tmp_path: Path, at: str) -> None:
    page = tmp_path / "an index/simple/some-project/index.html"
    page.parent.mkdir(parents=True)
    page.write_text(f'<a href="../../files/{FILE}#sha256={sha256(WHEEL)}">{FILE}</a>')
    (tmp_path / "an index" / at).mkdir(exist_ok=True)
    (tmp_path / "an index" / at / FILE).write_bytes(WHEEL)
    index = Mirrors(pypi=(f"file://{tmp_path}/an%20index/simple",))
    assert fetcher(source_of(NAME, WHEEL), index).read_bytes() == WHEEL


def test_an_index_that_contradicts_the_lock_is_refused_undownloaded(server: Server, fetcher: Fetcher) -> None:
    json_page(server, "/files/w.whl", sha256=sha256(b"other"))
    with pytest.raises(SourceError) as raised:
        fetcher(source_of(NAME, WHEEL), mirrors(server))
    assert raised.value.why == (
        f"expected sha256:{sha256(WHEEL)}, the index says sha256:{sha256(b'other')}; "
        f"{server.url}/simple/ (from orch.toml [mirrors] pypi)"
    )
    assert [request.path for request in server.requests] == ["/simple/some-project/"]


@pytest.mark.parametrize(
    ("page", "answer"),
    [
        (b'{"files": []}', f"its page of some-project lists 0 files, and {FILE} is not one of them"),
        (b"{", "its page is not what an index's is ("),
        (b'{"files": [{}]}', "its page is not what an index's is ("),
        (b"[]", "its page is not what an index's is ("),
        (b'{"files": [{"filename": "f", "url": "u", "hashes": 3}]}', "its page is not what an index's is ("),
    ],
)
def test_a_page_without_the_file_is_told(server: Server, fetcher: Fetcher, page: bytes, answer: str) -> None:
    json_page(server, "")
    server.behaviour.files["/simple/some-project/"] = page
    with pytest.raises(MachineError) as raised:
        fetcher(source_of(NAME, WHEEL), mirrors(server))
    assert f"{server.url}/simple/ (from orch.toml [mirrors] pypi): {answer}" in raised.value.why


def test_a_hiccup_of_the_index_is_waited_out(server: Server, fetcher: Fetcher) -> None:
    server.behaviour.files["/files/w.whl"] = WHEEL
    json_page(server, "/files/w.whl")
    server.behaviour.statuses, server.behaviour.drops = [502], [10]
    assert fetcher(source_of(NAME, WHEEL), mirrors(server)).read_bytes() == WHEEL


def test_a_password_reaches_its_host_only_and_no_message(server: Server, fetcher: Fetcher) -> None:
    elsewhere = Server()
    try:
        elsewhere.behaviour.files["/w.whl"] = WHEEL
        json_page(server, f"{elsewhere.url}/w.whl")
        server.behaviour.login = "Basic bWU6c2VjcmV0"
        indexes = Mirrors(pypi=(server.url.replace("://", "://me:secret@") + "/simple",))
        assert fetcher(source_of(NAME, WHEEL), indexes).read_bytes() == WHEEL
        assert [request.authorization for request in elsewhere.requests] == [""]
        json_page(server, "/gone.whl")
        with pytest.raises(MachineError) as raised:
            fetcher(source_of(NAME, b"x"), indexes)
        assert server.requests[-1].authorization == "Basic bWU6c2VjcmV0"
        assert "secret" not in str(raised.value.document())
    finally:
        elsewhere.close()


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[Server, Path]]:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run([*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    server = Server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.scheme = "https"
    yield server, certificate
    server.close()


def test_tls_is_verified_and_never_left(secure: tuple[Server, Path], server: Server, fetcher: Fetcher) -> None:
    safe, certificate = secure
    safe.behaviour.files["/f"] = server.behaviour.files["/f"] = WHEEL
    safe.behaviour.redirects["/down"] = f"{server.url}/f"
    with pytest.raises(MachineError) as raised:
        fetcher(source_of(f"{safe.url}/f", WHEEL))
    assert "its certificate or TLS is refused" in raised.value.why
    fetcher.machine = replace(fetcher.machine, environment={"SSL_CERT_FILE": str(certificate)})
    with pytest.raises(MachineError) as raised:
        fetcher(source_of(f"{safe.url}/down", WHEEL))
    assert raised.value.why.endswith(f"it redirects from https to {server.url}/f, which is refused")
    assert server.requests == []
    assert fetcher(source_of(f"{safe.url}/f", WHEEL)).read_bytes() == WHEEL


def test_a_bundle_that_is_not_there_is_told(secure: tuple[Server, Path], fetcher: Fetcher) -> None:
    fetcher.machine = replace(fetcher.machine, environment={"PIP_CERT": "/no/such/bundle"})
    with pytest.raises(MachineError) as raised:
        fetcher(source_of(f"{secure[0].url}/f", WHEEL))
    assert "/no/such/bundle" in raised.value.why


def test_an_address_keeps_its_login_on_its_host() -> None:
    page = Address.of("https://me:p%40ss@a.invalid/simple/x/")
    assert page == Address("https://a.invalid/simple/x/", ("me", "p@ss"))
    assert page.to("../f") == Address("https://a.invalid/simple/f", ("me", "p@ss"))
    assert page.to("https://b.invalid/f") == Address("https://b.invalid/f")
    assert page.to("http://a.invalid/f") == Address("http://a.invalid/f")


def test_a_host_that_does_not_resolve_is_missed() -> None:
    web = Web(None, Patience(tries=1))
    with pytest.raises(Missed) as raised:
        web.open(Address("https://host.invalid/"), {})
    assert raised.value.again


def tarball(content: bytes, mtime: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo("top/file")
        info.size, info.mtime = len(content), mtime
        archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def pinned(tmp_path: Path) -> str:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_bytes(b"content")
    (tmp_path / "tree/file").chmod(0o644)
    return scan(tmp_path / "tree").digest.hex


def by_tree(url: str, tree: str) -> Source:
    return Source(name=url, file_name="source.tar.gz", tree=tree, unpack="x", where="recipe.toml")


def test_a_source_pinned_by_tree_may_be_packed_anew(server: Server, fetcher: Fetcher, pinned: str) -> None:
    url = f"{server.url}/source.tar.gz"
    server.behaviour.files["/source.tar.gz"] = tarball(b"content", 1)
    path = fetcher(by_tree(url, pinned))
    assert fetcher(by_tree(url, pinned)) == path
    assert len(server.requests) == 1
    server.behaviour.files["/source.tar.gz"] = tarball(b"content", 2)
    fetcher.layout.sources.joinpath(path.name).unlink()
    assert fetcher(by_tree(url, pinned)).name != path.name
    assert [name for name in fetcher.kept() if name.startswith("partial")] == []


def test_a_tree_of_something_else_is_refused(server: Server, fetcher: Fetcher, pinned: str) -> None:
    url = f"{server.url}/source.tar.gz"
    server.behaviour.files["/source.tar.gz"] = tarball(b"other", 1)
    with pytest.raises(SourceError) as raised:
        fetcher(by_tree(url, pinned))
    assert raised.value.why.startswith(f"expected a tree of blake3:{pinned}, got blake3:")
    assert fetcher.kept() == []
    assert list(fetcher.layout.stage.iterdir()) == []


def test_a_tree_source_that_is_no_archive_says_where_it_came_from(
    server: Server, fetcher: Fetcher, pinned: str
) -> None:
    server.behaviour.files["/source.tar.gz"] = b"<html>please log in</html>"
    with pytest.raises(RecipeError, match=r"source\.tar\.gz is refused") as raised:
        fetcher(by_tree(f"{server.url}/source.tar.gz", pinned))
    assert raised.value.where == f"recipe.toml: {server.url}/source.tar.gz"
    assert fetcher.kept() == []
