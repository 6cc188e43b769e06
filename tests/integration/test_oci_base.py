"""A base image from a registry: fetched by digest through skopeo, unpacked once, nothing left half."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from oci_registry import (
    GZIP,
    INDEX,
    PLAIN,
    ZSTD,
    MadeImage,
    MadeLayer,
    Registry,
    Wire,
    free_port,
    index_of,
    link,
    member,
    registry,
    sha256,
    tar,
)

from orchestrator.digest import Digest, sha256_file
from orchestrator.errors import MachineError, SourceError
from orchestrator.events import Event, FetchProgress, silent
from orchestrator.fetch.oci import fetch_image
from orchestrator.fetch.oci_manifest import ImageManifest
from orchestrator.fetch.web import Patience
from orchestrator.image.base_layers import BaseImage, base_tree
from orchestrator.store import Layout, object_tree, open_store, read_manifest, verify_object
from orchestrator.store.blobs import blob_path, has_blob
from orchestrator.tree import Entry, scan

pytestmark = pytest.mark.integration

PLATFORM = "x86_64-linux"
WHERE = "recipes/images/tiny/image.toml: base.from"
LOWER = tar(
    [
        member("usr/", uid=0),
        member("usr/bin/", mode=0o555),
        member("usr/bin/tool", b"old tool", mode=0o4755),
        member("usr/lib/"),
        link("lib", "usr/lib"),
        member("usr/lib/kept", b"kept"),
        member("usr/lib/gone", b"gone"),
        member("srv/cache/one", b"1"),
        member("srv/cache/deep/two", b"2"),
        member("etc/shadow", b"secret", mode=0, gid=42),
        member("home/user/", mode=0o700, uid=1000, gid=1000),
        member("home/user/file", b"mine", uid=1000, gid=1000),
        link("home/user/same", "home/user/file", hard=True),
        member("tmp/", mode=0o1777),
    ]
)
UPPER = tar(
    [
        member("usr/bin/tool", b"new tool", mode=0o755),
        member("lib/.wh.gone"),
        member("lib/added", b"through the link"),
        member("srv/cache/.wh..wh..opq"),
        member("srv/cache/three", b"3"),
        member("opt/.wh..wh.plnk"),
    ]
)
TINY = MadeImage((MadeLayer(LOWER, GZIP), MadeLayer(UPPER, ZSTD)))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        with registry(tmp_path_factory.mktemp("registry") / "r") as running:
            yield running


@pytest.fixture
def wire(server: Registry) -> Iterator[Wire]:
    made = Wire(server.address)
    yield made
    made.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Layout]:
    layout = open_store(tmp_path / "store")
    yield layout
    assert not list(layout.stage.iterdir()), "something half is left"
    blobs = list((layout.oci / "blobs/sha256").iterdir())
    assert all(sha256_file(blob).hex == blob.name and blob.stat().st_mode & 0o777 == 0o444 for blob in blobs)
    for directory, _, _ in os.walk(layout.objects):
        Path(directory).chmod(0o755)


def fetched(store: Layout, address: str, digest: str, path: str = "tiny") -> ImageManifest:
    return fetch_image(store, f"oci:{address}/{path}@{digest}", platform=PLATFORM, monitor=silent, where=WHERE)


def unpacked(store: Layout, server: Registry, image: MadeImage, path: str = "some") -> BaseImage:
    manifest = fetched(store, server.address, server.push(path, image), path)
    return base_tree(store, manifest, name="oci:some", where=WHERE)


def test_an_image_comes_as_it_is_and_once(server: Registry, wire: Wire, store: Layout) -> None:
    digest = server.push("tiny", TINY)
    manifest = fetched(store, wire.address, digest)
    assert str(manifest.digest) == digest
    assert manifest.data == TINY.manifest == blob_path(store, manifest.digest).read_bytes()
    assert [blob_path(store, layer.digest).read_bytes() for layer in manifest.layers] == [
        layer.blob for layer in TINY.layers
    ]
    assert [layer.media_type for layer in manifest.layers] == [GZIP, ZSTD]
    asked = wire.connections
    assert asked
    assert fetched(store, wire.address, digest) == manifest
    assert wire.connections == asked, "the second fetch asked the registry"


def test_of_an_index_the_platform_is_taken(server: Registry, store: Layout) -> None:
    other = MadeImage((MadeLayer(tar([member("arm")])),), architecture="arm64")
    index = index_of((other, TINY))
    for image in (other, TINY):
        server.push("multi", image)
    digest = server.push_manifest("multi", index, INDEX)
    assert fetched(store, server.address, digest, "multi").data == TINY.manifest
    name = f"oci:{server.address}/multi@{digest}"
    assert fetch_image(store, name, platform="aarch64-linux", monitor=silent).data == other.manifest
    only = server.push_manifest("multi", index_of((other,)), INDEX)
    with pytest.raises(SourceError, match="is not for x86_64-linux") as failure:
        fetched(store, server.address, only, "multi")
    assert "linux/arm64" in failure.value.why
    with pytest.raises(SourceError, match="is not for x86_64-linux"):
        fetched(store, server.address, sha256(other.manifest), "multi")


def test_a_shared_layer_is_not_fetched_again(server: Registry, store: Layout) -> None:
    lower = MadeLayer(tar([member("big", random.Random(1).randbytes(1 << 20))]))
    server.push("shared", MadeImage((lower,)))
    fetched(store, server.address, sha256(MadeImage((lower,)).manifest), "shared")
    second = MadeImage((lower, MadeLayer(UPPER)))
    digest = server.push("shared", second)
    server.blob_file(sha256(lower.blob)).unlink()  # whoever asks for it fails
    events: list[Event] = []
    fetch_image(store, f"oci:{server.address}/shared@{digest}", platform=PLATFORM, monitor=events.append)
    totals = {event.total for event in events if isinstance(event, FetchProgress)}
    assert totals <= {len(second.layers[1].blob)}


def test_a_digest_that_is_not_there(server: Registry, store: Layout) -> None:
    server.push("tiny", TINY)
    for path in ("tiny", "nosuch"):
        with pytest.raises(SourceError, match=f"has no {path}@sha256:0") as failure:
            fetched(store, server.address, f"sha256:{'0' * 64}", path)
        assert failure.value.where == WHERE


def test_a_registry_that_is_not_there(store: Layout) -> None:
    with pytest.raises(MachineError, match="cannot fetch") as failure:
        fetched(store, f"127.0.0.1:{free_port()}", f"sha256:{'0' * 64}")
    assert "refused" in failure.value.why
    assert failure.value.where == WHERE


def test_no_skopeo(store: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(MachineError, match="skopeo is not installed") as failure:
        fetched(store, "127.0.0.1:1", f"sha256:{'0' * 64}")
    assert "apt-get install skopeo" in failure.value.hint
    assert failure.value.where == WHERE


def test_a_broken_connection_leaves_nothing_half(server: Registry, wire: Wire, store: Layout) -> None:
    small = MadeLayer(tar([member("small", b"small")]))
    big = MadeLayer(tar([member("big", random.Random(2).randbytes(3 << 20))]), ZSTD)
    digest = server.push("cut", MadeImage((small, big)))
    wire.cut = 1 << 20
    with pytest.raises(MachineError) as failure:
        fetched(store, wire.address, digest, "cut")
    assert failure.value.where == WHERE
    assert not has_blob(store, Digest.parse(sha256(big.blob)))
    wire.cut = None
    manifest = fetched(store, wire.address, digest, "cut")
    assert blob_path(store, manifest.layers[1].digest).read_bytes() == big.blob


@pytest.mark.parametrize("after", [0, 1 << 20])
def test_a_registry_that_falls_silent(server: Registry, wire: Wire, store: Layout, after: int) -> None:
    image = MadeImage((MadeLayer(tar([member("big", random.Random(3).randbytes(3 << 20))])),))
    digest = server.push("silent", image)
    wire.cut, wire.hangs = after, True
    with pytest.raises(MachineError, match="cannot fetch") as failure:
        fetch_image(
            store,
            f"oci:{wire.address}/silent@{digest}",
            platform=PLATFORM,
            monitor=silent,
            where=WHERE,
            patience=Patience(read=1.0),
        )
    assert failure.value.where == WHERE
    assert not has_blob(store, Digest.parse(sha256(image.layers[0].blob)))


def test_stopped(server: Registry, store: Layout) -> None:
    digest = server.push("tiny", TINY)
    with pytest.raises(KeyboardInterrupt):
        fetch_image(
            store,
            f"oci:{server.address}/tiny@{digest}",
            platform=PLATFORM,
            monitor=silent,
            stopped=lambda: True,
        )


def test_a_registry_that_sends_other_bytes(server: Registry, store: Layout) -> None:
    image = MadeImage((MadeLayer(tar([member("file", b"right")]), PLAIN),))
    digest = server.push("liar", image)
    file = server.blob_file(sha256(image.layers[0].blob))
    file.write_bytes(file.read_bytes().replace(b"right", b"wrong"))
    with pytest.raises(SourceError, match="is not what is pinned"):
        fetched(store, server.address, digest, "liar")


def test_the_tree_is_what_a_runtime_would_show(server: Registry, store: Layout) -> None:
    base = unpacked(store, server, TINY)
    entries = read_manifest(store, base.object).by_path
    tree = object_tree(store, base.object)
    files = {path: (tree / path).read_bytes() for path, entry in entries.items() if entry.kind == "file"}
    assert files == {
        "etc/shadow": b"secret",
        "home/user/file": b"mine",
        "home/user/same": b"mine",
        "srv/cache/three": b"3",
        "usr/bin/tool": b"new tool",
        "usr/lib/added": b"through the link",
        "usr/lib/kept": b"kept",
    }
    assert entries["lib"].target == "usr/lib"
    modes = {path: (entry.mode, entry.uid, entry.gid) for path, entry in entries.items()}
    assert modes["usr/bin"] == (0o555, 0, 0)
    assert modes["etc/shadow"] == (0, 0, 42)
    assert modes["home/user"] == (0o700, 1000, 1000)
    assert modes["home/user/same"] == (0o644, 1000, 1000)
    assert modes["tmp"] == (0o1777, 0, 0)
    assert not verify_object(store, base.object)
    assert base.setuid == ()  # the upper layer's file has no such bit
    assert [layer.diff_id for layer in base.layers] == [Digest.parse(sha256(LOWER)), Digest.parse(sha256(UPPER))]
    assert base.config["config"]["Env"] == ["PATH=/bin"]


def test_umoci_unpacks_to_the_same(store: Layout, server: Registry, tmp_path: Path) -> None:
    if shutil.which("umoci") is None:
        pytest.skip("umoci is not installed")
    image = MadeImage((MadeLayer(LOWER), MadeLayer(UPPER)))  # it does not know zstd
    base = unpacked(store, server, image)
    theirs = tmp_path / "layout"
    source = f"docker://{server.address}/some@{base.manifest}"
    for argv in (
        ["skopeo", "copy", "-q", "--src-tls-verify=false", source, f"oci:{theirs}:some"],
        ["umoci", "unpack", "--rootless", "--image", f"{theirs}:some", str(tmp_path / "bundle")],
    ):
        subprocess.run(argv, check=True)
    found = {entry.path: (entry.kind, entry.digest, entry.target) for entry in _scanned(tmp_path / "bundle/rootfs")}
    ours = read_manifest(store, base.object).entries
    assert {entry.path: (entry.kind, entry.digest, entry.target) for entry in ours} == found


def _scanned(root: Path) -> tuple[Entry, ...]:
    (root / "etc/shadow").chmod(0o600)  # its owner could not read it
    return scan(root, allow_setuid=frozenset({"usr/bin/tool"})).entries


def test_setuid_is_cleared_and_told(server: Registry, store: Layout) -> None:
    base = unpacked(store, server, MadeImage((MadeLayer(LOWER, PLAIN),)))
    assert base.setuid == ("usr/bin/tool",)
    assert read_manifest(store, base.object).by_path["usr/bin/tool"].mode == 0o755


def test_a_base_is_unpacked_once(server: Registry, store: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = fetched(store, server.address, server.push("tiny", TINY))
    first = base_tree(store, manifest, name="oci:tiny")
    monkeypatch.setattr("orchestrator.image.base_layers.unpack_layer", None)
    assert base_tree(store, manifest, name="oci:tiny") == first


def test_a_layer_is_not_what_the_config_says(server: Registry, store: Layout) -> None:
    with pytest.raises(SourceError, match="layer 1 of oci:some is not what its config says") as failure:
        unpacked(store, server, MadeImage((MadeLayer(LOWER),), diff_ids=(f"sha256:{'0' * 64}",)))
    assert WHERE in failure.value.where
    assert not list(store.objects.iterdir())


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (member("dev/null", type=tarfile.CHRTYPE), "character device"),
        (member("run/pipe", type=tarfile.FIFOTYPE), "FIFO"),
        (member("../out", b"x"), "'..' in it"),
        (member("etc/.wh..", b""), "whiteout of nothing"),
        (member("etc/.wh...", b""), "whiteout of nothing"),
        (link("here", "nowhere", hard=True), "no file earlier"),
    ],
)
def test_what_no_tree_holds_is_refused_by_name(
    server: Registry, store: Layout, bad: tuple[tarfile.TarInfo, bytes], why: str
) -> None:
    with pytest.raises(SourceError, match="is refused") as failure:
        unpacked(store, server, MadeImage((MadeLayer(LOWER), MadeLayer(tar([bad])))))
    assert repr(bad[0].name) in failure.value.what
    assert "layer 2 of oci:some" in failure.value.what
    assert why in failure.value.why
    assert WHERE in failure.value.where


@pytest.mark.parametrize("media_type", [GZIP, ZSTD])
def test_a_damaged_blob_is_put_aside_and_fetched_again(server: Registry, store: Layout, media_type: str) -> None:
    image = MadeImage((MadeLayer(LOWER, media_type),))
    digest = server.push("damage", image)
    manifest = fetched(store, server.address, digest, "damage")
    file = blob_path(store, manifest.layers[0].digest)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.chmod(0o644)
    file.write_bytes(data)
    with pytest.raises(MachineError, match="is damaged"):
        base_tree(store, manifest, name="oci:damage")
    assert not file.exists()
    assert fetched(store, server.address, digest, "damage") == manifest
    assert base_tree(store, manifest, name="oci:damage").object


def test_dockers_own_manifest_is_read_too(server: Registry, store: Layout) -> None:
    docker = "application/vnd.docker."
    layer = MadeLayer(LOWER)
    document = json.loads(MadeImage((layer,)).manifest)
    document["mediaType"] = f"{docker}distribution.manifest.v2+json"
    document["config"]["mediaType"] = f"{docker}container.image.v1+json"
    document["layers"][0]["mediaType"] = f"{docker}image.rootfs.diff.tar.gzip"
    server.push("docker", MadeImage((layer,)))
    digest = server.push_manifest("docker", json.dumps(document).encode(), document["mediaType"])
    manifest = fetched(store, server.address, digest, "docker")
    assert str(manifest.digest) == digest
    base = base_tree(store, manifest, name="oci:docker")
    assert [(found.media_type, str(found.digest)) for found in base.layers] == [(GZIP, sha256(layer.blob))]
